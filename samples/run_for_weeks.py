"""Runs for weeks: a key that renews itself, a log, an alarm when orders may be missing, and a clean end.

Each try to connect asks ``fresh_key`` for the key, so the session that dies at night comes back by itself. The key
is kept in a file that only its owner can read, and used for as long as the broker takes it: a lost line is no
reason to log in again, each login ends the session before it, and six digits may be good for one login only.

Against the simulator, which needs no account: run ``firstock-ws simulate --rest-port 9101`` in another terminal,
then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_REST_URL=http://127.0.0.1:9101/V1 \\
    FIRSTOCK_USER_ID=AB1234 FIRSTOCK_PASSWORD=any FIRSTOCK_TOTP_SECRET=JBSWY3DPEHPK3PXPJBSWY3DP \\
    FIRSTOCK_VENDOR_CODE=any FIRSTOCK_API_KEY=any python run_for_weeks.py

Against the broker: give your own, and leave FIRSTOCK_URL and FIRSTOCK_REST_URL unset. FIRSTOCK_TOTP_SECRET is the
text behind the QR code of the authenticator; ``pip install pyotp`` makes the six digits from it.
"""

import logging
import os
import sys
import threading
from pathlib import Path

import pyotp

from firstock_ws import (
    API_URL,
    V1_URL,
    AuthenticationError,
    FirstockError,
    FirstockWS,
    OrderUpdate,
    ReconcileError,
    Session,
    UsageError,
    login,
)

logger = logging.getLogger("run_for_weeks")
NEEDED = ("USER_ID", "PASSWORD", "TOTP_SECRET", "VENDOR_CODE", "API_KEY")
REST_URL = os.environ.get("FIRSTOCK_REST_URL") or API_URL
SESSION_FILE = Path(os.environ.get("FIRSTOCK_SESSION_FILE") or Path.home() / ".firstock-session.json")


class WeeksLong(FirstockWS):
    """A client that logs in by itself, when the broker does not take the saved key any more."""

    def __init__(self) -> None:
        super().__init__(
            os.environ["FIRSTOCK_USER_ID"],
            self.fresh_key,
            url=os.environ.get("FIRSTOCK_URL") or V1_URL,
            rest_url=REST_URL,
            tokens=["NSE:26000"],
        )
        self.key_refused = False
        self.told = threading.Event()
        self.told.set()

    def fresh_key(self) -> str:
        """Return the key for the next try; called on the thread that connects, before each."""
        # Why the last try failed has been told to on_error before on_reconnect: wait until both have run.
        if not self.told.wait(timeout=30):
            logger.warning("a callback has been busy for 30 s: the saved key may be tried again")
        self.told.clear()
        if not self.key_refused:
            try:
                return Session.load(SESSION_FILE).jkey
            except (OSError, UsageError) as error:
                logger.info("no saved session: %s", error)
        user_id, password, secret, vendor_code, api_key = (os.environ[f"FIRSTOCK_{name}"] for name in NEEDED)
        # pyotp refuses secrets of 16 letters. An "A" is five zero bits, which HMAC would add itself: same digits.
        totp = pyotp.TOTP(secret.ljust(24, "A")).now()
        session = login(user_id, password, totp, vendor_code, api_key, base_url=REST_URL)
        session.save(SESSION_FILE)
        self.key_refused = False
        logger.info("logged in as %s", session.user_id)
        return session.jkey

    def on_reconnect(self, attempt: int, delay: float) -> None:
        logger.info("try %d in %.1f s", attempt, delay)
        self.told.set()

    def on_error(self, error: BaseException) -> None:
        if isinstance(error, AuthenticationError):
            self.key_refused = True
        elif isinstance(error, ReconcileError):
            # The one that a person should hear of at once: send a message from here.
            logger.error("ALARM: %s", error)
        elif not isinstance(error, FirstockError):
            logger.error("ALARM: a callback of this program failed: %r", error)
        # All others are in the log of firstock_ws already.

    def on_connect(self) -> None:
        logger.info("connected")

    def on_close(self, code: int, reason: str) -> None:
        logger.info("connection ended: %s %s", code, reason)

    def on_order_update(self, order: OrderUpdate) -> None:
        logger.info("order %s %s", order.order_number, order.status)


def main() -> int:
    missing = [f"FIRSTOCK_{name}" for name in NEEDED if not os.environ.get(f"FIRSTOCK_{name}")]
    if missing:
        print(f"Set {', '.join(missing)} in the environment first.", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        # Until Ctrl-C, or SIGTERM from systemd or docker: both say goodbye to the broker first.
        WeeksLong().run_forever()
    except FirstockError as error:
        logger.error("ALARM: gave up: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
