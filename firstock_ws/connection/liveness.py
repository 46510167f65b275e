"""Whether the server is still there. The monotonic clock alone decides: no step of the wall clock counts."""

from __future__ import annotations

import time
from typing import NamedTuple

from firstock_ws.connection.library import SLOWEST, Frames

STALL = 1.0
"""A keeper that wakes this many seconds late was frozen with its process: the server is not to blame."""


class Look(NamedTuple):
    """What a look at the connection found."""

    dead: str = ""
    """Why the connection is dead, empty if it is not."""
    ping: bool = False
    """Whether to ping the server now."""
    pause: float = 0.0
    """Seconds till the next look."""


class Liveness:
    """The clock of one open connection.

    Threads: the keeper looks; the io thread tells of data. Each attribute is written by one of them, in one step.
    """

    def __init__(
        self, frames: Frames, *, ping_interval: float, ping_timeout: float, stale_after: float | None
    ) -> None:
        """
        Args:
            frames: knows when the last byte came. All times in seconds.
        """
        self._frames = frames
        self._interval = ping_interval
        self._timeout = ping_timeout
        self._stale_after = stale_after
        self._data_at = time.monotonic()
        self._pinged_at = 0.0
        self._due = 0.0

    def data_came(self) -> None:
        """A frame with data in it came: pings and pongs do not count."""
        self._data_at = time.monotonic()

    def look(self, *, data_expected: bool) -> Look:
        """Return what to do now.

        Args:
            data_expected: whether anything is subscribed.
        """
        now = time.monotonic()
        frozen = bool(self._due) and now - self._due > STALL
        if frozen:
            # What has arrived meanwhile has not been read yet: everybody gets a fresh start.
            self._data_at = now
        looks = (self._pings(now, frozen), self._data(now, data_expected), self._frame(now, frozen))
        found = Look(
            dead=next((look.dead for look in looks if look.dead), ""),
            ping=any(look.ping for look in looks),
            pause=min(look.pause for look in looks),
        )
        self._due = time.monotonic() + found.pause
        return found

    def _pings(self, now: float, frozen: bool) -> Look:
        heard = self._frames.heard_at
        waiting = self._pinged_at > heard
        if waiting and now < self._pinged_at + self._timeout:
            return Look(pause=self._pinged_at + self._timeout - now)
        if waiting and not frozen:
            return Look(dead=f"nothing heard from the server for {now - heard:.1f} s, and no answer to a ping")
        if not waiting and now < heard + self._interval:
            return Look(pause=heard + self._interval - now)
        self._pinged_at = now
        # Soon, so that the silence after an answer is counted from the answer.
        return Look(ping=True, pause=min(self._interval, self._timeout))

    def _data(self, now: float, expected: bool) -> Look:
        if self._stale_after is None:
            return _NOTHING
        if not expected:
            self._data_at = now
        left = self._data_at + self._stale_after - now
        if left > 0:
            return Look(pause=left)
        return Look(dead=f"the server answers pings, but sent no data for {now - self._data_at:.1f} s")

    def _frame(self, now: float, frozen: bool) -> Look:
        began, read, patience = self._frames.began_at, self._frames.read, self._interval + self._timeout
        if began is None or frozen:
            return _NOTHING
        if now < began + patience:
            return Look(pause=began + patience - now)
        if read < (now - began) * SLOWEST:
            return Look(dead=f"a frame comes too slowly, {read} bytes of it in {now - began:.1f} s")
        return Look(pause=self._timeout)


_NOTHING = Look(pause=3600.0)
