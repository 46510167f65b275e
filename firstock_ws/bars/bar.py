"""`Bar`: what one instrument did in one interval."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, repr=False)
class Bar:
    """What one instrument did from `start` up to, and not including, `end`. Prices in rupees, times in IST."""

    instrument: str
    """``"EXCHANGE:TOKEN"``."""
    symbol: str | None
    """The trading symbol, where the quotes have it."""
    start: datetime
    """First moment of the interval, by the exchange's clock."""
    end: datetime
    """First moment after the interval."""
    open: float
    """Price of the first trade that was seen in the interval."""
    high: float
    """Highest price."""
    low: float
    """Lowest price."""
    close: float
    """Price of the last trade."""
    volume: int | None
    """Quantity by which the day's volume grew from the bar before to this one's last quote. What was traded after
    the last quote of the bar before is in this one. None for an index, and where no volume was sent."""
    updates: int
    """Quotes that told of a trade; of an index, quotes that told its value. Not the number of trades: a quote may
    stand for several. 0 in a bar that only fills a hole."""
    open_interest: int | None
    """Open interest at the end of the bar, None where not sent."""
    vwap: float | None
    """What the day's traded value grew by, divided by `volume`; None where one is not known, or nothing traded."""
    partial: bool
    """The first bar of an instrument, of which only the end was seen; nothing from before is in `volume`."""
    gap: bool
    """Quotes were lost, during it or before it: prices may be missing, and `volume` has in it all that was traded
    meanwhile, also what belongs to earlier intervals."""
    final: bool
    """Whether the interval was over. False from `BarBuilder.current`, and if `BarBuilder.flush` ended it early."""

    def to_dict(self) -> dict[str, Any]:
        """Return all values by name."""
        return {name: getattr(self, name) for name in NAMES}

    def __repr__(self) -> str:
        names = ("open", "high", "low", "close", "volume")
        values = [f"{name}={value}" for name in names if (value := getattr(self, name)) is not None]
        marks = [name for name in ("partial", "gap") if getattr(self, name)] + ["not final"] * (not self.final)
        name = self.symbol or self.instrument
        return f"Bar({', '.join([f'{name!r} {self.start:%d %b %H:%M:%S}', *values, *marks])})"


NAMES = tuple(field.name for field in fields(Bar))
