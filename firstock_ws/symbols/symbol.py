"""`Symbol`: what one row of a symbol file says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Literal

Kind = Literal["index", "equity", "future", "option"]
Row = Sequence[str]
"""The cells of a row, as they came."""

INDICES = "Indices"
"""The file of all indices; their exchange is in a column."""
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class Symbol:
    """What can be traded, or an index. None: the file does not say. Can be passed to ``subscribe``."""

    instrument: str
    """``"EXCHANGE:TOKEN"``, for example ``"NSE:2885"``: what is subscribed."""
    exchange: str
    """``"NSE"``, ``"BSE"``, ``"NFO"`` or ``"BFO"``."""
    token: str
    """The broker's number for it, unique within its exchange."""
    trading_symbol: str
    """The broker's name for it, for example ``"RELIANCE-EQ"`` or ``"NIFTY29SEP26C25000"``."""
    kind: Kind
    """``"index"``, ``"equity"`` (whatever trades in the cash market), ``"future"`` or ``"option"``."""
    company_name: str | None = None
    isin: str | None = None
    lot_size: int | None = None
    """Shares of a lot: orders are for multiples of it."""
    tick_size: float | None = None
    """Smallest step of its price, rupees."""
    freeze_quantity: int | None = None
    """The exchange takes no single order above it."""
    underlying: str | None = None
    """What a future or an option is on, for example ``"NIFTY"``."""
    expiry: date | None = None
    """Last day of a future or an option."""
    strike: float | None = None
    """Strike price of an option, rupees."""
    option_type: Literal["CE", "PE"] | None = None
    """Call or put."""

    @property
    def name(self) -> str:
        """``"EXCHANGE:TRADING_SYMBOL"``, for example ``"NSE:RELIANCE-EQ"``."""
        return f"{self.exchange}:{self.trading_symbol}"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it by name."""
        return asdict(self)


class Columns:
    """Where the cells of a file are, by the names in its first row; however it spells and orders them."""

    def __init__(self, header: Row) -> None:
        """
        Raises:
            ValueError: a column that must be there is not.
        """
        self.width = len(header)
        self._at: Mapping[str, int] = {_plain(name): index for index, name in reversed(list(enumerate(header)))}
        missing = [name for name in ("Exchange", "Token", "TradingSymbol") if _plain(name) not in self._at]
        if missing:
            raise ValueError(f"it has no column {' and no '.join(missing)}")
        self.exchange, self.token = self._at["exchange"], self._at["token"]
        self.trading_symbol = self._at["tradingsymbol"]

    def cell(self, row: Row, name: str) -> str | None:
        """Return what `row` has in the column `name` (small letters only), None where nothing is."""
        index = self._at.get(name)
        return (row[index].strip() or None) if index is not None else None

    def company(self, row: Row) -> str:
        """The same of the company's name, empty where nothing is."""
        return self.cell(row, "companyname") or ""

    def underlying(self, row: Row) -> str | None:
        """The same of what a contract is on."""
        return self.cell(row, "symbol")

    def expiry(self, row: Row) -> date | None:
        """The same of a contract's last day."""
        text = self.cell(row, "expiry")
        return read_date(text) if text else None

    def kind(self, row: Row, file: str) -> Kind:
        """Say what the row of the file `file` is."""
        if file == INDICES:
            return "index"
        said, option = (self.cell(row, "instrument") or "").upper(), self.option_type(row)
        if said.startswith("OPT") or option is not None:
            return "option"
        return "future" if said.startswith("FUT") or self.cell(row, "expiry") else "equity"

    def option_type(self, row: Row) -> Literal["CE", "PE"] | None:
        """Say whether the row is a call or a put."""
        said = (self.cell(row, "optiontype") or "").upper()
        return "CE" if said == "CE" else "PE" if said == "PE" else None

    def strike(self, row: Row) -> float | None:
        """Return the strike price in rupees."""
        return read_number(self.cell(row, "strikeprice"))

    def symbol(self, row: Row, file: str) -> Symbol:
        """Return all that a good row of the file `file` says; an odd cell is None."""
        kind = self.kind(row, file)
        contract = kind in ("future", "option")
        exchange, token = row[self.exchange], row[self.token]
        return Symbol(
            instrument=f"{exchange}:{token}",
            exchange=exchange,
            token=token,
            trading_symbol=row[self.trading_symbol],
            kind=kind,
            company_name=self.cell(row, "companyname"),
            isin=self.cell(row, "isin"),
            lot_size=_whole(self.cell(row, "lotsize")),
            tick_size=read_number(self.cell(row, "ticksize")),
            freeze_quantity=_whole(self.cell(row, "freezeqty")),
            underlying=self.underlying(row) if contract else None,
            expiry=self.expiry(row) if contract else None,
            strike=self.strike(row) if kind == "option" else None,
            option_type=self.option_type(row) if kind == "option" else None,
        )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def read_number(text: str | None) -> float | None:
    """Return the number that `text` is, None for no number."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _whole(text: str | None) -> int | None:
    number = read_number(text)
    return int(number) if number is not None and number.is_integer() else None


# A file has some dozen dates in its hundred thousand rows.
@lru_cache(maxsize=1_024)
def read_date(text: str) -> date | None:
    """Return the date that ``"29-SEP-2026"`` or ``"2026-09-29"`` is, None for no date."""
    parts = text.upper().split("-")
    try:
        if len(parts) == 3 and parts[1] in _MONTHS:
            return date(int(parts[2]), _MONTHS.index(parts[1]) + 1, int(parts[0]))
        return date.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
