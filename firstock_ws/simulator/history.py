"""What the books said, and when: a book that lags behind shows yesterday's page of it."""

from __future__ import annotations

import time
from collections import deque
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class History(Generic[Entry]):
    """The states of one thing, oldest first. Belongs to the world's lock.

    Args:
        kept: States that are kept; None for all.
    """

    def __init__(self, kept: int | None = None) -> None:
        self._entries: deque[tuple[float, Entry]] = deque(maxlen=kept)

    def add(self, entry: Entry) -> None:
        """Note what holds from now on."""
        self._entries.append((time.monotonic(), entry))

    def entries(self) -> list[Entry]:
        """All states, oldest first."""
        return [entry for _, entry in self._entries]

    def seen_after(self, lag: float) -> Entry | None:
        """What somebody sees to whom each state comes late; None before the first has come.

        Args:
            lag: Seconds.
        """
        until = time.monotonic() - lag
        return next((entry for at, entry in reversed(self._entries) if at <= until), None)

    def forget(self) -> None:
        """Keep the newest state alone."""
        while len(self._entries) > 1:
            self._entries.popleft()
