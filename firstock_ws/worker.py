"""A thread whose end can be waited for, whatever is pressed meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from firstock_ws.flag import Flag

_T = TypeVar("_T")
_LAST_STEPS = 1.0
_SETTLE = 5.0


class Worker:
    """A daemon thread that runs one function.

    Not a bare `threading.Thread`: up to CPython 3.12, Ctrl-C in ``Thread.join`` marks a living thread as ended,
    and the next ``join`` returns at once.

    Threads: any thread may call any method. Its end is told by the flag ``_done``. Whoever gets the lock
    ``_first`` says whether it runs at all: the thread, or `call_off`. Nobody waits for that lock or gives it back.
    """

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._first = threading.Lock()
        self._done = Flag()
        self._thread = threading.Thread(target=self._run, args=(run,), name=name, daemon=True)

    def _run(self, run: Callable[[], None]) -> None:
        try:
            if self._first.acquire(blocking=False):
                run()
        finally:
            self._done.set()

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: the system has no thread to give; to those who wait this one has ended.
        """
        try:
            self._thread.start()
        except RuntimeError:
            self._done.set()
            raise

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end of the thread, `timeout` seconds at most; return whether it has ended."""
        if not self._done.wait(timeout):
            return False
        if self._thread.ident is not None:
            # Only the interpreter's own last steps are left.
            self._thread.join(_LAST_STEPS)
        return True

    def call_off(self) -> bool:
        """Have the function never called, if it has not been yet; return whether that is so.

        Ctrl-C within `start` may have come before the system was asked for a thread, and nobody can tell.
        """
        return self._first.acquire(blocking=False)

    def wait_unbroken(self, timeout: float) -> None:
        """Wait for the end of the thread, `timeout` seconds at most, whatever is pressed."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.wait(left)
                return
            except KeyboardInterrupt:
                continue

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread


def run_aside(work: Callable[[], _T], name: str, timeout: float | None = None) -> _T | None:
    """Run `work` on a thread of its own, and wait for it.

    Ctrl-C and signal handlers interrupt the main thread alone, between any two steps: work that must not be cut in
    half, with a lock held perhaps, is done here, and the interrupt hits only the wait.

    Args:
        timeout: seconds to wait at most; `work` goes on after that.

    Returns:
        What `work` returned, None if it has not yet.

    Raises:
        Exception: what `work` raised.
    """
    results: list[_T] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - raised again, on the thread that waits
            failures.append(error)

    worker = Worker(run, name)
    try:
        worker.start()
        worker.wait(timeout)
    except KeyboardInterrupt:
        if timeout is None:
            # Whoever cleans up after the interrupt must find the work done or never to be, not about to begin. A
            # thread that was called off ends at once, if it was started at all.
            worker.wait_unbroken(_LAST_STEPS if worker.call_off() else _SETTLE)
        raise
    if failures:
        raise failures[0]
    return results[0] if results else None
