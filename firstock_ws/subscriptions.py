"""What the user wants streamed, and which frames are still to be sent so that the server knows it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from itertools import filterfalse

from firstock_ws import protocol


class Wanted:
    """One kind of subscription: the instruments wanted, in the order they were asked for."""

    def __init__(self, subscribe_action: str, unsubscribe_action: str) -> None:
        self.subscribe_action = subscribe_action
        self.unsubscribe_action = unsubscribe_action
        self.instruments: dict[str, None] = {}


class Subscriptions:
    """Remembers what is wanted through every reconnect.

    Threads: any thread adds and removes; the connection's threads take frames to send. All of it is owned here,
    the lock is ``_lock``. While offline nothing is queued: a new connection asks for the whole set at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._quotes = Wanted(protocol.SUBSCRIBE, protocol.UNSUBSCRIBE)
        self._greeks = Wanted(protocol.SUBSCRIBE_GREEKS, protocol.UNSUBSCRIBE_GREEKS)
        self._queue: deque[str] = deque()
        self._online = False

    @property
    def quotes(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._quotes.instruments)

    @property
    def greeks(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._greeks.instruments)

    @property
    def any_wanted(self) -> bool:
        """Whether anything at all is subscribed."""
        return bool(self._quotes.instruments or self._greeks.instruments)

    def wants_quotes(self, instrument: str) -> bool:
        """Whether quotes of `instrument` are wanted at this moment."""
        return instrument in self._quotes.instruments

    def wants_greeks(self, instrument: str) -> bool:
        """Whether option greeks of `instrument` are wanted at this moment."""
        return instrument in self._greeks.instruments

    def add_quotes(self, instruments: Iterable[str]) -> list[str]:
        """Want quotes of `instruments`; return those that were not wanted before."""
        return self._add(self._quotes, instruments)

    def remove_quotes(self, instruments: Iterable[str]) -> list[str]:
        """Do not want quotes of `instruments` any more; return those that were wanted before."""
        return self._remove(self._quotes, instruments)

    def add_greeks(self, instruments: Iterable[str]) -> list[str]:
        """Want option greeks of `instruments`; return those that were not wanted before."""
        return self._add(self._greeks, instruments)

    def remove_greeks(self, instruments: Iterable[str]) -> list[str]:
        """Do not want option greeks of `instruments` any more; return those that were wanted before."""
        return self._remove(self._greeks, instruments)

    def _add(self, wanted: Wanted, instruments: Iterable[str]) -> list[str]:
        with self._lock:
            new = list(filterfalse(wanted.instruments.__contains__, instruments))
            # In this order: after Ctrl-C in between, asking again asks the broker again.
            self._enqueue(wanted.subscribe_action, new)
            wanted.instruments.update(dict.fromkeys(new))
            return new

    def _remove(self, wanted: Wanted, instruments: Iterable[str]) -> list[str]:
        with self._lock:
            gone = list(filter(wanted.instruments.__contains__, instruments))
            self._enqueue(wanted.unsubscribe_action, gone)
            for name in gone:
                del wanted.instruments[name]
            return gone

    def _enqueue(self, action: str, instruments: list[str]) -> None:
        if self._online:
            self._queue.extend(protocol.action_frames(action, instruments))

    def go_online(self) -> list[str]:
        """Return the frames that ask a new connection for everything; later changes are queued from here on."""
        with self._lock:
            self._online = True
            self._queue.clear()
            return [
                frame
                for wanted in (self._quotes, self._greeks)
                for frame in protocol.action_frames(wanted.subscribe_action, wanted.instruments)
            ]

    def go_offline(self) -> None:
        """Forget what was queued: the connection is gone."""
        with self._lock:
            self._online = False
            self._queue.clear()

    def next_frame(self) -> str | None:
        """Take the next frame to send, None when there is none."""
        with self._lock:
            return self._queue.popleft() if self._queue else None
