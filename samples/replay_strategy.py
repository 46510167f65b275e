"""A strategy that runs live, or on a recording that record_day.py made, without a change in it.

It says when a share has moved a tenth of a percent from its mark, and how the account's orders do.

On a recording, which needs no account and no network: ``python replay_strategy.py day.jsonl``. It takes as long as
reading the file does.

Live, against the simulator: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python replay_strategy.py

Live, against the broker: set FIRSTOCK_USER_ID to your client code and FIRSTOCK_JKEY to the ``susertoken`` of
today's login, leave FIRSTOCK_URL unset, and run ``python replay_strategy.py``.
"""

import os
import sys

from firstock_ws import V1_URL, FirstockError, FirstockWS, OrderUpdate, Quote, replay

SHARES = ["NSE:2885", "NSE:1594"]
STEP = 0.1
"""Percent."""


class Moves(FirstockWS):
    """Prints a line for each move of `STEP` percent."""

    def __init__(self, user_id: str, jkey: str) -> None:
        super().__init__(
            user_id,
            jkey,
            url=os.environ.get("FIRSTOCK_URL") or V1_URL,
            rest_url=os.environ.get("FIRSTOCK_REST_URL") or None,
            tokens=SHARES,
        )
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
    user_id, jkey = os.environ.get("FIRSTOCK_USER_ID"), os.environ.get("FIRSTOCK_JKEY")
    if recording is None and (not user_id or not jkey):
        print("Set FIRSTOCK_USER_ID and FIRSTOCK_JKEY in the environment first.", file=sys.stderr)
        return 2
    strategy = Moves(user_id or "REPLAY", jkey or "none")
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
