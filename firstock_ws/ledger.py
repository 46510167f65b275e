"""What the user has been told of each order and position: tells news in a book, and old news on the stream.

Neither the stream nor the books number their reports. What puts two of the same order in order: its filled
quantity only grows, and after an end state nothing follows. Where that does not decide, the later word counts: a
book's, unless the stream spoke shortly before it, since books may lag; the stream's, unless it repeats what a book
told first.
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
from firstock_ws.taps import Taps

MAX_ENTRIES = 50_000
"""Orders, and positions, that are remembered; the ones that moved last."""
SETTLE = 2.0
"""Seconds for which a book may lag behind the stream: what the stream told since then is not corrected by it."""
LATE = 10.0
"""Seconds for which the stream may lag behind a book, where the reports bear no time that tells."""
NEW_DAY = 60.0
"""Seconds after which fewer traded than before means another day, not an old report."""

# Waiting for the exchange, waiting for the trigger, at the exchange; what is not here counts as the first.
_RANKS = {"TRIGGER_PENDING": 1, "OPEN": 2}
_FINAL = 3


class _OrderFacts(NamedTuple):
    """What both sources tell of an order."""

    filled: int
    rank: int
    terms: tuple[object, ...]
    """Status, quantity, price, trigger price, price type."""

    @property
    def final(self) -> bool:
        return self.rank == _FINAL

    def agrees(self, other: _OrderFacts) -> bool:
        """Whether both tell the same; what one of them does not tell counts as the same."""
        same = all(a == b or a is None or b is None for a, b in zip(self.terms, other.terms, strict=True))
        return self.filled == other.filled and same


class _PositionFacts(NamedTuple):
    traded: int | None
    """Bought and sold today, together; None where that is not told."""
    net: int | None


_Facts = TypeVar("_Facts")


@dataclass
class _Told(Generic[_Facts]):
    """The last report of one order or position that the user got."""

    facts: _Facts
    at: float
    awaited: bool = False
    """From a book: the stream's own report of the same may still come, and is no news then."""
    book_epoch: int = 0
    """The server's second at which that book was made; 0 where it is not known."""
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


def _no_doubt() -> None:
    """Nobody reads the books."""


class Ledger:
    """Lets through what is news to the user, each thing once, never going backwards.

    Threads: the io thread brings updates of the stream, the books thread those of the books. The tables are owned
    here, their lock is ``_lock``, held until what passes is queued: things are delivered as they were decided.
    Around it, the lock of the taps, `Taps.order`: taken here for the books, by the feed for the stream.
    """

    def __init__(self, put: Callable[[str, object], None], *, follow: bool, taps: Taps | None = None) -> None:
        """
        Args:
            put: queues a call of the callback of that name.
            follow: False to let everything through as it comes.
            taps: who else is told of what the books bring.
        """
        self._put = put
        self._taps = Taps() if taps is None else taps
        self._follow = follow
        self.on_doubt: Callable[[], None] = _no_doubt
        """Called with the lock held when an update of the stream was held back that may be news after all."""
        self._lock = threading.Lock()
        self._orders: _Table[_OrderFacts] = _Table()
        self._positions: _Table[_PositionFacts] = _Table()
        self._book_updates = 0
        self._stale_updates = 0

    def counts(self) -> LedgerCounts:
        """Return the figures so far."""
        with self._lock:
            return LedgerCounts(self._book_updates, self._stale_updates)

    # --- from the stream -----------------------------------------------------------------------------------

    def stream_order(self, update: OrderUpdate) -> OrderUpdate | None:
        """Deliver `update` unless the user knows as much, or more, of that order; return what was delivered."""
        with self._lock:
            if self._follow:
                told = self._orders.get(update.order_number)
                facts, stamp, now = _order_facts(update, told), _stamp(update), time.monotonic()
                update = _with_all_fills(update, facts)
                if told is not None and _is_old_order(told, facts, stamp, update.raw, now):
                    self._stale_updates += 1
                    if facts.agrees(told.facts):
                        # The stream has caught up with the book: what it says from now on is news.
                        told.awaited = False
                    elif update.raw != told.raw and facts.filled >= told.facts.filled:
                        self.on_doubt()
                    return None
                self._orders.remember(update.order_number, _Told(facts, now, stamp=stamp, raw=update.raw))
            self._put("on_order_update", update)
            return update

    def stream_position(self, update: PositionUpdate) -> bool:
        """Deliver `update` unless the user knows as much, or more, of that position; return whether it was."""
        with self._lock:
            if self._follow:
                key, facts, now = _position_key(update), _position_facts(update), time.monotonic()
                told = self._positions.get(key)
                if told is not None and _is_old_position(told, facts, update.raw, now):
                    self._stale_updates += 1
                    told.awaited = told.awaited and facts != told.facts
                    return False
                self._positions.remember(key, _Told(facts, now, raw=update.raw))
            self._put("on_position_update", update)
            return True

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
        with self._taps.order, self._lock:
            told = self._orders.get(update.order_number)
            facts = _order_facts(update, told)
            update, gained = _with_all_fills(update, facts), facts.filled
            if told is not None:
                known = told.facts
                if facts.agrees(known) or facts.filled < known.filled:
                    return True
                if known.final and not (facts.final and facts.filled > known.filled):
                    return True
                moved_on = facts.filled > known.filled or facts.final
                if not moved_on and told.at > asked_at - SETTLE:
                    return False
                gained -= known.filled
            if gained > 0:
                update = replace(update, fill_quantity=gained)
            stamp = told.stamp if told is not None else (0, 0)
            self._orders.remember(update.order_number, _Told(facts, time.monotonic(), True, epoch, stamp))
            self._deliver_from_book("on_order_update", update)
            return True

    def book_position(self, update: PositionUpdate, asked_at: float) -> bool:
        """Deliver `update` if it is news; arguments and result are like those of `book_order`."""
        key, facts = _position_key(update), _position_facts(update)
        with self._taps.order, self._lock:
            told = self._positions.get(key)
            if told is not None:
                known = told.facts
                if facts == known:
                    return True
                if _fewer(facts, known):
                    if told.at > asked_at - NEW_DAY:
                        return True
                elif facts.traded == known.traded and told.at > asked_at - SETTLE:
                    return False
            self._positions.remember(key, _Told(facts, time.monotonic(), True))
            self._deliver_from_book("on_position_update", update)
            return True

    def _deliver_from_book(self, name: str, update: OrderUpdate | PositionUpdate) -> None:
        self._book_updates += 1
        self._taps.begin()
        self._put(name, update)
        for tap in self._taps.now:
            tap.book(update)


