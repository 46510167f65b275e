"""The callback thread: takes events off a queue and calls the user, so that user code never delays the reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from firstock_ws._secrets import get_logger
from firstock_ws.bell import Bell
from firstock_ws.models import Quote
from firstock_ws.pending import Pending, Update
from firstock_ws.unheard import Unheard
from firstock_ws.worker import Worker

logger = get_logger("firstock_ws.dispatch")

ENOUGH = 128
"""Updates for which the callback thread is woken though more are on their way: some milliseconds of a flood."""


def _nothing() -> None:
    """What is kept alive where nobody says otherwise."""


def _listens(name: str) -> bool:
    """Whether somebody listens to a callback, where nobody says otherwise."""
    return True


class DispatchCounts(NamedTuple):
    """The figures of queue and callbacks, taken in one moment."""

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

    Threads: any thread puts; the callback thread takes, as much at a time as there is, since taking a lock for
    each quote cost as much as the rest of delivering it. The queue and all counts are owned here, their lock is
    ``_lock``. It is never held while user code runs. The callback thread sleeps on its ``_bell``, which is rung
    once, outside the lock, by whoever has found `_idle` set and cleared it; so nobody rings once the thread has
    ended, and has closed it.
    """

    def __init__(
        self,
        call: Callable[[str, tuple[object, ...]], None],
        max_pending: int,
        *,
        call_quote: Callable[[Quote], None] | None = None,
        kept: Callable[[], object] = _nothing,
        listens: Callable[[str], bool] = _listens,
    ) -> None:
        """
        Args:
            call: calls the user's callback of that name with these arguments; may raise anything.
            max_pending: how many quotes and greeks may wait before they are conflated, and how many notices
                (raw frames, frame errors) before further ones are dropped.
            call_quote: does the same for ``on_quote``, if there is a faster way.
            kept: returns what is to stay alive while the callback thread runs.
            listens: whether somebody listens to the callback of that name.
        """
        self._call = call
        self._call_quote = call_quote or (lambda quote: call("on_quote", (quote,)))
        self._kept = kept
        self._listens = listens
        self._unheard = Unheard(logger)
        self._max_pending = max_pending
        self._pending = Pending(max_pending)
        self._lock = threading.Lock()
        self._bell: Bell | None = None
        self._worker: Worker | None = None
        self._running = False
        self._idle = False
        self._closing = False
        self._deadline: float | None = None
        self._unannounced = 0
        self._callback_errors = 0

    # --- putting -------------------------------------------------------------------------------------------

    def put(self, name: str, *args: object) -> None:
        """Queue a call that will be made whatever happens."""
        with self._lock:
            self._pending.put(name, args)
            bell = self._to_ring()
        if bell is not None:
            bell.ring()

    def put_notice(self, name: str, *args: object) -> None:
        """Queue a call that is dropped, and counted, when `max_pending` of its kind wait already."""
        with self._lock:
            bell = self._to_ring() if self._pending.put_notice(name, args) else None
        if bell is not None:
            bell.ring()

    def put_updates(self, updates: Sequence[Update], *, more_follow: bool = False) -> None:
        """Queue quotes or greeks, each to be conflated with newer ones if the callbacks are too slow.

        Args:
            more_follow: whether more are on their way; the callback thread is then woken only when enough wait for
                it, or by `announce`. To wake it costs as much as to decode some frames, and more in a flood.
        """
        with self._lock:
            overrun = self._pending.put_updates(updates)
            self._unannounced += len(updates)
            bell = None if more_follow and self._unannounced < ENOUGH else self._to_ring()
        if bell is not None:
            bell.ring()
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
                bell = self._to_ring()
            if bell is not None:
                bell.ring()

    def _to_ring(self) -> Bell | None:
        """Return, under the lock, what the caller has to ring then, because the callback thread sleeps."""
        self._unannounced = 0
        idle, self._idle = self._idle, False
        return self._bell if idle else None

    def show_trouble(self, error: BaseException, *, lost: bool) -> None:
        """Show `error`, after which there is another try, where nobody listens to what tells of either.

        Args:
            lost: whether a connection was up before.
        """
        telling = ("on_error", "on_reconnect", "on_close") if lost else ("on_error", "on_reconnect")
        if not any(map(self._listens, telling)):
            self._unheard.show_trouble(error)

    # --- the callback thread -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the callback thread, or keep the one that is still busy with an earlier session's callback.

        Raises:
            ConnectError: the process has too many files open.
            RuntimeError: the system has no thread to give.
        """
        with self._lock:
            if self._closing:
                # Quotes that a callback held up in an earlier session are of no use in this one.
                self._pending.discard_updates()
            self._closing, self._deadline = False, None
            if not self._running:
                self._bell = bell = Bell()
                self._worker = Worker(partial(self._run, self._kept(), bell), "firstock-ws-callbacks")
                try:
                    self._worker.start()
                except RuntimeError:
                    bell.close()
                    raise
                self._running = True

    def finish(self, deadline: float | None) -> None:
        """Let the callback thread deliver what waits and end.

        Args:
            deadline: `time.monotonic()` after which nothing more is delivered; None to deliver all of it.
        """
        with self._lock:
            self._closing, self._deadline = True, deadline
            bell = self._to_ring()
        if bell is not None:
            bell.ring()

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
            return DispatchCounts(*self._pending.counts(), callback_errors=self._callback_errors)

    def _run(self, kept: object, bell: Bell) -> None:
        pending = self._pending
        while True:
            with self._lock:
                if self._closing:
                    pending.take_back()
                    if self._is_over():
                        dropped = pending.discard_updates()
                        left = len(pending)
                        # From here on start() makes a new thread: this one must not touch the queue any more.
                        self._running = False
                        break
                # With a deadline one at a time: it may have come after any.
                self._idle = not pending.fill(whole=self._deadline is None)
                idle = self._idle
            if idle:
                bell.wait()
            else:
                self._deliver_batch()
        bell.close()
        if dropped or left:
            logger.warning(
                "closed while a callback was busy: %d updates were not delivered; %d order, position and "
                "lifecycle events will be, after the next connect()",
                dropped,
                left,
            )

    def _deliver_batch(self) -> None:
        pending, call_quote = self._pending, self._call_quote
        batch = pending.batch
        while batch:
            try:
                item = batch.popleft()
            except IndexError:
                # Taken back meanwhile.
                return
            name = "on_quote"
            failure: BaseException | None = None
            try:
                if type(item) is Quote:
                    # As below, with fewer calls: nearly all are.
                    pending.quotes_taken += 1
                    call_quote(item)
                else:
                    name, args = pending.taken(item)
                    self._call(name, args)
            except BaseException as error:  # noqa: BLE001 - also sys.exit(): it must not end the feed unseen
                failure = error
            if failure is not None:
                self._report(name, failure)
                # Its frames hold the client, which may be forgotten before the next event comes.
                del failure
            if self._deadline is not None:
                return

    def _is_over(self) -> bool:
        return not self._pending or (self._deadline is not None and time.monotonic() > self._deadline)

    def _report(self, name: str, failure: BaseException) -> None:
        """Tell of what a callback raised. Not called where that is being handled: it would be told of twice."""
        with self._lock:
            self._callback_errors += 1
        logger.error("the callback %s raised %s", name, type(failure).__name__, exc_info=failure)
        if name == "on_error" or not self._listens("on_error"):
            self._unheard.show(name, failure)
            return
        failed: BaseException | None = None
        try:
            self._call("on_error", (failure,))
        except BaseException as error:  # noqa: BLE001
            failed = error
        if failed is not None:
            self._report("on_error", failed)
