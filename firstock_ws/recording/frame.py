"""A recording's quotes as a pandas data frame. Needs pandas, the extra ``pandas``: import this when it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from firstock_ws.client import FirstockWS
from firstock_ws.errors import RecordingError
from firstock_ws.instruments import Named, Tokens, resolve_tokens
from firstock_ws.models import Quote
from firstock_ws.models.quote import VALUE_NAMES
from firstock_ws.recording.player import Player

try:
    import pandas as pd
except ImportError:
    raise RecordingError('to_frame() needs pandas: pip install "firstock-ws[pandas]"') from None

if TYPE_CHECKING:
    from firstock_ws.recording.playing import Replay

ZONE = "Asia/Kolkata"
_ROWS = 50_000
"""Rows that are held as Python objects at a time."""
_TIMES = ("last_trade_time", "feed_time", "exchange_time")
_WHOLE = (
    *("last_quantity", "volume", "total_buy_quantity", "total_sell_quantity"),
    *("open_interest", "total_open_interest", "bid_quantity", "ask_quantity"),
)
_DEPTH = ("bids", "asks", "best_bid", "best_ask")
_SIDES = {
    "bid": ("best_bid", "price"),
    "bid_quantity": ("best_bid", "quantity"),
    "ask": ("best_ask", "price"),
    "ask_quantity": ("best_ask", "quantity"),
}
_NAMES = ("instrument", "symbol")
COLUMNS = (*(name for name in VALUE_NAMES if name not in (*_DEPTH, *_NAMES)), *_SIDES)
"""The columns there can be beside the instrument and, where the quotes have one, the symbol."""


def quotes_of(recording: Replay, instruments: Tokens | None, fields: Sequence[str] | None) -> pd.DataFrame:
    """Do what `Replay.to_frame` says."""
    columns = _checked(fields)
    wanted = (
        frozenset(resolve_tokens(instruments, lambda name: Named(name.upper(), name), lambda name: None))
        if instruments is not None
        else None
    )
    rows = _Rows(columns, wanted)
    client = FirstockWS(
        "REPLAY",
        lambda: "",
        reconcile=False,
        on_quote=rows.add,
    )
    player = Player(client)
    try:
        for record in recording:
            rows.wall = record.wall
            player.play(record)
    finally:
        player.finish(closed=False)
    return rows.frame()


def _checked(fields: Sequence[str] | None) -> tuple[str, ...]:
    if fields is None:
        return COLUMNS
    names = (fields,) if isinstance(fields, str) else tuple(fields)
    for name in names:
        if name not in COLUMNS:
            raise ValueError(f"{name!r} is no field of a recording's quotes: give some of {', '.join(COLUMNS)}")
    return tuple(dict.fromkeys(names))


class _Rows:
    """Gathers quotes, and turns many at a time into columns, which take a tenth of the room."""

    def __init__(self, columns: tuple[str, ...], wanted: frozenset[str] | None) -> None:
        """
        Args:
            wanted: instruments, or trading symbols in capitals with their exchange; None for all.
        """
        self._wanted = wanted
        self.wall = 0
        """When the quotes that come now arrived, epoch nanoseconds."""
        self._columns = columns
        self._values: list[Callable[[Quote], Any]] = [_getter(name) for name in columns]
        self._codes: dict[str, int] = {}
        self._symbols: dict[str, str] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._parts: list[pd.DataFrame] = []

    def add(self, quote: Quote) -> None:
        """Take one row."""
        code = self._codes.get(quote.instrument)
        if code is None:
            name = f"{quote.exchange}:{quote.symbol}".upper()
            if self._wanted is not None and quote.instrument not in self._wanted and name not in self._wanted:
                return
            code = self._codes[quote.instrument] = len(self._codes)
            if quote.symbol is not None:
                self._symbols[quote.instrument] = quote.symbol
        self._rows.append((self.wall, code, *[value(quote) for value in self._values]))
        if len(self._rows) >= _ROWS:
            self._pack()

    def _pack(self) -> None:
        data = pd.DataFrame.from_records(self._rows, columns=["time", "instrument", *self._columns])
        for name in self._columns:
            if name in _TIMES:
                moments = pd.to_datetime(data[name], utc=True).astype("datetime64[ns, UTC]")
                data[name] = moments.dt.tz_convert(ZONE)
            else:
                data[name] = data[name].astype("Int64" if name in _WHOLE else "float64")
        self._parts.append(data)
        self._rows = []

    def frame(self) -> pd.DataFrame:
        """Return all rows."""
        if self._rows or not self._parts:
            self._pack()
        data = pd.concat(self._parts, ignore_index=True) if len(self._parts) > 1 else self._parts[0]
        index = pd.to_datetime(data.pop("time").astype("int64"), unit="ns", utc=True)
        data.index = pd.DatetimeIndex(index.dt.tz_convert(ZONE), name="time")
        codes, names = data["instrument"].astype("int64"), pd.Index(list(self._codes), dtype="str")
        data["instrument"] = pd.Categorical.from_codes(codes.to_numpy(), categories=names)
        if self._symbols:
            known = pd.Series(self._symbols)
            data.insert(1, "symbol", data["instrument"].astype("str").map(known).astype("category"))
        return data


def _getter(name: str) -> Callable[[Quote], Any]:
    if name not in _SIDES:
        return attrgetter(name)
    side, part = _SIDES[name]

    def value(quote: Quote) -> Any:
        level = getattr(quote, side)
        return None if level is None else getattr(level, part)

    return value
