"""Waiting for other threads, such that neither Ctrl-C nor a signal handler brings all to a standstill.

`threading.Condition`, and `threading.Event`, which has one inside, are entered by a function in Python. Ctrl-C in
it, which hits the main thread, leaves their lock taken for good: all others who want it stand still, and so does
the main thread in its ``finally``. A signal handler that sets the event which it has interrupted waits for itself.

Hence what a user's thread may wait for is one of these here, and a condition is entered by the lock it is made of.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
_SLICE = 0.5
"""Seconds after which whoever waits looks again unasked: Ctrl-C can cut a wake in half, and could not break an
endless wait on a lock on Windows."""


class Waiters:
    """Those who wait for something until somebody wakes them to look again.

    Threads: any may wait or wake. Nothing is locked: each step on the list is one for the interpreter.
    """

    def __init__(self) -> None:
        self._asleep: list[threading.Lock] = []

    def wake(self) -> None:
        """Have all who wait look again; what they look at was changed before."""
        while self._asleep:
            # One may have given up and gone, or have been told already and come back.
            with contextlib.suppress(IndexError, RuntimeError):
                self._asleep.pop().release()

    def wait_for(self, look: Callable[[], _T | None], timeout: float | None) -> _T | None:
        """Wait until `look` returns something, `timeout` seconds at most; return that, None if it did not."""
        deadline = None if timeout is None else time.monotonic() + timeout
        told = threading.Lock()
        told.acquire()
        try:
            while True:
                if told not in self._asleep:
                    self._asleep.append(told)
                # Looked at when the lock is on the list: a change after this look releases it.
                found = look()
                if found is not None:
                    return found
                left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
                if left <= 0:
                    return None
                told.acquire(timeout=left)
        finally:
            with contextlib.suppress(ValueError):
                self._asleep.remove(told)


class Flag:
    """Something that is so from some moment on.

    Threads: any may call any method, a signal handler too. Nothing is locked.
    """

    def __init__(self) -> None:
        self._waiters = Waiters()
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Say that it is so; those who wait go on."""
        self._is_set = True
        self._waiters.wake()

    def wait(self, timeout: float | None) -> bool:
        """Wait until it is so, `timeout` seconds at most; return whether it is."""
        return self._waiters.wait_for(lambda: self._is_set or None, timeout) is True
