"""What a soak has seen: everything that the client is told, checked as it comes."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter, defaultdict
from typing import Any

from firstock_ws import FirstockWS, OrderUpdate, PositionUpdate, Quote

COUNTED = "NSE:424242"
"""An instrument that the simulator does not know: its last price counts the frames pushed, one by one."""


@dataclasses.dataclass
class Verdict:
    """What a soak has found; the first four must be 0."""

    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    unexplained: int = 0
    rounds: int = 0
    quotes: int = 0
    orders: int = 0
    reconnects: int = 0
    from_books: int = 0
    faults: Counter[str] = dataclasses.field(default_factory=Counter)
    details: list[str] = dataclasses.field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.reordered or self.unexplained)

    def report(self, seed: int) -> str:
        """Return all of it in words."""
        kinds = ("lost", "duplicated", "reordered", "unexplained")
        counts = ", ".join(f"{name} {getattr(self, name)}" for name in kinds)
        return "\n".join(
            [
                f"seed {seed}: {counts}",
                f"{self.rounds} rounds, {self.reconnects} reconnects, {self.quotes} quotes, {self.orders} orders",
                f"{self.from_books} from the books; {sum(self.faults.values())} faults: {dict(self.faults)}",
                *self.details,
            ]
        )

    def find(self, kind: str, detail: str) -> None:
        """Count a finding of `kind`, the name of an attribute."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.details) < 30:
            self.details.append(f"{kind}: {detail}")


class Witness:
    """Everything that the client is told, checked as it comes.

    Threads: the callback thread writes; the soak reads when all is quiet. The lock is ``lock``.
    """

    def __init__(self, client: FirstockWS, verdict: Verdict) -> None:
        self.lock = threading.Lock()
        self.verdict = verdict
        self.connection = 0
        self.open = False
        self.expected: set[type] = set()
        self.may_close = False
        self.orders: dict[str, OrderUpdate] = {}
        self.seen: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.positions: dict[str | None, PositionUpdate] = {}
        self.count = 0
        self._count_of: tuple[int, int] = (0, 0)
        self._newest: dict[str, tuple[int, int]] = {}
        client.on_quote = self.on_quote
        client.on_order_update = self.on_order
        client.on_position_update = self.on_position
        client.on_connect = self.on_connect
        client.on_close = self.on_close
        client.on_error = self.on_error

    def on_connect(self) -> None:
        with self.lock:
            self.connection += 1
            if self.open:
                self.verdict.find("unexplained", "on_connect twice without on_close")
            self.open = True

    def on_close(self, code: int, reason: str) -> None:
        with self.lock:
            if not self.open:
                self.verdict.find("unexplained", f"on_close without on_connect: {code} {reason}")
            if not self.may_close:
                self.verdict.find("unexplained", f"on_close in a round without such a fault: {code} {reason}")
            self.open = False

    def on_error(self, error: BaseException) -> None:
        with self.lock:
            if type(error) not in self.expected:
                self.verdict.find("unexplained", f"on_error: {type(error).__name__}: {error}")

    def on_quote(self, quote: Quote) -> None:
        with self.lock:
            self.verdict.quotes += 1
            if quote.instrument == COUNTED:
                self._count_on(round((quote.last_price or 0) * 100))
                return
            # Volume, and the exchange's time, only grow: an older state after a newer one shows.
            order = quote.volume or 0, int(quote.feed_time.timestamp()) if quote.feed_time else 0
            last = self._newest.get(quote.instrument, (0, 0))
            if order[0] < last[0] or order[1] < last[1]:
                self.verdict.find("reordered", f"{quote.instrument}: {last} and then {order}")
            self._newest[quote.instrument] = order

    def _count_on(self, count: int) -> None:
        connection, last = self._count_of
        if count == last:
            self.verdict.find("duplicated", f"frame {count}")
        elif count < last:
            self.verdict.find("reordered", f"frame {count} after {last}")
        elif connection == self.connection and count != last + 1:
            self.verdict.find("lost", f"frames {last + 1} to {count - 1}, on one connection")
        self._count_of = (self.connection, count)
        self.count = count

    def on_order(self, order: OrderUpdate) -> None:
        with self.lock:
            self.verdict.orders += 1
            self.verdict.from_books += order.source == "book"
            before = self.orders.get(order.order_number)
            if before is not None and (order.filled_quantity or 0) < (before.filled_quantity or 0):
                self.verdict.find("reordered", f"order {order.order_number}: fewer filled than before")
            self.orders[order.order_number] = order
            self.seen[order.order_number].append(facts(order))

    def on_position(self, position: PositionUpdate) -> None:
        with self.lock:
            before = self.positions.get(position.instrument)
            if before is not None:
                change = traded(position) - traded(before)
                if change < 0:
                    self.verdict.find("reordered", f"position {position.instrument}: went back by {-change}")
                elif change == 0:
                    self.verdict.find("duplicated", f"position {position.instrument}")
            self.positions[position.instrument] = position


def facts(order: OrderUpdate) -> tuple[Any, ...]:
    return order.status, order.filled_quantity or 0, order.price


def traded(position: PositionUpdate) -> int:
    return (position.day_buy_quantity or 0) + (position.day_sell_quantity or 0)
