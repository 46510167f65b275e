"""A thread that looks after one thing, a connection say: it does what waits to be done, and watches the clock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from firstock_ws.worker import Worker


def _nothing_to_do() -> float:
    return 0.0


class Keeper:
    """Calls `tend` now and then: when woken, and when the seconds that `tend` last returned are over.

    A thread of its own, because the reading thread can be stuck in a half frame, and a user's thread must not
    wait for a server that does not read.

    Threads: any thread wakes or stops. The flags are owned here, their lock is ``_lock``, with the
    condition ``_wake``.
    """

    def __init__(self, tend: Callable[[], float], name: str = "firstock-ws-keeper") -> None:
        self._tend = tend
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._woken = False
        self._stopped = False
        self._worker = Worker(self._run, name)

    def start(self) -> None:
        self._worker.start()

    def wake(self) -> None:
        """Have `tend` called soon."""
        with self._lock:
            self._woken = True
            self._wake.notify()

    def stop(self) -> None:
        """End the thread after the call of `tend` that may be running; does not wait."""
        with self._lock:
            self._stopped = True
            self._wake.notify()

    def join(self) -> None:
        """Wait for the end of the thread, and let go of `tend` and what it belongs to."""
        self._worker.wait(None)
        self._tend = _nothing_to_do

    def _run(self) -> None:
        pause = 0.0
        while True:
            with self._lock:
                if not self._woken and not self._stopped and pause > 0:
                    self._wake.wait(pause)
                self._woken = False
                if self._stopped:
                    return
            pause = self._tend()
