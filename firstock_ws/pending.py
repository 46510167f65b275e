"""What waits for the callback thread, in order, with the newest quote alone once too many wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from firstock_ws.models import OptionGreeks, Quote

Update = Quote | OptionGreeks
"""What may be replaced by a newer one of the same instrument when the callbacks are too slow."""


class Event(NamedTuple):
    """A call that is never replaced by a newer one."""

    name: str
    args: tuple[object, ...]
    droppable: bool


Item = Update | Event


BEGINNING = "on_connect"
"""The event that begins a connection: what came on another one must not be mixed with what comes after it."""
_FEW_EMPTY = 1_000
"""Empty slots that may stay in the queue."""


class _Slot:
    """A place in the queue whose update is exchanged for newer ones of the same connection while it waits."""

    __slots__ = ("connection", "update")

    def __init__(self, update: Update, connection: int) -> None:
        self.update: Update | None = update
        """None once a newer one waits at another place."""
        self.connection = connection


def _is_empty(item: Item | _Slot) -> bool:
    return isinstance(item, _Slot) and item.update is None


class PendingCounts(NamedTuple):
    """The queue's figures, taken in one moment."""

    quotes_received: int
    quotes_delivered: int
    quotes_conflated: int
    quotes_waiting: int
    notices_dropped: int


