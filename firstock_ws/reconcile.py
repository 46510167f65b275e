"""Reads the broker's books after each connect and on a timer, for what the stream did not tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from firstock_ws._secrets import Secret, get_logger
from firstock_ws.backoff import Backoff
from firstock_ws.errors import AuthenticationError, FirstockError, FrameError, ReconcileError
from firstock_ws.ledger import SETTLE, Ledger
from firstock_ws.models import IST
from firstock_ws.rest.books import Entries, fetch_orders, fetch_positions
from firstock_ws.rest.calls import Rest
from firstock_ws.settings import Settings
from firstock_ws.worker import Worker

logger = get_logger("firstock_ws.reconcile")

CALL_TIMEOUT = 10.0
"""Seconds that reading one book may take."""
CONFIRMED = 2
"""Readings after a connect that close the gap: a book that lags may not know yet at the first."""
LONGEST_RESTLESS = 60.0
"""Seconds between readings, at most, while an order does not come to rest and there is no timer."""
STOP_LIMIT = 1.0
"""Seconds that `Reconciler.stop` waits for the thread; only a name look-up takes longer to end."""


class ReconcileCounts(NamedTuple):
    """The reconciler's figures, taken in one moment."""

    reconciles: int
    reconcile_failures: int
    gap_since: datetime | None


class Shift(NamedTuple):
    """The books thread of one session, and the connections it uses."""

    rest: Rest
    worker: Worker


