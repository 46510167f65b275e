"""A small strategy as a subclass: says when an instrument has moved, and widens what it watches as it goes.

It begins with the Nifty 50 alone. When that moves, the callback itself subscribes to two shares.

It uses the session of ``firstock-ws login``, at the broker or at a simulator. A simulator that nobody has logged
in to needs none: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python subclassing.py

"""

import sys
from typing import Any

from firstock_ws import FirstockError, FirstockWS, OrderUpdate, Quote

INDEX = "NSE:26000"
SHARES = ["NSE:2885", "NSE:1594"]


class MoveWatcher(FirstockWS):
    """Prints a line when an instrument is `paise` or more away from its mark.

    The mark is the first price seen, and moves to the price of each line.
    """

    def __init__(self, user_id: str, jkey: str, *, paise: int, **options: Any) -> None:
        super().__init__(user_id, jkey, tokens=INDEX, **options)
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
    try:
        watcher = MoveWatcher.from_login(paise=100)
    except FirstockError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        watcher.run_forever()
    except FirstockError as error:
        print(f"Gave up: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