class Pending:
    """The queue, and the batch that is being delivered.

    Threads: whoever calls a method holds the lock of the dispatcher, but for `taken`. The callback thread pops
    from the left end of `batch` without it, and is the only one to call `taken`, and to write the counts
    of what was taken. Who has the lock may only pop from the right end: so the two never get the same, and what
    the callback thread gets is older than what was taken back.
    """

    def __init__(self, limit: int) -> None:
        """
        Args:
            limit: how many updates may wait before they are conflated, and how many notices before further ones
                are dropped.
        """
        self.batch: deque[Item] = deque()
        """What is being delivered, oldest first; the same object for good."""
        self._limit = limit
        self._queue: deque[Item | _Slot] = deque()
        self._slots: dict[tuple[type, str], _Slot] | None = None
        self._connection = 0
        self._empty = 0
        self._quotes_put = self._greeks_put = self._notices_put = 0
        self._quotes_conflated = self._greeks_conflated = 0
        self._notices_refused = self._notices_discarded = 0
        # The callback thread's.
        self.quotes_taken = 0
        """Quotes that were popped off the batch."""
        self._greeks_taken = self._notices_taken = 0

    def __len__(self) -> int:
        return len(self.batch) + len(self._queue) - self._empty

    # --- putting -------------------------------------------------------------------------------------------

    def put(self, name: str, args: tuple[object, ...]) -> None:
        """Queue a call that will be made whatever happens."""
        self._put_newest(Event(name, args, droppable=False))

    def put_notice(self, name: str, args: tuple[object, ...]) -> bool:
        """Queue a call unless `limit` of its kind wait; return whether it was."""
        if self._notices_put - self._notices_taken - self._notices_discarded >= self._limit:
            self._notices_refused += 1
            return False
        self._notices_put += 1
        self._queue.append(Event(name, args, droppable=True))
        return True

    def put_updates(self, updates: Sequence[Update]) -> bool:
        """Queue updates, or put them in the place of older ones; return whether it has just become too many."""
        quotes = list(map(type, updates)).count(Quote)
        # What is there at all is more than the updates, and quicker to count.
        fits = self._slots is None and (
            len(self._queue) + len(self.batch) + len(updates) <= self._limit
            or self._updates_waiting + len(updates) <= self._limit
        )
        self._quotes_put += quotes
        self._greeks_put += len(updates) - quotes
        if fits:
            self._queue.extend(updates)
            return False
        overrun = self._slots is None
        if overrun:
            self.take_back()
            waiting, self._queue, self._slots, self._connection = self._queue, deque(), {}, 0
            for item in waiting:
                self._put_newest(item)
        for update in updates:
            self._put_newest(update)
        return overrun

    def _put_newest(self, item: Item | _Slot) -> None:
        """Put an update at the place of the oldest of its instrument: nobody waits longer than before.

        Not before the beginning of its connection, though: there the older one goes, and this is a new beginning.
        """
        if not isinstance(item, (Quote, OptionGreeks)):
            self._connection += isinstance(item, Event) and item.name == BEGINNING
            self._queue.append(item)
            return
        assert self._slots is not None
        key = (type(item), item.instrument)
        slot = self._slots.get(key)
        older = slot.update if slot is not None else None
        if slot is not None and slot.connection == self._connection:
            slot.update = item.replacing(older) if isinstance(item, Quote) and isinstance(older, Quote) else item
        else:
            self._slots[key] = new = _Slot(item, self._connection)
            self._queue.append(new)
            if slot is not None:
                slot.update = None
                self._empty += 1
                self._sweep()
        if older is not None:
            self._quotes_conflated += isinstance(older, Quote)
            self._greeks_conflated += isinstance(older, OptionGreeks)

    def _sweep(self) -> None:
        """Take the empty slots out when they are many: a stuck callback may see many connections."""
        if self._empty > max(_FEW_EMPTY, len(self._queue) // 2):
            self._queue = deque(item for item in self._queue if not _is_empty(item))
            self._empty = 0

    # --- taking --------------------------------------------------------------------------------------------

    def fill(self, *, whole: bool) -> bool:
        """Fill the batch, which is empty; return whether there is anything in it now.

        Args:
            whole: with all that waits, if nothing is conflated; else with one.
        """
        queue, batch = self._queue, self.batch
        if not queue:
            return False
        if whole and self._slots is None:
            batch.extend(queue)  # type: ignore[arg-type]  # no slots
            queue.clear()
            return True
        item = queue.popleft()
        while isinstance(item, _Slot):
            update = item.update
            if update is not None:
                assert self._slots is not None
                del self._slots[type(update), update.instrument]
                item = update
            else:
                self._empty -= 1
                item = queue.popleft()
        if not isinstance(item, Event) and self._updates_waiting == 1:
            # No empty slot is left either: each has a newer one behind it.
            self._slots = None
        batch.append(item)
        return True

    def taken(self, item: Item) -> tuple[str, tuple[object, ...]]:
        """Account for what was popped off the batch; return what is to be called with what."""
        if type(item) is Quote:
            self.quotes_taken += 1
            return "on_quote", (item,)
        if isinstance(item, Event):
            self._notices_taken += item.droppable
            return item.name, item.args
        self._greeks_taken += 1
        return "on_option_greeks", (item,)

    def take_back(self) -> None:
        """Put what is left of the batch back to the front of the queue."""
        try:
            while True:
                self._queue.appendleft(self.batch.pop())
        except IndexError:
            # Empty: asking first would not do, since the callback thread pops meanwhile.
            return

    def discard_updates(self) -> int:
        """Drop, and count, what would be stale by the next connect(); what must not be lost stays."""
        self.take_back()
        kept: deque[Item | _Slot] = deque()
        before = len(self)
        for item in self._queue:
            if _is_empty(item):
                continue
            if isinstance(item, Event):
                if item.droppable:
                    self._notices_discarded += 1
                else:
                    kept.append(item)
            elif isinstance(item.update if isinstance(item, _Slot) else item, Quote):
                self._quotes_conflated += 1
            else:
                self._greeks_conflated += 1
        self._queue, self._slots, self._empty = kept, None, 0
        return before - len(kept)

    # --- figures -------------------------------------------------------------------------------------------

    @property
    def _updates_waiting(self) -> int:
        put, conflated = self._quotes_put + self._greeks_put, self._quotes_conflated + self._greeks_conflated
        return put - conflated - self.quotes_taken - self._greeks_taken

    def counts(self) -> PendingCounts:
        """Return all figures as of one moment."""
        taken = self.quotes_taken
        return PendingCounts(
            quotes_received=self._quotes_put,
            quotes_delivered=taken,
            quotes_conflated=self._quotes_conflated,
            quotes_waiting=self._quotes_put - taken - self._quotes_conflated,
            notices_dropped=self._notices_refused + self._notices_discarded,
        )
