"""A small strategy as a subclass: says when an instrument has moved, and widens what it watches as it goes.

It begins with the Nifty 50 alone. When that moves, the callback itself subscribes to two shares.

Against the simulator, which needs no account: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python subclassing.py

Against the broker: set FIRSTOCK_USER_ID to your client code and FIRSTOCK_JKEY to the ``susertoken`` of today's
login, leave FIRSTOCK_URL unset, and run ``python subclassing.py``.
"""

import os
import sys

from firstock_ws import V1_URL, FirstockError, FirstockWS, OrderUpdate, Quote

INDEX = "NSE:26000"
SHARES = ["NSE:2885", "NSE:1594"]


class MoveWatcher(FirstockWS):
    """Prints a line when an instrument is `paise` or more away from its mark.

    The mark is the first price seen, and moves to the price of each line.
    """

    def __init__(self, user_id: str, jkey: str, paise: int) -> None:
        super().__init__(
            user_id,
            jkey,
            url=os.environ.get("FIRSTOCK_URL") or V1_URL,
            rest_url=os.environ.get("FIRSTOCK_REST_URL") or None,
            tokens=INDEX,
        )
        self.paise = paise
        # No lock: all callbacks come from one thread, one at a time.
        self.marks: dict[str, float] = {}

    def on_quote(self, quote: Quote) -> None:
        if quote.last_price is None:
            return
        mark = self.marks.setdefault(quote.instrument, quote.last_price)
        # Rounded, since a difference of floats is rarely a whole number of paise.
        moved = round((quote.last_price - mark) * 100)
        if abs(moved) >= self.paise:
            print(f"{quote.instrument} moved {moved:+d} paise: {mark} -> {quote.last_price}")
            self.marks[quote.instrument] = quote.last_price
            if quote.instrument == INDEX:
                self.subscribe(SHARES)

    def on_order_update(self, order: OrderUpdate) -> None:
        print(f"order {order.order_number} is {order.status}")

    def on_connect(self) -> None:
        print("connected, watching", ", ".join(sorted(self.subscriptions)))

    def on_close(self, code: int, reason: str) -> None:
        print("connection ended:", code, reason)

    def on_error(self, error: BaseException) -> None:
        print("trouble:", error)


def main() -> int:
    user_id, jkey = os.environ.get("FIRSTOCK_USER_ID"), os.environ.get("FIRSTOCK_JKEY")
    if not user_id or not jkey:
        print("Set FIRSTOCK_USER_ID and FIRSTOCK_JKEY in the environment first.", file=sys.stderr)
        return 2
    try:
        MoveWatcher(user_id, jkey, paise=100).run_forever()
    except FirstockError as error:
        print(f"Gave up: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
