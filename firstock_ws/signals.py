"""SIGTERM, which service managers and containers end programs with, as an orderly end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def sigterm_as_ctrl_c(last: Callable[[], None] | None = None) -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt in the block, and end the process after it, as it would have at once.

    Without this, the broker would count the session of a service that restarts until it notices. A program with
    a handler of its own is left alone, and so is a thread that is not the main one.

    Args:
        last: called before the process ends, by which no block is left and no exit handler runs.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    came = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        try:
            if came and last is not None:
                last()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if came:
            signal.raise_signal(signal.SIGTERM)