def _order_facts(update: OrderUpdate, told: _Told[_OrderFacts] | None) -> _OrderFacts:
    filled, known = update.filled_quantity, told.facts.filled if told is not None else 0
    if filled is None or (update.is_final and filled < known):
        # Not told is not none: a cancelled order keeps what was filled of it, also where the report does not.
        filled = known
    rank = _FINAL if update.is_final else _RANKS.get(update.status or "", 0)
    terms = (update.status, update.quantity, update.price, update.trigger_price, update.price_type)
    return _OrderFacts(filled, rank, terms)


def _with_all_fills(update: OrderUpdate, facts: _OrderFacts) -> OrderUpdate:
    if facts.filled == (update.filled_quantity or 0):
        return update
    return replace(update, filled_quantity=facts.filled)


def _stamp(update: OrderUpdate) -> tuple[int, int]:
    """When the broker made an update of the stream: epoch seconds and nanoseconds, zeros where it does not say."""
    try:
        return whole_number(update.raw.get("tm")) or 0, whole_number(update.raw.get("ntm")) or 0
    except ValueError:
        return 0, 0


def _is_old_order(
    told: _Told[_OrderFacts], facts: _OrderFacts, stamp: tuple[int, int], raw: object, now: float
) -> bool:
    known = told.facts
    if raw == told.raw or facts.filled < known.filled:
        return True
    if known.final:
        return not (facts.final and facts.filled > known.filled)
    if facts.filled > known.filled or facts.final:
        return False
    if told.awaited:
        if facts.agrees(known):
            return True
        # Of what the book told first, the stream may still tell the steps up to there, and that one itself. Its
        # stamps are whole seconds as the book's date is: of the same second nobody can tell.
        if told.book_epoch and stamp[0]:
            return stamp[0] <= told.book_epoch
        return now < told.at + LATE and facts.rank <= known.rank
    # The stream tells its own steps in order, also when a change of the order takes it back to PENDING.
    return all(stamp) and all(told.stamp) and stamp < told.stamp


def _position_key(update: PositionUpdate) -> Hashable:
    return update.instrument or update.trading_symbol, update.product


def _position_facts(update: PositionUpdate) -> _PositionFacts:
    bought, sold = update.day_buy_quantity, update.day_sell_quantity
    traded = None if bought is None and sold is None else (bought or 0) + (sold or 0)
    return _PositionFacts(traded, update.net_quantity)


def _fewer(facts: _PositionFacts, known: _PositionFacts) -> bool:
    return facts.traded is not None and known.traded is not None and facts.traded < known.traded


def _is_old_position(told: _Told[_PositionFacts], facts: _PositionFacts, raw: object, now: float) -> bool:
    if raw == told.raw or (told.awaited and facts == told.facts):
        return True
    return _fewer(facts, told.facts) and now < told.at + NEW_DAY
