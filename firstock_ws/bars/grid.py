"""Where bars begin and end: counted from the session's opening, within each day of IST."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from firstock_ws.models import IST

DAY = 86_400
_SHIFT = 19_800
"""Seconds by which IST is ahead of UTC."""

INTERVALS = {
    **{f"{count}s": count for count in (1, 5, 15, 30)},
    **{f"{count}min": count * 60 for count in (1, 3, 5, 15, 30)},
    "1h": 3_600,
    "1day": DAY,
}
"""Seconds of each interval that has a name."""


def _seconds(interval: str | timedelta) -> int:
    if isinstance(interval, str):
        try:
            return INTERVALS[interval]
        except KeyError:
            pass
    elif isinstance(interval, timedelta):
        seconds = interval.total_seconds()
        if seconds.is_integer() and 1 <= seconds <= DAY:
            return int(seconds)
    names = ", ".join(f'"{name}"' for name in INTERVALS)
    raise ValueError(f"no interval for bars: {interval!r}; give {names}, or a timedelta of 1 second to 1 day")


def _of_day(moment: object) -> int:
    """Seconds from midnight."""
    if not isinstance(moment, time) or moment.microsecond or moment.tzinfo is not None:
        raise ValueError(f"session must be two times of whole seconds, IST, without a zone; not {moment!r}")
    return moment.hour * 3_600 + moment.minute * 60 + moment.second


class Grid:
    """The intervals of one length. Bounds are epoch seconds.

    They are counted from the opening, forwards and backwards: hours begin at 9:15, 10:15 and so on. None goes past
    midnight, and a bar of one day is the whole day from midnight to midnight.
    """

    def __init__(self, interval: str | timedelta, session: tuple[time, time]) -> None:
        """
        Raises:
            ValueError: no such interval, or no session.
        """
        self.seconds = _seconds(interval)
        opening, closing = session
        self._opening, self._closing = _of_day(opening), _of_day(closing)
        if self._opening >= self._closing:
            raise ValueError(f"the session must open before it closes: {opening} to {closing}")
        self._anchor = 0 if self.seconds == DAY else self._opening

    def span(self, moment: int) -> tuple[int, int]:
        """Return where the interval of `moment` begins, and where the next one does."""
        in_day = (moment + _SHIFT) % DAY
        start = self._anchor + (in_day - self._anchor) // self.seconds * self.seconds
        midnight = moment - in_day
        return midnight + max(start, 0), midnight + min(start + self.seconds, DAY)

    def opening(self, moment: int) -> int:
        """Return when the first interval of the session begins, on the day of `moment`."""
        return moment - (moment + _SHIFT) % DAY + self._anchor

    def closing(self, moment: int) -> int:
        """Return when the session ends, on the day of `moment`."""
        return moment - (moment + _SHIFT) % DAY + self._closing

    @staticmethod
    def next_day(moment: int) -> int:
        """Return the midnight after `moment`."""
        return moment - (moment + _SHIFT) % DAY + DAY


def as_time(seconds: int) -> datetime:
    """Return epoch seconds as a time in IST."""
    return datetime.fromtimestamp(seconds, IST)
