"""Starts and ends the threads of a client, from any thread and whatever interrupts."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable

from firstock_ws.connection.connection import CLOSE_GRACE
from firstock_ws.dispatch import Dispatcher
from firstock_ws.errors import FirstockError, UsageError
from firstock_ws.state import ENDED, StateHolder
from firstock_ws.supervisor import Supervisor
from firstock_ws.worker import run_aside

CLOSE_LIMIT = 4.5
"""Seconds that ``close()`` takes at most, whatever the server or a callback does."""
EXIT_LIMIT = 0.8
"""Seconds that a client which is still open may hold up the end of the program."""


class Lifecycle:
    """The threads of one client: at most one supervisor, and the callback thread that goes with it.

    The work is done on short-lived threads of its own: Ctrl-C and signal handlers interrupt the main thread
    between any two steps, also with a lock held.

    Threads: any thread may call anything. The supervisor in use, the connections of those before it and the exit
    handler are owned here, their lock is ``_lock``; it is never held while waiting.
    """

    live = True
    """Whether it is a connection that the client is fed from."""

    def __init__(
        self, make_supervisor: Callable[[], Supervisor], dispatcher: Dispatcher, state: StateHolder
    ) -> None:
        self._make_supervisor = make_supervisor
        self._dispatcher = dispatcher
        self._state = state
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._earlier_connections = 0
        self._at_exit: Callable[[], None] | None = None
        self._pid = os.getpid()

    def check_process(self) -> None:
        """Raise UsageError in a forked child: the threads and the connection are its parent's."""
        if os.getpid() != self._pid:
            raise UsageError("this client belongs to the process it was made in: make a new one after a fork")

    @property
    def supervisor(self) -> Supervisor | None:
        """The supervisor in use, or the last that was."""
        return self._supervisor

    @property
    def is_running(self) -> bool:
        """Whether there is a session to close, or a try to open one."""
        return self._state.now not in ENDED

    @property
    def last_error(self) -> FirstockError | None:
        """Why the last try failed, or the last connection was lost."""
        supervisor = self._supervisor
        return supervisor.error if supervisor is not None else None

    @property
    def connections(self) -> int:
        """Connections that were authenticated, over all sessions."""
        with self._lock:
            return self._earlier_connections + (
                self._supervisor.connections if self._supervisor is not None else 0
            )

    def wake(self) -> None:
        """Have queued subscriptions sent, if there is a connection."""
        supervisor = self._supervisor
        if supervisor is not None:
            supervisor.wake()

    def start(self, call: str) -> None:
        """Start the threads if they do not run.

        Args:
            call: what the user called, for the error's text.

        Raises:
            UsageError: called from a callback, from ``jkey()``, or in a forked child.
            ConnectError: the process has too many files open.
            RuntimeError: the system has no thread to give.
        """
        self.check_process()
        if self._inside() != (False, False):
            raise UsageError(f"{call} was called from a callback: call it from another thread")
        run_aside(self._start, "firstock-ws-start")

    def _inside(self) -> tuple[bool, bool]:
        """Whether the caller is a callback, and whether it is the user's ``jkey()``."""
        supervisor = self._supervisor
        return self._dispatcher.on_callback_thread, supervisor is not None and supervisor.on_io_thread

    def _start(self) -> None:
        earlier = self._supervisor
        if earlier is not None and self._state.now in ENDED:
            # It may have its last word still to say to the callbacks.
            earlier.has_ended(CLOSE_LIMIT)
        with self._lock:
            if self._state.now not in ENDED:
                return
            if self._supervisor is not None:
                self._earlier_connections += self._supervisor.connections
            self._supervisor = supervisor = self._make_supervisor()
            if self._at_exit is None:
                self._at_exit = _closer(self)
                atexit.register(self._at_exit)
            try:
                self._dispatcher.start()
                supervisor.start()
            except (RuntimeError, FirstockError):
                self._supervisor = None
                self._dispatcher.finish(0.0)
                raise

    def close(self) -> None:
        """End the threads; return when they have, or after `CLOSE_LIMIT`."""
        self.check_process()
        on_callback, on_io = self._inside()

        def close() -> None:
            self.close_now(CLOSE_LIMIT, wait_for_io=not on_io, wait_for_callbacks=not on_callback and not on_io)

        run_aside(close, "firstock-ws-close", timeout=CLOSE_LIMIT + 0.3)

    def close_now(self, limit: float, *, wait_for_io: bool = True, wait_for_callbacks: bool = True) -> None:
        """Do the work of `close` on this thread, within `limit` seconds."""
        deadline = time.monotonic() + limit
        with self._lock:
            supervisor, at_exit = self._supervisor, self._at_exit
            self._at_exit = None
        if at_exit is not None:
            atexit.unregister(at_exit)
        if supervisor is None:
            return
        supervisor.stop(grace=min(CLOSE_GRACE + 0.3, limit / 2), wait=wait_for_io)
        with self._lock:
            if self._supervisor is not supervisor:
                return  # Another thread has closed as well, and connected again since.
            self._dispatcher.finish(deadline)
        if wait_for_callbacks:
            self._dispatcher.join(max(0.0, deadline - time.monotonic()))


def _closer(lifecycle: Lifecycle) -> Callable[[], None]:
    """Return a function that closes at exit, without keeping the client alive until then."""
    reference, pid = weakref.ref(lifecycle), os.getpid()

    def close_at_exit() -> None:
        found = reference()
        # A forked child inherits this function and the parent's socket: it must leave both alone.
        if found is not None and os.getpid() == pid:
            found.close_now(EXIT_LIMIT)

    return close_at_exit
