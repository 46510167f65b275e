"""``simulate``: the broker on this computer, in the foreground."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Sequence

from firstock_ws.simulator import Simulator


def run_simulate(
    *,
    host: str,
    port: int,
    rest_port: int,
    users: Sequence[str],
    rate: float,
    orders_every: float,
    seed: int | None,
) -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit code. `users` are words of ``USER:KEY``, joined or not."""
    pairs = (word.strip().partition(":") for words in users for word in words.split(","))
    known = {user_id: key for user_id, _, key in pairs} or {"AB1234": "secret"}
    simulator = Simulator(
        users=known,
        host=host,
        port=port,
        rest_port=rest_port,
        rate=rate,
        order_interval=orders_every or None,
        seed=seed,
    )
    logger = logging.getLogger("firstock_ws.simulator")
    if not logging.getLogger("firstock_ws").isEnabledFor(logging.DEBUG):
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
    stop = threading.Event()
    try:
        simulator.start()
    except OSError as error:
        # The reason names the address that it is about.
        ports = " or ".join(str(number) for number in (port, rest_port) if number)
        print(f"firstock-ws: cannot listen on port {ports or 'any'}: {error.strerror}", file=sys.stderr)
        return 1
    earlier = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        print(simulator.url, simulator.url_v2, flush=True)
        print(f"Simulated market for user {', '.join(known)}: none of this is real. Ctrl-C stops it.", flush=True)
        print("A client's address ends with ?userId=USER&jKey=KEY&source=developer-api", flush=True)
        print(f"REST, for login and the books: {simulator.rest_url}", flush=True)
        print("To log in, with any password, vendor code and API key, and any six digits, type", flush=True)
        print(f"  {_login_line(simulator)}", flush=True)
        # In slices: an endless wait could not be broken by Ctrl-C on Windows.
        while not stop.wait(0.5):
            pass
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        simulator.stop()
    return 0


def _login_line(simulator: Simulator) -> str:
    return f"firstock-ws login --user-id {simulator.user_id} --url {simulator.url} --rest-url {simulator.rest_url}"
