"""The callback thread: takes events off a queue and calls the user, so that user code never delays the reader."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from firstock_ws._secrets import get_logger
from firstock_ws.models import OptionGreeks, Quote
from firstock_ws.worker import Worker

logger = get_logger("firstock_ws.dispatch")

Update = Quote | OptionGreeks
"""What may be replaced by a newer one of the same instrument when the callbacks are too slow."""


ENOUGH = 128
"""Updates for which the callback thread is woken though more are on their way: some milliseconds of a flood."""


def _nothing() -> None:
    """What is kept alive where nobody says otherwise."""


class _Event(NamedTuple):
    """A call that is never replaced by a newer one."""

    name: str
    args: tuple[object, ...]
    droppable: bool


class _Slot:
    """A place in the queue whose update is exchanged for newer ones while it waits."""

    __slots__ = ("update",)

    def __init__(self, update: Update) -> None:
        self.update = update


class DispatchCounts(NamedTuple):
    """The queue's figures, taken in one moment."""

    quotes_received: int
    quotes_delivered: int
    quotes_conflated: int
    quotes_waiting: int
    notices_dropped: int
    callback_errors: int


class Dispatcher:
    """Queue and callback thread of one client.

    While the user keeps up, everything is delivered in order of arrival. Once more than `max_pending` updates
    wait, only the newest per instrument is kept, until the queue has run empty. Orders, positions and lifecycle
    events are kept whatever happens.

    Threads: any thread puts; the callback thread takes. The queue and all counts are owned here, their lock is
    ``_lock``. It is never held while user code runs. The callback thread sleeps on ``_alarm``, a lock used as a
    bell: it is rung once, outside the lock, by whoever has found `_idle` set. A condition would do the same and
    take twice as long to wake the thread, which would often only wake up to wait for the lock.
    """

    def __init__(
        self,
        call: Callable[[str, tuple[object, ...]], None],
        max_pending: int,
        *,
        kept: Callable[[], object] = _nothing,
    ) -> None:
        """
        Args:
            call: calls the user's callback of that name with these arguments; may raise anything.
            max_pending: how many quotes and greeks may wait before they are conflated, and how many notices
                (raw frames, frame errors) before further ones are dropped.
            kept: returns what is to stay alive while the callback thread runs.
        """
        self._call = call
        self._kept = kept
        self._max_pending = max_pending
        self._lock = threading.Lock()
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._queue: deque[Quote | OptionGreeks | _Event | _Slot] = deque()
        self._slots: dict[tuple[type, str], _Slot] | None = None
        self._worker: Worker | None = None
        self._running = False
        self._idle = False
        self._closing = False
        self._deadline: float | None = None
        self._unannounced = 0
        self._updates_waiting = 0
        self._notices_waiting = 0
        self._quotes_received = 0
        self._quotes_delivered = 0
        self._quotes_conflated = 0
        self._notices_dropped = 0
        self._callback_errors = 0

    # --- putting -------------------------------------------------------------------------------------------

    def put(self, name: str, *args: object) -> None:
        """Queue a call that will be made whatever happens."""
        with self._lock:
            self._queue.append(_Event(name, args, droppable=False))
            ring = self._must_ring()
        self._ring(ring)

    def put_notice(self, name: str, *args: object) -> None:
        """Queue a call that is dropped, and counted, when `max_pending` of its kind wait already."""
        with self._lock:
            if self._notices_waiting >= self._max_pending:
                self._notices_dropped += 1
                return
            self._notices_waiting += 1
            self._queue.append(_Event(name, args, droppable=True))
            ring = self._must_ring()
        self._ring(ring)

    def put_updates(self, updates: Sequence[Update], *, more_follow: bool = False) -> None:
        """Queue quotes or greeks, each to be conflated with newer ones if the callbacks are too slow.

        Args:
            more_follow: whether more are on their way; the callback thread is then woken only when enough wait for
                it, or by `announce`. To wake it costs as much as to decode some frames, and more in a flood.
        """
        overrun = False
        with self._lock:
            quotes = [type(update) for update in updates].count(Quote)
            self._quotes_received += quotes
            if self._slots is None and self._updates_waiting + len(updates) <= self._max_pending:
                self._queue.extend(updates)
                self._updates_waiting += len(updates)
            else:
                overrun = self._put_one_by_one(updates)
            self._unannounced += len(updates)
            ring = (not more_follow or self._unannounced >= ENOUGH) and self._must_ring()
        self._ring(ring)
        if overrun:
            logger.warning(
                "callbacks are too slow: more than %d quotes waited; only the newest of each instrument is kept "
                "until they have caught up",
                self._max_pending,
            )

    def announce(self) -> None:
        """Wake the callback thread, if something was put that it has not been woken for."""
        if self._unannounced:
            with self._lock:
                ring = self._must_ring()
            self._ring(ring)

    def _put_one_by_one(self, updates: Sequence[Update]) -> bool:
        """Queue or conflate; return whether the queue was overrun by it."""
        overrun = False
        for update in updates:
            if self._slots is None:
                self._queue.append(update)
                self._updates_waiting += 1
                if self._updates_waiting > self._max_pending:
                    self._conflate_queue()
                    overrun = True
            else:
                self._put_newest(self._slots, self._queue, update)
        return overrun

    def _must_ring(self) -> bool:
        """Say, under the lock, whether the callback thread sleeps: the caller has to wake it then."""
        self._unannounced = 0
        idle, self._idle = self._idle, False
        return idle

    def _ring(self, ring: bool) -> None:
        if ring:
            self._alarm.release()

    def _put_newest(
        self,
        slots: dict[tuple[type, str], _Slot],
        queue: deque[Quote | OptionGreeks | _Event | _Slot],
        update: Update,
    ) -> None:
        key = (type(update), update.instrument)
        slot = slots.get(key)
        if slot is None:
            slots[key] = slot = _Slot(update)
            queue.append(slot)
            self._updates_waiting += 1
            return
        older = slot.update
        slot.update = update
        if isinstance(update, Quote) and isinstance(older, Quote):
            slot.update = update.replacing(older)
            self._quotes_conflated += 1

    def _conflate_queue(self) -> None:
        """Keep the newest update per instrument, at the place of the oldest: nobody waits longer than before."""
        slots: dict[tuple[type, str], _Slot] = {}
        queue: deque[Quote | OptionGreeks | _Event | _Slot] = deque()
        self._updates_waiting = 0
        for item in self._queue:
            if isinstance(item, (Quote, OptionGreeks)):
                self._put_newest(slots, queue, item)
            else:
                queue.append(item)
        self._queue, self._slots = queue, slots

    # --- the callback thread -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the callback thread, or keep the one that is still busy with an earlier session's callback."""
        with self._lock:
            if self._closing:
                # Quotes that a callback held up in an earlier session are of no use in this one.
                self._discard_updates()
            self._closing, self._deadline = False, None
            if not self._running:
                self._worker = Worker(partial(self._run, self._kept()), "firstock-ws-callbacks")
                self._worker.start()
                self._running = True

    def finish(self, deadline: float | None) -> None:
        """Let the callback thread deliver what waits and end.

        Args:
            deadline: `time.monotonic()` after which nothing more is delivered; None to deliver all of it.
        """
        with self._lock:
            self._closing, self._deadline = True, deadline
            ring = self._must_ring()
        self._ring(ring)

    def join(self, timeout: float | None) -> bool:
        """Wait for the callback thread to end, `timeout` seconds at most; return whether it has."""
        worker = self._worker
        return worker is None or (not worker.is_current and worker.wait(timeout))

    @property
    def on_callback_thread(self) -> bool:
        """Whether the caller is a callback."""
        return self._worker is not None and self._worker.is_current

    def counts(self) -> DispatchCounts:
        """Return all figures as of one moment."""
        with self._lock:
            return DispatchCounts(
                quotes_received=self._quotes_received,
                quotes_delivered=self._quotes_delivered,
                quotes_conflated=self._quotes_conflated,
                quotes_waiting=self._quotes_waiting(),
                notices_dropped=self._notices_dropped,
                callback_errors=self._callback_errors,
            )

    def _run(self, kept: object) -> None:
        lock, call = self._lock, self._call
        args: tuple[object, ...]
        while True:
            with lock:
                if self._closing and self._is_over():
                    dropped = self._discard_updates()
                    kept = len(self._queue)
                    # From here on start() makes a new thread: this one must not touch the queue any more.
                    self._running = False
                    break
                if not self._queue:
                    self._idle = True
                    name = ""
                else:
                    item = self._queue.popleft()
                    if type(item) is Quote and self._slots is None:
                        # Nearly always; written out, since a call would cost as much as all of it.
                        self._updates_waiting -= 1
                        self._quotes_delivered += 1
                        name, args = "on_quote", (item,)
                    else:
                        name, args = self._take(item)
            if not name:
                self._alarm.acquire()
                continue
            failure: BaseException | None = None
            try:
                call(name, args)
            except BaseException as error:  # noqa: BLE001 - also sys.exit(): it must not end the feed unseen
                failure = error
            if failure is not None:
                self._report_safely(name, failure)
                # Its frames hold the client, which may be forgotten before the next event comes.
                del failure
        if dropped or kept:
            logger.warning(
                "closed while a callback was busy: %d updates were not delivered; %d order, position and "
                "lifecycle events will be, after the next connect()",
                dropped,
                kept,
            )

    def _is_over(self) -> bool:
        return not self._queue or (self._deadline is not None and time.monotonic() > self._deadline)

    def _take(self, item: Quote | OptionGreeks | _Event | _Slot) -> tuple[str, tuple[object, ...]]:
        """Account for `item`, which was taken off the queue; return what is to be called with what."""
        if isinstance(item, _Event):
            self._notices_waiting -= item.droppable
            return item.name, item.args
        if self._slots is not None:
            if isinstance(item, _Slot):
                item = item.update
                del self._slots[type(item), item.instrument]
            if self._updates_waiting == 1:
                self._slots = None
        self._updates_waiting -= 1
        if type(item) is Quote:
            self._quotes_delivered += 1
            return "on_quote", (item,)
        return "on_option_greeks", (item,)

    def _quotes_waiting(self) -> int:
        return self._quotes_received - self._quotes_delivered - self._quotes_conflated

    def _discard_updates(self) -> int:
        """Drop, and count, what would be stale by the next connect(); what must not be lost waits for it."""
        waited = len(self._queue)
        self._queue = deque(item for item in self._queue if isinstance(item, _Event) and not item.droppable)
        self._slots = None
        self._quotes_conflated += self._quotes_waiting()
        self._notices_dropped += self._notices_waiting
        self._updates_waiting = self._notices_waiting = 0
        return waited - len(self._queue)

    def _report_safely(self, name: str, failure: BaseException) -> None:
        try:
            self._report(name, failure)
        except BaseException:  # noqa: BLE001 - only a logging handler of the user's can raise here
            with self._lock:
                self._callback_errors += 1

    def _report(self, name: str, failure: BaseException) -> None:
        """Tell of what a callback raised. Not called where that is being handled: it would be told of twice."""
        with self._lock:
            self._callback_errors += 1
        logger.error("the callback %s raised %s", name, type(failure).__name__, exc_info=failure)
        if name == "on_error":
            return
        failed: BaseException | None = None
        try:
            self._call("on_error", (failure,))
        except BaseException as error:  # noqa: BLE001
            failed = error
        if failed is not None:
            self._report("on_error", failed)
