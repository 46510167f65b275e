"""Turns single values of the wire into Python values. Each function returns None for "no value".

What can't be parsed raises ``ValueError``: the caller decides how to report it.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from functools import lru_cache

STREAM = "stream"
BOOK = "book"

IST = timezone(timedelta(hours=5, minutes=30), "IST")
"""Indian Standard Time: every time in this package is aware and in it."""

# 2^63-1, 2^63 and a double's rounding of them, of either sign, mean "no value" (PROTOCOL, "Market fields").
NO_VALUE_LEAST = 2**63 - 1
NO_VALUE_MOST = 9223372036854776000

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}


def whole_number(value: object) -> int | None:
    """An integer from a JSON number or a (padded) numeric string. Binary noise of a float is rounded off."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        try:
            value = int(text)
        except ValueError:
            value = float(text)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("not a number")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("not a finite number")
        value = round(value)
    if abs(value) >= NO_VALUE_LEAST:
        if abs(value) <= NO_VALUE_MOST:
            return None
        raise ValueError("too large for a number of this feed")
    return value


def decimal_number(value: object) -> float | None:
    """A float from a JSON number or a numeric string; never ``-0.0``."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        value = float(text)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("not a number")
    if isinstance(value, int) and abs(value) > NO_VALUE_MOST:
        raise ValueError("too large for a number of this feed")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    if NO_VALUE_LEAST <= abs(number) <= NO_VALUE_MOST:
        return None
    return number + 0.0


def rupees(value: object) -> float | None:
    """A price that came in rupees. No price is 0: that means "none", as for a market order."""
    number = decimal_number(value)
    return None if number == 0 else number


def text(value: object) -> str | None:
    """A string, None when blank. A number where a string should be is taken as its digits."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("not a text")
    return str(value).strip() or None


def epoch(value: object) -> datetime | None:
    """A time from epoch seconds; 0 is "none". Milli-, micro- and nanoseconds are told by their size."""
    number = whole_number(value)
    if not number:
        return None
    seconds = float(number)
    while abs(seconds) >= 1e11:
        seconds /= 1000
    return datetime.fromtimestamp(seconds, IST)


def clock_text(value: object) -> datetime | None:
    """A time from ``11-Jul-2025 09:17:58`` or ``11-07-2025 09:17:58``, IST, or from epoch digits.

    Not ``strptime``: month names there depend on the locale of the machine.
    """
    words = text(value)
    if words is None or not words.strip("0-: "):
        return None
    if words.isdigit():
        return epoch(words)
    day_text, _, time_text = words.partition(" ")
    day, month, year = day_text.split("-")
    if len(day) == 4:
        day, year = year, day
    month_number = _MONTHS.get(month.lower()) or int(month)
    hour, minute, second = (time_text or "0:0:0").split(":")
    whole, _, fraction = second.partition(".")
    micro = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return datetime(int(year), month_number, int(day), int(hour), int(minute), int(whole), micro, IST)


market_time = lru_cache(maxsize=256)(clock_text)
"""The same for market frames, remembered: their distinct texts are few, one a second."""
