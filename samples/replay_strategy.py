"""A strategy that runs live, or on a recording that record_day.py made, without a change in it.

It says when a share has moved a tenth of a percent from its mark, and how the account's orders do.

On a recording, which needs no account and no network: ``python replay_strategy.py day.jsonl``. It takes as long as
reading the file does.

Live, it uses the session of ``firstock-ws login``, at the broker or at a simulator. A simulator that nobody has
logged in to needs none: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python replay_strategy.py

"""

import sys
from typing import Any

from firstock_ws import FirstockError, FirstockWS, OrderUpdate, Quote, replay

SHARES = ["NSE:2885", "NSE:1594"]
STEP = 0.1
"""Percent."""


class Moves(FirstockWS):
    """Prints a line for each move of `STEP` percent."""

    def __init__(self, user_id: str, jkey: str, **options: Any) -> None:
        super().__init__(user_id, jkey, tokens=SHARES, **options)
        self.marks: dict[str, float] = {}
        self.lines = 0

    def on_quote(self, quote: Quote) -> None:
        if quote.last_price is None:
            return
        mark = self.marks.setdefault(quote.instrument, quote.last_price)
        percent = (quote.last_price - mark) / mark * 100
        if abs(percent) >= STEP:
            self.marks[quote.instrument] = quote.last_price
            self.lines += 1
            # The exchange's time, not this computer's: it is the same live and on a recording.
            print(f"{quote.feed_time} {quote.instrument} {percent:+.2f} % to {quote.last_price}")

    def on_order_update(self, order: OrderUpdate) -> None:
        print(f"order {order.order_number} is {order.status}")

    def on_connect(self) -> None:
        print("connected, watching", ", ".join(sorted(self.subscriptions)))

    def on_close(self, code: int, reason: str) -> None:
        print(f"connection ended: {code} {reason}")


def main() -> int:
    recording = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        strategy = Moves.from_login() if recording is None else Moves("AB1234", "no key is needed")
    except FirstockError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        if recording is None:
            strategy.run_forever()
        else:
            replay(recording, strategy, speed="max")
    except FirstockError as error:
        print(f"Gave up: {error}", file=sys.stderr)
        return 1
    stats = strategy.stats
    print(f"{stats.quotes_delivered} quotes, {stats.order_updates} order updates, {strategy.lines} moves")
    return 0


if __name__ == "__main__":
    sys.exit(main())
