"""What the user has been told of each order and position: tells news in a book, and old news on the stream.

An order only ever moves on: its filled quantity grows, and after an end state nothing follows. A position's
quantities bought and sold only grow within a day. By these facts two reports of the same thing are put in order,
since neither the stream nor the books carry a number that would do it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from firstock_ws.models import OrderUpdate, PositionUpdate
from firstock_ws.models._fields import whole_number

MAX_ENTRIES = 50_000
"""Orders, and positions, that are remembered; the ones that moved last."""
SETTLE = 1.0
"""Seconds for which a book may lag behind the stream: what the stream told since then is not corrected by it."""

# Waiting for the exchange, waiting for the trigger, at the exchange; what is not here counts as the first.
_RANKS = {"TRIGGER_PENDING": 1, "OPEN": 2}
_FINAL = 3


class _OrderFacts(NamedTuple):
    """What both sources tell of an order, in the order in which it decides."""

    filled: int
    rank: int
    status: str | None
    quantity: int | None
    price: float | None


class _PositionFacts(NamedTuple):
    traded: int
    net: int | None


_Facts = TypeVar("_Facts")


@dataclass
class _Told(Generic[_Facts]):
    """The last report of one order or position that the user got."""

    facts: _Facts
    at: float
    awaited: bool = False
    """From the book: the stream's own report of the same may still come, and is no news then."""
    book_epoch: int = 0
    """The server's second at which that book was made; what the stream stamped later is news."""
    stamp: tuple[int, int] = (0, 0)
    raw: object = None


class _Table(OrderedDict[Hashable, _Told[_Facts]]):
    """What was told last of each order, or of each position."""

    def remember(self, key: Hashable, told: _Told[_Facts]) -> None:
        self[key] = told
        self.move_to_end(key)
        if len(self) > MAX_ENTRIES:
            self.popitem(last=False)


class LedgerCounts(NamedTuple):
    """The ledger's figures, taken in one moment."""

    book_updates: int
    stale_updates: int


