"""What every program around a market needs: prices on the tick, and the hours of trading."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal

from firstock_ws.models import IST

MARKET_OPENS = time(9, 15)
"""When continuous trading in shares and their derivatives begins at NSE and BSE, IST."""
MARKET_CLOSES = time(15, 30)
"""When it ends, IST."""
_SATURDAY = 5


def round_to_tick(price: float, tick_size: float) -> float:
    """Return the multiple of `tick_size` that is nearest to `price`, as exactly as a float can hold it.

    Reckoned in decimals: ``round_to_tick(2424.075, 0.05)`` is 2424.1, and no result has a tail like
    2424.1000000000004. Half a tick goes away from zero.

    Args:
        price: rupees.
        tick_size: rupees, such as 0.05; the symbol files have each instrument's.

    Raises:
        ValueError: `tick_size` is not above 0, or one of both is not finite.
    """
    exact, tick = Decimal(str(price)), Decimal(str(tick_size))
    if not exact.is_finite() or not tick.is_finite() or tick <= 0:
        raise ValueError(f"no price or no tick size: {price!r}, {tick_size!r}; the tick size must be above 0")
    return float((exact / tick).quantize(Decimal(1), ROUND_HALF_UP) * tick)


def market_hours(day: date) -> tuple[datetime, datetime] | None:
    """Return when trading in shares begins and ends on `day`, IST; None on a Saturday or Sunday.

    Holidays and special sessions, such as Diwali's, are not known here.
    """
    if day.weekday() >= _SATURDAY:
        return None
    return datetime.combine(day, MARKET_OPENS, IST), datetime.combine(day, MARKET_CLOSES, IST)


def is_market_open(now: datetime | None = None) -> bool:
    """Return whether shares are traded at `now`: Monday to Friday, from 9:15 up to 15:30 IST.

    Holidays and special sessions are not known here.

    Args:
        now: a time with a zone; None for this computer's clock.

    Raises:
        ValueError: `now` has no zone.
    """
    if now is None:
        now = datetime.now(IST)
    elif now.utcoffset() is None:
        raise ValueError("now has no time zone: use datetime(..., tzinfo=firstock_ws.IST)")
    now = now.astimezone(IST)
    hours = market_hours(now.date())
    return hours is not None and hours[0] <= now < hours[1]
