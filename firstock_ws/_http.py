"""The one HTTP header that both the WebSocket upgrade and the REST calls must understand."""

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
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, TypeError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = (moment - datetime.now(timezone.utc)).total_seconds()
    return min(max(0.0, seconds), LONGEST_WAIT) if math.isfinite(seconds) else None
