"""How long to wait before the next try."""

from __future__ import annotations

import random

FIRST_CEILING = 1.0
"""The first wait is anything from 0 to this many seconds."""
LASTED = 30.0
"""A connection that was up this many seconds makes the waits short again; one that dies sooner does not."""


class Backoff:
    """Exponential back-off with full jitter: a thousand clients that lose a server do not come back as one."""

    def __init__(self, max_delay: float) -> None:
        """
        Args:
            max_delay: no wait is longer than this, in seconds.
        """
        self._max_delay = max_delay
        self._ceiling = FIRST_CEILING
        self._random = random.Random()

    def reset(self) -> None:
        """Start again with short waits."""
        self._ceiling = FIRST_CEILING

    def next_delay(self) -> float:
        """Return the seconds to wait before the next try."""
        delay = self._random.uniform(0.0, min(self._ceiling, self._max_delay))
        self._ceiling = min(self._ceiling * 2, self._max_delay)
        return delay
