"""The contracts of an underlying: its expiries, futures and options."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime
from typing import Literal

from firstock_ws.symbols.symbol import Columns, Row, Symbol
from firstock_ws.symbols.table import Table

Expiry = date | Literal["nearest"] | None
"""A day; the first that has contracts; or None for all."""
Strikes = Collection[float] | None
"""``(low, high)`` as a tuple for all from low to high, rupees; a list or another collection for exactly these."""


def check_expiry(expiry: object) -> Expiry:
    """Return `expiry` as it is meant.

    Raises:
        ValueError: it is none.
    """
    if isinstance(expiry, datetime):
        return expiry.date()
    if expiry is None or isinstance(expiry, date):
        return expiry
    if expiry == "nearest":
        return "nearest"
    raise ValueError(f'expiry must be a datetime.date, "nearest" or None for all, not {expiry!r}')


def check_option_type(option_type: object) -> Literal["CE", "PE"] | None:
    """The same of a type of options."""
    said = option_type.upper() if isinstance(option_type, str) else option_type
    if said is None:
        return None
    if said in ("CE", "PE"):
        return "CE" if said == "CE" else "PE"
    raise ValueError(f'option_type must be "CE", "PE" or None for both, not {option_type!r}')


def check_strikes(strikes: object) -> Strikes:
    """The same of strikes."""
    if strikes is None:
        return None
    if isinstance(strikes, str) or not isinstance(strikes, Collection):
        raise ValueError(f"strikes must be (low, high), a list of strikes in rupees, or None, not {strikes!r}")
    if isinstance(strikes, tuple) and (len(strikes) != 2 or strikes[0] > strikes[1]):
        raise ValueError(f"strikes as a tuple are (low, high); for exactly these give a list: {strikes!r}")
    return strikes


class Chain:
    """What trades on one underlying, from a day on. Not changed after it was made."""

    def __init__(self, table: Table, underlying: str, today: date) -> None:
        """
        Args:
            underlying: in capitals.
        """
        self._table = table
        columns = table.columns
        self._rows: list[tuple[date, Row]] = []
        for row in table.rows():
            if (columns.underlying(row) or "").upper() == underlying:
                expiry = columns.expiry(row)
                # An old file still has contracts that nobody can trade any more.
                if expiry is not None and expiry >= today:
                    self._rows.append((expiry, row))

    def expiries(self) -> list[date]:
        """All days on which a contract expires, nearest first."""
        return sorted({expiry for expiry, _ in self._rows})

    def futures(self, expiry: Expiry) -> list[Symbol]:
        """The futures, nearest expiry first."""
        found = [self._table.symbol(row) for _, row in self._of("future", expiry)]
        return sorted(found, key=lambda symbol: (symbol.expiry or date.max, symbol.trading_symbol))

    def options(self, expiry: Expiry, strikes: Strikes, option_type: Literal["CE", "PE"] | None) -> list[Symbol]:
        """The options, by expiry, strike, and calls before puts."""
        columns = self._table.columns
        found = [
            self._table.symbol(row)
            for _, row in self._of("option", expiry)
            if option_type in (None, columns.option_type(row)) and _is_among(columns.strike(row), strikes)
        ]
        return sorted(found, key=lambda symbol: (symbol.expiry, symbol.strike or 0.0, symbol.option_type or ""))

    def _of(self, kind: str, expiry: Expiry) -> Iterator[tuple[date, Row]]:
        columns: Columns = self._table.columns
        rows = [(day, row) for day, row in self._rows if columns.kind(row, self._table.name) == kind]
        wanted = min((day for day, _ in rows), default=None) if expiry == "nearest" else expiry
        return iter([(day, row) for day, row in rows if wanted in (None, day)])


def _is_among(strike: float | None, strikes: Strikes) -> bool:
    if strikes is None:
        return True
    if strike is None:
        return False
    if isinstance(strikes, tuple):
        low, high = strikes
        return bool(low <= strike <= high)
    return strike in strikes
