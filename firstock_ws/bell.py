"""Wakes a thread that sleeps, through a pipe."""

from __future__ import annotations

import os

from firstock_ws.errors import ConnectError


class Bell:
    """One thread listens, others ring.

    A pipe, where a lock or an event would do: Linux then wakes the listener on the processor of whoever rang, who
    is about to sleep, and not on another that sleeps itself. A callback hears of a frame a sixth sooner that way.

    Threads: any thread may ring; the listener alone waits, and closes. Nothing is changed between, so there is no
    lock. A ring must be meant for a listener that waits or is about to, so that it is not over before it was rung.
    """

    def __init__(self) -> None:
        """
        Raises:
            ConnectError: the process has too many files open.
        """
        try:
            self._listening, self._ringing = os.pipe()
        except OSError as error:
            text = f"no pipe for the callback thread ({error.strerror}): close some files, or raise their limit"
            raise ConnectError(text) from error
        self._pid = os.getpid()

    def ring(self) -> None:
        """Wake the listener; if it does not wait yet, it will not have to."""
        # A forked child has no listener, but its parent's pipe.
        if os.getpid() == self._pid:
            os.write(self._ringing, b"\0")

    def wait(self) -> None:
        """Wait for the next ring."""
        os.read(self._listening, 1)

    def close(self) -> None:
        """Give the pipe back; nobody rings any more."""
        os.close(self._listening)
        os.close(self._ringing)
