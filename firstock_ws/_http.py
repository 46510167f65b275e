"""HTTP headers that the WebSocket upgrade and the REST calls must understand."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 3600.0
"""Seconds; a server that asks for more is asked again after this."""


def retry_after_seconds(value: object) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait (RFC 9110, section 10.2.3), else None."""
    if not isinstance(value, str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = _moment(value)
        if moment is None:
            return None
        seconds = (moment - datetime.now(timezone.utc)).total_seconds()
    return min(max(0.0, seconds), LONGEST_WAIT) if math.isfinite(seconds) else None


def epoch_of_date(value: object) -> int:
    """Return the epoch seconds that a ``Date`` header names, 0 for none (RFC 9110, section 6.6.1)."""
    moment = _moment(value) if isinstance(value, str) else None
    return int(moment.timestamp()) if moment is not None else 0


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
