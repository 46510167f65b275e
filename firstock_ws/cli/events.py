"""What a client or a recording tells, kept until the main thread takes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from firstock_ws.flag import Waiters
from firstock_ws.models import IST, OptionGreeks, OrderUpdate, PositionUpdate, Quote

LIMIT = 10_000
"""Events that wait before callbacks are held up; the client then keeps only the newest of each quote."""


def now_in_india() -> datetime:
    """Return this moment, IST."""
    return datetime.now(IST)


class Event(NamedTuple):
    """Something that was told.

    `data` is the update; for ``close`` (code, reason), for ``reconnect`` (attempt, delay), for ``error`` and
    ``noreconnect`` the exception, for ``note`` a text, for ``connect`` None.
    """

    kind: str
    at: datetime
    data: Any


class Collector:
    """Takes all callbacks of a client; hands what came to whoever shows it.

    Threads: the callback thread puts, the main thread takes and closes. Owned here, the lock is ``_lock``; no
    thread waits with it.
    """

    def __init__(self, *, newest_only: bool, clock: Callable[[], datetime] = now_in_india) -> None:
        """
        Args:
            newest_only: whether one quote of each instrument, the newest, is enough to be shown.
            clock: says when an event came.
        """
        self._clock = clock
        self._newest_only = newest_only
        self._lock = threading.Lock()
        self._changed = Waiters()
        self._events: list[Event] = []
        self._quotes: dict[str, Event] = {}
        self._closed = False

    def callbacks(self) -> dict[str, Callable[..., object]]:
        """Return the callbacks by name, for a client or a replay."""
        return {
            "on_quote": self._on_quote,
            "on_order_update": self._on_order_update,
            "on_position_update": self._on_position_update,
            "on_option_greeks": self._on_option_greeks,
            "on_connect": self._on_connect,
            "on_close": self._on_close,
            "on_reconnect": self._on_reconnect,
            "on_noreconnect": self._on_noreconnect,
            "on_error": self._on_error,
        }

    def note(self, text: str) -> None:
        """Put in a word of our own."""
        self._put("note", text)

    def take(self, timeout: float) -> list[Event]:
        """Return what came since the last time, oldest first; wait up to `timeout` seconds for the first."""
        self._changed.wait_for(lambda: self._events or self._quotes or None, timeout)
        with self._lock:
            taken = [*self._quotes.values(), *self._events]
            self._events, self._quotes = [], {}
        self._changed.wake()
        return taken

    def close(self) -> None:
        """Take nothing any more, and let go of a callback that waits for room."""
        self._closed = True
        self._changed.wake()

    def _put(self, kind: str, data: object) -> None:
        event = Event(kind, self._clock(), data)
        if len(self._events) >= LIMIT:
            self._changed.wait_for(lambda: self._closed or len(self._events) < LIMIT or None, None)
        if not self._closed:
            with self._lock:
                self._events.append(event)
            self._changed.wake()

    def _on_quote(self, quote: Quote) -> None:
        if not self._newest_only:
            self._put("quote", quote)
            return
        with self._lock:
            # The newest goes last.
            self._quotes.pop(quote.instrument, None)
            self._quotes[quote.instrument] = Event("quote", self._clock(), quote)

    def _on_order_update(self, order: OrderUpdate) -> None:
        self._put("order", order)

    def _on_position_update(self, position: PositionUpdate) -> None:
        self._put("position", position)

    def _on_option_greeks(self, greeks: OptionGreeks) -> None:
        self._put("greeks", greeks)

    def _on_connect(self) -> None:
        self._put("connect", None)

    def _on_close(self, code: int, reason: str) -> None:
        self._put("close", (code, reason))

    def _on_reconnect(self, attempt: int, delay: float) -> None:
        self._put("reconnect", (attempt, delay))

    def _on_noreconnect(self, error: BaseException) -> None:
        self._put("noreconnect", error)

    def _on_error(self, error: BaseException) -> None:
        self._put("error", error)
