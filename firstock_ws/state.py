"""Where a client stands: one enum, and a holder that other threads can wait on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum

from firstock_ws.flag import Waiters


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


def _nothing() -> None:
    """What is to be done beside a change, where nobody says otherwise."""


class StateHolder:
    """The state of one client, written by whoever was given charge of it last.

    Threads: the io thread and ``close()`` write, any thread reads or waits. Owned here; the lock of the writers is
    ``_changing``. Readers and waiters take none: a signal handler that closes may have interrupted one of them.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._state = State.STOPPED
        self._in_charge: object = None
        self._waiters = Waiters()

    @property
    def now(self) -> State:
        return self._state

    def take_charge(self, writer: object) -> None:
        """Begin anew, as `State.CONNECTING`: from here on only `writer` can change the state."""
        with self._changing:
            self._in_charge = writer
            self._state = State.CONNECTING
            self._waiters.wake()

    def set(
        self,
        writer: object,
        state: State,
        *,
        before: Callable[[], object] = _nothing,
        after: Callable[[], object] = _nothing,
    ) -> bool:
        """Change the state, unless `writer` is not in charge any more or has ended; return whether it was changed.

        Args:
            before: called in the same step, before anybody sees the new state; it must not wait.
            after: the same, before those who wait for it are woken.
        """
        with self._changing:
            # A stopped client stays stopped whatever a late thread has to say; one that failed stays failed.
            if writer is not self._in_charge or self._state in ENDED:
                return False
            before()
            self._state = state
            after()
            self._waiters.wake()
            return True

    def wake(self) -> None:
        """Have all who wait look at their condition again, for what else may be in it."""
        with self._changing:
            self._waiters.wake()

    def wait_for(self, condition: Callable[[State], bool], timeout: float | None) -> State | None:
        """Wait until `condition` of the state holds, `timeout` seconds at most; return that state, None if not."""

        def look() -> State | None:
            state = self._state
            return state if condition(state) else None

        return self._waiters.wait_for(look, timeout)
