"""Counts what a client's callback gets, and the CPU time and the time that it took."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.frames import STAMP_BASE


def cpu_seconds() -> float:
    """User and system time of this process, all its threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Meter:
    """Measures from the callback of the last warm-up quote to that of the last quote of all.

    The server sends nothing past the warm-up before it is told to, so that no work on measured frames is done
    before the clock starts, however far a client reads ahead of its callbacks.

    Threads: one thread of the client's calls `add` and `stamp`; the main thread waits for `done`.
    """

    def __init__(self, warm: int, quotes: int, control: int) -> None:
        """
        Args:
            warm: quotes of the warm-up, at least 1.
            quotes: quotes after it.
            control: the server's port for the word that the warm-up is through.
        """
        self._seen = 0
        self._warm = warm
        self._total = warm + quotes
        self._next = warm
        self._control = control
        self._cpu = self._wall = 0.0
        self._latencies: list[int] = []
        self.cpu = self.wall = 0.0
        """Seconds."""
        self.done = threading.Event()
        self.more: Callable[[], dict[str, Any]] = dict
        """Asked at the end for what only the client knows."""

    @property
    def quotes(self) -> int:
        """Quotes seen after the warm-up."""
        return max(0, self._seen - self._warm)

    def add(self, quotes: int) -> None:
        """Take note of quotes that a callback got."""
        self._seen += quotes
        if self._seen >= self._next:
            self._turn()

    def stamp(self, volume: int) -> None:
        """Take note of a quote whose volume tells when it was sent."""
        self._latencies.append(time.monotonic_ns() - (volume - STAMP_BASE))
        self.add(1)

    def _turn(self) -> None:
        if self._next == self._warm:
            self._next = self._total
            self._latencies.clear()
            self._cpu, self._wall = cpu_seconds(), time.perf_counter()
            socket.create_connection(("127.0.0.1", self._control), timeout=10).close()
        elif not self.done.is_set():
            self.wall, self.cpu = time.perf_counter() - self._wall, cpu_seconds() - self._cpu
            self.done.set()

    def result(self) -> dict[str, Any]:
        """Return what was measured, latencies in microseconds."""
        result: dict[str, Any] = {"quotes": self.quotes, "cpu": self.cpu, "wall": self.wall}
        if self._latencies:
            ordered = sorted(self._latencies)
            for percent in (50, 99):
                result[f"p{percent}"] = ordered[len(ordered) * percent // 100] / 1_000
        return result | self.more()
