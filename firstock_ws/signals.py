"""SIGTERM, which service managers and containers end programs with, and SIGHUP, as an orderly end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def sigterm_as_ctrl_c(last: Callable[[], None] | None = None) -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt in the block, and end the process after it, as they would.

    Without this, the broker would count the session of a service that restarts, or of a terminal that is closed,
    until it notices. A signal that the program handles, or ignores, is left alone, and so is a thread that is not
    the main one.

    Args:
        last: called before the process ends, by which no block is left and no exit handler runs.
    """
    mine = threading.current_thread() is threading.main_thread()
    numbers = [number for number in _ENDINGS if mine and signal.getsignal(number) is signal.SIG_DFL]
    came: int | None = None

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = number
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        try:
            if came is not None and last is not None:
                last()
        finally:
            for number in numbers:
                signal.signal(number, signal.SIG_DFL)
        if came is not None:
            signal.raise_signal(came)
