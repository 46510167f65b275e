"""One symbol file, read: its rows by token and by name. A `Symbol` is made when somebody asks for it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

from firstock_ws._secrets import get_logger
from firstock_ws.symbols.symbol import INDICES, Columns, Row, Symbol

logger = get_logger("firstock_ws.symbols")

_NO_ROW = ("",)
_LONGEST_HEAD = 65_536
"""Letters; a page of HTML or JSON may be one line of megabytes, which would be read for half a minute."""
_BAD_SHARE = 0.5
"""A file of which more rows than this make no sense is none."""


class BadFileError(ValueError):
    """What came is no symbol file; the text says why."""


class Market:
    """The rows of one exchange."""

    __slots__ = ("by_name", "by_token")

    def __init__(self) -> None:
        self.by_token: dict[str, Row] = {}
        self.by_name: dict[str, Row] = {}
        """By trading symbol, in capitals."""


class Table:
    """A symbol file. Not changed after it was read, so any thread may look at it.

    Rows are tuples of the cells, of which equal ones are one object: a `Symbol` for each would take
    several times as long to make.
    """

    def __init__(self, name: str, data: bytes) -> None:
        """
        Args:
            name: which file: ``"NSE"``, ``"Indices"``.
            data: the file.

        Raises:
            BadFileError: it is none.
        """
        self.name = name
        self.markets: dict[str, Market] = {}
        self.skipped = 0
        text = data.decode("utf-8-sig", errors="replace")
        # Not splitlines(), for which a row also ends at characters that may be in a name.
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if not text.strip():
            raise BadFileError("it is empty")
        if len(lines[0]) > _LONGEST_HEAD:
            raise BadFileError("its first row is too long for names of columns")
        try:
            self.columns = Columns(next(csv.reader(lines[:1])))
        except (ValueError, csv.Error, StopIteration) as error:
            raise BadFileError(str(error) or "it has no header") from None
        # Line by line where there are quotation marks: one that is never closed must not swallow what follows.
        quoted = '"' in text
        del text
        self._read(_each_line(lines[1:]) if quoted else _each_row(csv.reader(lines[1:])))
        if not len(self):
            raise BadFileError("it has no row that makes sense")
        if self.skipped > _BAD_SHARE * (len(self) + self.skipped):
            raise BadFileError(f"{self.skipped} of its {len(self) + self.skipped} rows make no sense")
        if self.skipped:
            logger.warning("%d rows of the symbol file %s make no sense and are left out", self.skipped, name)

    def _read(self, rows: Iterable[Row]) -> None:
        columns, markets = self.columns, self.markets
        at_exchange, at_token, at_name, width = (
            columns.exchange,
            columns.token,
            columns.trading_symbol,
            columns.width,
        )
        if self.name != INDICES:
            markets[self.name] = Market()
        cells: dict[str, str] = {}
        one_of = cells.setdefault
        for row in rows:
            if len(row) != width or row[at_exchange] not in markets or not row[at_token].isdecimal():
                mended = self._mend(row)
                if mended is None:
                    self.skipped += bool(row)
                    continue
                row = mended
            market = markets[row[at_exchange]]
            kept = tuple(map(one_of, row, row))
            token, name = kept[at_token], kept[at_name].upper()
            if not name or token in market.by_token:
                self.skipped += 1
                continue
            market.by_token[token] = kept
            market.by_name.setdefault(one_of(name, name), kept)

    def _mend(self, row: Row) -> Row | None:
        """Return an unusual row as a usual one, None if it can't be."""
        columns = self.columns
        cells = [cell.strip() for cell in row]
        # A comma at the end of each row is no cell.
        while len(cells) > columns.width and not cells[-1]:
            cells.pop()
        if len(cells) != columns.width:
            return None
        exchange, token = cells[columns.exchange].upper(), cells[columns.token]
        cells[columns.exchange] = exchange
        if not (token.isdecimal() and token.isascii()) or not exchange:
            return None
        if exchange not in self.markets:
            if self.name != INDICES:
                return None
            self.markets[exchange] = Market()
        return cells

    def __len__(self) -> int:
        return sum(len(market.by_token) for market in self.markets.values())

    def rows(self, exchange: str | None = None) -> Iterator[Row]:
        """Yield the rows of `exchange`, None for all, in the order of the file."""
        markets = self.markets.values() if exchange is None else filter(None, [self.markets.get(exchange)])
        return chain.from_iterable(market.by_token.values() for market in markets)

    def find(self, exchange: str, name: str) -> Row | None:
        """Return the row of a token or a trading symbol in capitals, None if there is none."""
        market = self.markets.get(exchange)
        if market is None:
            return None
        return market.by_token.get(name) if name.isdecimal() else market.by_name.get(name)

    def symbol(self, row: Row) -> Symbol:
        """Return a row of this table as a `Symbol`."""
        return self.columns.symbol(row, self.name)


def _each_line(lines: Iterable[str]) -> Iterator[Row]:
    for line in lines:
        yield from _each_row(csv.reader([line]))


def _each_row(reader: Iterator[Row]) -> Iterator[Row]:
    while True:
        try:
            yield from reader
        except csv.Error:
            yield _NO_ROW
        else:
            return
