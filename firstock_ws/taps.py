"""Who else wants to know what comes, in exactly the order in which the client takes it: recorders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from firstock_ws.models import OrderUpdate, PositionUpdate

Decision = bool | int
"""What became of an order or position update of the stream: delivered, or held back; or delivered with another
filled quantity than it came with."""


class Odd(NamedTuple):
    """A frame that is no usual market frame, and what became of the order and position updates in it."""

    frame: bytes
    decisions: tuple[Decision, ...] = ()


class Tap(Protocol):
    """Is told of everything that decides which callbacks are called, and when.

    Threads: called from the io thread, the books thread and users' threads, one call at a time, with `Taps.order`
    held: it must not wait for anything, nor call the client.
    """

    def begin(self) -> None:
        """Something is about to happen; nothing of it has changed the client yet."""

    def frames(self, frames: Sequence[bytes], odd: Sequence[Odd]) -> None:
        """Text frames came and were taken; `odd` are those among them that are no usual market frames."""

    def binary(self, frame: bytes) -> None:
        """A binary frame came."""

    def afresh(self) -> None:
        """A new connection begins: what comes is merged over nothing."""

    def event(self, name: str, args: tuple[object, ...]) -> None:
        """A lifecycle callback is queued."""

    def book(self, update: OrderUpdate | PositionUpdate) -> None:
        """An update out of one of the broker's books is queued."""

    def wanted(self, action: str, instruments: Sequence[str], symbols: Mapping[str, str]) -> None:
        """The user subscribes or unsubscribes; `action` is the wire's name for it.

        Args:
            symbols: the trading symbols of those `instruments` of which they are known.
        """

    def close(self) -> None:
        """The program is about to be ended: called on the main thread without a lock; may wait."""


class Taps:
    """The taps of one client, and the lock that makes their order the client's.

    Threads: any thread adds and removes. `order` is taken, before any other lock of the client, by whoever takes
    frames, queues a lifecycle event or a book's update, or subscribes; it is held until all of that is queued and
    the taps know of it. It is re-entrant, since a log handler of the user's may call the client.
    """

    def __init__(self) -> None:
        self.order = threading.RLock()
        self.now: tuple[Tap, ...] = ()
        """The taps there are; nearly always none. Read and replaced with `order` held."""
        self.connected = False
        """Whether the last ``on_connect`` that was queued has no ``on_close`` yet. Guarded by `order`."""

    def add(self, tap: Tap) -> None:
        """Tell `tap` of everything from here on; the caller holds `order` if it must know where that is."""
        with self.order:
            self.now = (*self.now, tap)

    def remove(self, tap: Tap) -> None:
        """Tell `tap` nothing any more; of what was not added, nothing is removed."""
        with self.order:
            self.now = tuple(other for other in self.now if other is not tap)

    def close(self) -> None:
        """Have all taps finish what they are about."""
        for tap in self.now:
            tap.close()

    def begin(self) -> None:
        """Announce something; the caller holds `order`, as for the others."""
        for tap in self.now:
            tap.begin()

    def put(self, queue: Callable[..., None], name: str, *args: object) -> None:
        """Have `queue` queue a lifecycle event, and tell of it."""
        with self.order:
            self.begin()
            queue(name, *args)
            self.event(name, args)

    def event(self, name: str, args: tuple[object, ...]) -> None:
        """Tell of a lifecycle event that is queued; the caller holds `order`."""
        if name in ("on_connect", "on_close"):
            self.connected = name == "on_connect"
        for tap in self.now:
            tap.event(name, args)
