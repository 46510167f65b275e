"""Where a client stands: one enum, and a holder that other threads can wait on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum


class State(Enum):
    """Where a client stands."""

    STOPPED = "stopped"
    """Not started, or closed by the user."""
    CONNECTING = "connecting"
    """Dialling, shaking hands, or waiting for the broker's word on the key."""
    CONNECTED = "connected"
    """Authenticated and subscribed."""
    WAITING = "waiting"
    """Between two tries."""
    FAILED = "failed"
    """Gave up; ``connect()`` starts again."""


ENDED = frozenset({State.STOPPED, State.FAILED})


class StateHolder:
    """The state of one client, written by whoever was given charge of it last.

    Threads: the io thread and ``close()`` write, any thread reads or waits. Owned here, the lock is
    ``_changed`` (a condition).
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._state = State.STOPPED
        self._in_charge: object = None

    @property
    def now(self) -> State:
        return self._state

    def take_charge(self, writer: object) -> None:
        """Begin anew, as `State.CONNECTING`: from here on only `writer` can change the state."""
        with self._changed:
            self._in_charge = writer
            self._state = State.CONNECTING
            self._changed.notify_all()

    def set(self, writer: object, state: State) -> None:
        """Change the state, unless `writer` is not in charge any more or has ended."""
        with self._changed:
            # A stopped client stays stopped whatever a late thread has to say; one that failed stays failed.
            if writer is self._in_charge and self._state not in ENDED:
                self._state = state
                self._changed.notify_all()

    def wait_for(self, condition: Callable[[State], bool], timeout: float | None) -> State | None:
        """Wait until `condition` of the state holds, `timeout` seconds at most; return that state, None if not.

        In slices: an endless wait on a lock could not be broken by Ctrl-C on Windows.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not condition(self._state):
                left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
                if left <= 0:
                    return None
                self._changed.wait(left)
            return self._state