class Reconciler:
    """Closes the gaps in the stream of one client, as long as it is connected.

    Threads: the io thread tells of connections, any thread starts, stops and looks; the books thread works.
    All of it is owned here, the lock is ``_lock``, with the condition ``_wake``; it is never held during a call.
    """

    def __init__(self, settings: Settings, ledger: Ledger, report: Callable[[FirstockError], None]) -> None:
        """
        Args:
            report: hands an error to ``on_error``.
        """
        self._settings = settings
        self._ledger = ledger
        ledger.on_doubt = self._read_soon
        self._report = report
        self._backoff = Backoff(min(60.0, settings.reconnect_max_delay))
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._rest: Rest | None = None
        self._key: Secret | None = None
        self._turn = 0
        """Counts up with each connection and each end of one: what an earlier turn began is out of date."""
        self._due = 0.0
        self._gap_since: datetime | None = None
        self._checked_at: datetime | None = None
        self._told = False
        self._doubtful = False
        self._failing = False
        self._readings = 0
        """Times that the books were read since the connection came up."""
        self._restless = 0
        """Times in a row that they had to be read again soon."""
        self._bad_names: set[str] = set()
        self._reconciles = 0
        self._failures = 0

    @property
    def enabled(self) -> bool:
        """Whether there is anything to do: the user wants it, and the REST address is known."""
        return self._settings.reconcile and self._settings.rest_url is not None

    def counts(self) -> ReconcileCounts:
        """Return the figures so far."""
        with self._lock:
            return ReconcileCounts(self._reconciles, self._failures, self._gap_since)

    # --- any thread ----------------------------------------------------------------------------------------

    def start(self) -> Shift | None:
        """Start a thread; return what `stop` needs to end it, None where there is nothing to do.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        if not self.enabled or self._settings.rest_url is None:
            return None
        rest = Rest(self._settings.rest_url, ssl_context=self._settings.ssl_context, timeout=CALL_TIMEOUT)
        shift = Shift(rest, Worker(lambda: self._run(rest), "firstock-ws-books"))
        with self._lock:
            self._rest = rest
        shift.worker.start()
        return shift

    def stop(self, shift: Shift | None) -> None:
        """End a thread, whatever it is doing; nothing is delivered by it afterwards."""
        if shift is None:
            return
        with self._lock:
            if self._rest is shift.rest:
                self._rest = self._key = None
                self._turn += 1
            self._wake.notify_all()
        shift.rest.abort()
        if not shift.worker.wait(STOP_LIMIT):
            logger.warning("the books thread is busy outside of our reach; it will end by itself")

    # --- io thread -----------------------------------------------------------------------------------------

    def connected(self, key: Secret) -> None:
        """The stream is up: read the books now, with `key`."""
        if not self.enabled:
            return
        with self._lock:
            self._key = key
            self._turn += 1
            self._due = time.monotonic()
            self._gap_since = self._gap_since or datetime.now(IST)
            self._readings = self._restless = 0
            self._failing = False
            self._backoff.reset()
            self._wake.notify_all()

    def disconnected(self) -> None:
        """The stream is down: from here on updates may be missed."""
        if not self.enabled:
            return
        with self._lock:
            self._key = None
            self._turn += 1
            self._gap_since = self._gap_since or datetime.now(IST)

    # --- books thread --------------------------------------------------------------------------------------

    def _run(self, rest: Rest) -> None:
        while True:
            with self._lock:
                while self._rest is rest and (self._key is None or self._due > time.monotonic()):
                    self._wake.wait(None if self._key is None else self._due - time.monotonic())
                if self._rest is not rest or self._key is None:
                    return
                key, turn, self._doubtful = self._key, self._turn, False
            failure: FirstockError | None = None
            settled = True
            try:
                settled = self._read_books(rest, key, turn)
            except FirstockError as error:
                failure = error
            except Exception as error:
                logger.exception("a fault in this package: the books could not be read")
                failure = FirstockError(f"a fault in this package ({type(error).__name__}), see the log")
            self._done(turn, settled, failure)

    def _read_books(self, rest: Rest, key: Secret, turn: int) -> bool:
        """Deliver what is news; return whether all of it is settled."""
        asked_at = time.monotonic()
        orders = fetch_orders(rest, self._settings.user_id, key)
        settled = self._deliver(orders, asked_at, turn)
        asked_at = time.monotonic()
        positions = fetch_positions(rest, self._settings.user_id, key)
        return self._deliver(positions, asked_at, turn) and settled

    def _deliver(self, entries: Entries, asked_at: float, turn: int) -> bool:
        outcomes = []
        for order in entries.orders:
            outcomes.append(self._in_turn(turn) and self._ledger.book_order(order, asked_at, entries.epoch))
        for position in entries.positions:
            outcomes.append(self._in_turn(turn) and self._ledger.book_position(position, asked_at))
        for name, entry in entries.bad:
            if name not in self._bad_names and self._in_turn(turn):
                self._bad_names.add(name)
                text = f"an entry of a book: the field {name!r} could not be parsed and is None (said once)"
                self._report(FrameError(text, frame=entry))
        return all(outcomes)

    def _read_soon(self) -> None:
        """Read the books again when they have settled: the ledger could not tell whether something was news."""
        with self._lock:
            self._doubtful = True
            if not self._failing and self._readings >= CONFIRMED:
                self._due = min(self._due, time.monotonic() + SETTLE * 2.0**self._restless)
                self._wake.notify_all()

    def _in_turn(self, turn: int) -> bool:
        with self._lock:
            return self._turn == turn

    def _done(self, turn: int, settled: bool, failure: FirstockError | None) -> None:
        with self._lock:
            if self._turn != turn:
                return
            gap, tell = self._gap_since, False
            if failure is None:
                self._reconciles += 1
                self._readings += 1
                self._failing = False
                self._backoff.reset()
                pause = self._pause_after_success(settled)
                if self._readings >= CONFIRMED:
                    self._gap_since, self._checked_at, self._told = None, datetime.now(IST), False
            else:
                self._failures += 1
                self._failing = True
                self._gap_since = gap = gap or self._checked_at or datetime.now(IST)
                tell, self._told = not self._told, True
                pause = self._pause_after(failure)
            self._due = time.monotonic() + min(pause, threading.TIMEOUT_MAX / 2)
        if failure is not None:
            logger.warning("the books could not be read: %s", failure)
        elif gap is not None and self._gap_since is None:
            logger.info("orders and positions agree with the broker's books")
        if failure is not None and tell and gap is not None:
            error = ReconcileError(
                f"order and position updates since {gap:%H:%M:%S} may be missing, the books could not be read: "
                f"{failure}; Stats.gap_since is None again when they have been"
            )
            error.__cause__ = failure
            self._report(error)

    def _pause_after_success(self, settled: bool) -> float:
        interval = self._settings.reconcile_interval
        if self._readings < CONFIRMED:
            return SETTLE
        if settled and not self._doubtful:
            self._restless = 0
            return interval or float("inf")
        # An order that is changed again and again is never settled: that must not become a stream of requests.
        self._restless += 1
        return min(SETTLE * 2.0**self._restless, interval or LONGEST_RESTLESS)

    def _pause_after(self, failure: FirstockError) -> float:
        if isinstance(failure, AuthenticationError):
            # The broker does not take this key: asking again at once would look like an attack.
            return self._settings.reconcile_interval or float("inf")
        asked: float = getattr(failure, "retry_after", None) or 0.0
        return asked + self._backoff.next_delay()