class Ledger:
    """Lets through what is news to the user, each thing once, never going backwards.

    Threads: the io thread brings updates of the stream, the books thread those of the books. The tables are owned
    here, their lock is ``_lock``, held until what passes is queued: things are delivered as they were decided.
    """

    def __init__(self, put: Callable[[str, object], None], *, follow: bool) -> None:
        """
        Args:
            put: queues a call of the callback of that name.
            follow: False to let everything through as it comes.
        """
        self._put = put
        self._follow = follow
        self.on_doubt: Callable[[], None] = _no_doubt
        """Called with the lock held when an update of the stream was held back that may be news after all."""
        self._lock = threading.Lock()
        self._orders: _Table[_OrderFacts] = _Table()
        self._positions: _Table[_PositionFacts] = _Table()
        self._day: object = None
        self._book_updates = 0
        self._stale_updates = 0

    def counts(self) -> LedgerCounts:
        """Return the figures so far."""
        with self._lock:
            return LedgerCounts(self._book_updates, self._stale_updates)

    def begin_day(self, day: object) -> None:
        """Forget the positions of another day, whose quantities start again from 0."""
        with self._lock:
            if day != self._day:
                self._day = day
                self._positions.clear()

    # --- from the stream -----------------------------------------------------------------------------------

    def stream_order(self, update: OrderUpdate) -> None:
        """Deliver `update` unless the user knows as much, or more, of that order."""
        with self._lock:
            if self._follow:
                told = self._orders.get(update.order_number)
                facts, stamp = _order_facts(update), _stamp(update)
                if told is not None and _is_old_order(told, facts, stamp, update):
                    self._stale_updates += 1
                    # The stream has caught up with the book: what it says from now on is news.
                    told.awaited = told.awaited and facts != told.facts
                    if told.awaited and facts[:2] == told.facts[:2]:
                        self.on_doubt()
                    return
                now = time.monotonic()
                self._orders.remember(update.order_number, _Told(facts, now, stamp=stamp, raw=update.raw))
            self._put("on_order_update", update)

    def stream_position(self, update: PositionUpdate) -> None:
        """Deliver `update` unless the user knows as much, or more, of that position."""
        with self._lock:
            facts = _position_facts(update)
            if self._follow and facts is not None:
                key = (update.instrument, update.product)
                told = self._positions.get(key)
                if told is not None and _is_old_position(told, facts, update.raw):
                    self._stale_updates += 1
                    told.awaited = told.awaited and facts != told.facts
                    return
                self._positions.remember(key, _Told(facts, time.monotonic(), raw=update.raw))
            self._put("on_position_update", update)

    # --- from the books ------------------------------------------------------------------------------------

    def book_order(self, update: OrderUpdate, asked_at: float, epoch: int) -> bool:
        """Deliver `update` if it is news.

        Args:
            asked_at: the `time.monotonic()` at which the book was asked for.
            epoch: the second at which it was made, by the server's clock; 0 if that is not known.

        Returns:
            Whether that is settled: False if the stream told something else so shortly before that either may be
            the newer, so that the book should be read again.
        """
        facts = _order_facts(update)
        with self._lock:
            told = self._orders.get(update.order_number)
            filled = facts.filled
            if told is not None:
                known = told.facts
                ended = known.rank == _FINAL and (facts.rank < _FINAL or facts.filled <= known.filled)
                if ended or facts == known or facts[:2] < known[:2]:
                    return True
                if facts[:2] == known[:2] and told.at > asked_at - SETTLE:
                    return False
                filled -= known.filled
            if filled > 0:
                update = replace(update, fill_quantity=filled)
            stamp = told.stamp if told is not None else (0, 0)
            self._orders.remember(update.order_number, _Told(facts, time.monotonic(), True, epoch, stamp))
            self._book_updates += 1
            self._put("on_order_update", update)
            return True

    def book_position(self, update: PositionUpdate, asked_at: float) -> bool:
        """Deliver `update` if it is news; arguments and result are like those of `book_order`."""
        facts = _position_facts(update)
        if facts is None:
            return True
        key = (update.instrument, update.product)
        with self._lock:
            told = self._positions.get(key)
            if told is not None:
                if facts == told.facts or facts.traded < told.facts.traded:
                    return True
                if facts.traded == told.facts.traded and told.at > asked_at - SETTLE:
                    return False
            self._positions.remember(key, _Told(facts, time.monotonic(), True))
            self._book_updates += 1
            self._put("on_position_update", update)
            return True


def _no_doubt() -> None:
    """Nobody reads the books."""


def _order_facts(update: OrderUpdate) -> _OrderFacts:
    rank = _FINAL if update.is_final else _RANKS.get(update.status or "", 0)
    return _OrderFacts(update.filled_quantity or 0, rank, update.status, update.quantity, update.price)


def _position_facts(update: PositionUpdate) -> _PositionFacts | None:
    """None for a position that does not say what was traded: nothing can be compared then."""
    bought, sold = update.day_buy_quantity, update.day_sell_quantity
    return None if bought is None or sold is None else _PositionFacts(bought + sold, update.net_quantity)


def _stamp(update: OrderUpdate) -> tuple[int, int]:
    """When the broker made an update of the stream: epoch seconds and nanoseconds, zeros where it does not say."""
    try:
        return whole_number(update.raw.get("tm")) or 0, whole_number(update.raw.get("ntm")) or 0
    except ValueError:
        return 0, 0


def _is_old_order(
    told: _Told[_OrderFacts], facts: _OrderFacts, stamp: tuple[int, int], update: OrderUpdate
) -> bool:
    known = told.facts
    if facts.filled != known.filled:
        return facts.filled < known.filled
    if known.rank == _FINAL > facts.rank or update.raw == told.raw or (stamp[0] and stamp < told.stamp):
        return True
    # The stream tells its own steps in order, also when a change of the order takes it back to PENDING. But of
    # what the book told first, it may still tell the steps up to there, and that one itself. Its stamps are whole
    # seconds: of the book's own second nobody can tell, and the book is read again.
    return told.awaited and facts.rank <= known.rank and not 0 < told.book_epoch < stamp[0]


def _is_old_position(told: _Told[_PositionFacts], facts: _PositionFacts, raw: object) -> bool:
    known = told.facts
    return facts.traded < known.traded or raw == told.raw or (told.awaited and facts == known)
