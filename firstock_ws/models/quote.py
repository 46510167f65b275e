"""`Quote` and `DepthLevel`: the full state of one instrument at one moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar, cast, overload

from firstock_ws.models import _fields
from firstock_ws.models.market_state import Level, State, portable, whole, whole_or_none

_T = TypeVar("_T")


class Key(NamedTuple):
    """What an instrument is called, whole and in its two parts, and by its trading symbol where that is known."""

    instrument: str
    exchange: str
    token: str
    symbol: str | None = None


class DepthLevel(NamedTuple):
    """One level of the order book: price in rupees, quantity, and number of orders (None where not sent)."""

    price: float
    quantity: int | None
    orders: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the level as a plain dict."""
        return self._asdict()


if TYPE_CHECKING:

    class _Field(Generic[_T]):
        """A read-only attribute, as type checkers see it."""

        @overload
        def __get__(self, quote: None, owner: type) -> _Field[_T]: ...
        @overload
        def __get__(self, quote: Quote, owner: type) -> _T | None: ...
        def __get__(self, quote: Quote | None, owner: type) -> _Field[_T] | _T | None: ...
        def __set__(self, quote: Quote, value: NoReturn) -> None: ...


def _field(name: str, read: Callable[[Quote], _T | None]) -> _Field[_T]:
    """Return an attribute that converts its value when it is read: most users read a few of the thirty.

    A plain property, which Python knows to read without a detour.
    """

    def refuse(quote: Quote, value: object) -> None:
        raise AttributeError(f"a Quote does not change: {name!r} cannot be set")

    return cast("_Field[_T]", property(read, refuse))


def _price(name: str, wire: str) -> _Field[float]:
    def read(quote: Quote) -> float | None:
        value = getattr(quote._state, wire)
        return value / 100 if type(value) is int else None if value is None else round(value) / 100

    return _field(name, read)


def _number(name: str, wire: str) -> _Field[int]:
    return _field(name, lambda quote: whole_or_none(getattr(quote._state, wire)))


def _time(name: str, wire: str) -> _Field[datetime]:
    return _field(name, lambda quote: _fields.epoch(getattr(quote._state, wire)))


def _time_text(name: str, wire: str) -> _Field[datetime]:
    return _field(name, lambda quote: _fields.market_time(getattr(quote._state, wire)))


def _depth(levels: Iterable[Level]) -> Iterator[DepthLevel]:
    for level in levels:
        price = level.price
        if price is not None:
            rupees = (price if type(price) is int else round(price)) / 100
            # As DepthLevel(...) does, in half the time: whoever reads depth makes ten for each quote.
            yield tuple.__new__(DepthLevel, (rupees, level.quantity, level.orders))


class Quote:
    """Everything known of one instrument, after merging the newest frame over those before it.

    Prices are floats in rupees, rounded to the paise they came from; times are aware, in IST; what the broker
    has not sent is None, never 0. Immutable. Field meanings: the broker's "Subscribe feed" page.
    """

    __slots__ = ("_before", "_key", "_raw", "_state")

    def __init__(self, key: Key, state: State, before: State | bytes, raw: dict[str, Any] | bytes) -> None:
        """
        Args:
            before: the state before this one, or bytes that one of the same class can be made of.
        """
        self._key = key
        self._state = state
        self._before = before
        self._raw = raw

    @property
    def instrument(self) -> str:
        """``"EXCHANGE:TOKEN"``, for example ``"NSE:26000"``."""
        return self._key.instrument

    @property
    def exchange(self) -> str:
        """``"NSE"``, ``"BSE"``, ``"NFO"``, ``"BFO"`` or another that the broker sends."""
        return self._key.exchange

    @property
    def token(self) -> str:
        """The broker's number for the instrument, unique within its exchange."""
        return self._key.token

    @property
    def symbol(self) -> str | None:
        """The trading symbol, for example ``"RELIANCE-EQ"``.

        None unless it was subscribed by name or with a `Symbol`, or its symbol file was loaded by then.
        """
        return self._key.symbol

    last_price = _price("last_price", "i_last_traded_price")
    """Price of the last trade, rupees."""
    last_quantity = _number("last_quantity", "i_last_trade_quantity")
    """Quantity of the last trade."""
    last_trade_time = _time("last_trade_time", "i_last_trade_time")
    """When the last trade was, IST; None for an index."""
    average_price = _price("average_price", "i_average_trade_price")
    """Volume-weighted average price of the day, rupees."""
    open = _price("open", "i_open_price")
    """The day's first price, rupees."""
    high = _price("high", "i_high_price")
    """The day's highest price, rupees."""
    low = _price("low", "i_low_price")
    """The day's lowest price, rupees."""
    close = _price("close", "i_closing_price")
    """The previous day's closing price, rupees."""
    volume = _number("volume", "i_volume_traded_today")
    """Quantity traded today."""
    traded_value = _price("traded_value", "i_total_tradevalue")
    """Value traded today, rupees."""
    total_buy_quantity = _number("total_buy_quantity", "i_total_buy_quantity")
    """Quantity wanted in the whole book, beyond the five levels."""
    total_sell_quantity = _number("total_sell_quantity", "i_total_sell_quantity")
    """Quantity offered in the whole book, beyond the five levels."""
    open_interest = _number("open_interest", "i_open_interest")
    """Open interest of this contract."""
    total_open_interest = _number("total_open_interest", "i_total_open_interest")
    """Open interest of the underlying, over all contracts."""
    lower_circuit = _price("lower_circuit", "i_lower_circuit_limit")
    """Lowest price allowed today, rupees."""
    upper_circuit = _price("upper_circuit", "i_upper_circuit_limit")
    """Highest price allowed today, rupees."""
    year_low = _price("year_low", "i_yearly_low_price")
    """Lowest price of the year, rupees."""
    year_high = _price("year_high", "i_yearly_high_price")
    """Highest price of the year, rupees."""
    feed_time = _time("feed_time", "i_feed_time")
    """When the exchange sent this state, IST."""
    exchange_time = _time_text("exchange_time", "c_exch_feed_time")
    """The same instant as `feed_time`, as the exchange wrote it out, IST."""

    @property
    def change(self) -> float | None:
        """`last_price` less `close`, rupees. The broker's own figure is not used: it is 0 for indices."""
        last, close = self._state.i_last_traded_price, self._state.i_closing_price
        return None if last is None or close is None else (whole(last) - whole(close)) / 100

    @property
    def change_percent(self) -> float | None:
        """`change` in percent of `close`."""
        last, close = self._state.i_last_traded_price, self._state.i_closing_price
        return None if last is None or not close else (whole(last) - whole(close)) / whole(close) * 100

    @property
    def bids(self) -> tuple[DepthLevel, ...]:
        """Buyers: the levels that have a price, in the broker's order."""
        return tuple(_depth(self._state.bids))

    @property
    def asks(self) -> tuple[DepthLevel, ...]:
        """Sellers: the levels that have a price, in the broker's order."""
        return tuple(_depth(self._state.asks))

    @property
    def best_bid(self) -> DepthLevel | None:
        """The first of `bids`, None when there is none."""
        return next(_depth(self._state.bids), None)

    @property
    def best_ask(self) -> DepthLevel | None:
        """The first of `asks`, None when there is none."""
        return next(_depth(self._state.asks), None)

    @property
    def changed(self) -> frozenset[str]:
        """Names of the attributes that this update changed, `change` and `best_bid` and their like included.

        For a quote that replaced others while a slow callback ran: what differs from the last one delivered.
        """
        before = self._earlier()
        earlier = Quote(self._key, before, before, self._raw)
        return frozenset(name for name in VALUE_NAMES if getattr(self, name) != getattr(earlier, name))

    @property
    def raw(self) -> dict[str, Any]:
        """The market object of the newest frame, as it came: often a delta of a few fields, prices in paise."""
        # Read once: another thread may be doing the same.
        raw = self._raw
        if isinstance(raw, bytes):
            self._raw = raw = dict(json.loads(raw))
        return raw

    def to_dict(self) -> dict[str, Any]:
        """Return all values by name, depth levels as dicts; `raw` and `changed` are left out."""
        values: dict[str, Any] = {name: getattr(self, name) for name in (*_KEY_NAMES, *VALUE_NAMES)}
        for name in ("bids", "asks"):
            values[name] = [level.to_dict() for level in values[name]]
        for name in ("best_bid", "best_ask"):
            values[name] = values[name].to_dict() if values[name] else None
        return values

    def replacing(self, older: Quote) -> Quote:
        """Return this quote with `changed` counted from before `older`, which will not be delivered."""
        same = type(self._state) is type(older._state)
        return Quote(self._key, self._state, older._before if same else older._earlier(), self._raw)

    def _earlier(self) -> State:
        # Read once: another thread may be doing the same.
        before = self._before
        if type(before) is bytes:
            self._before = before = self._state.of(before)
        return before

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Quote):
            return NotImplemented
        return self._key == other._key and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((self._key, self._values()))

    def _values(self) -> tuple[Any, ...]:
        """Return all that can be seen: the wire has several ways to say the same."""
        return tuple(getattr(self, name) for name in VALUE_NAMES)

    def __reduce__(self) -> tuple[Any, ...]:
        return Quote, (self._key, portable(self._state), portable(self._earlier()), self._raw)

    def __repr__(self) -> str:
        parts = [f"Quote({self.instrument!r}"]
        bid, ask = self.best_bid, self.best_ask
        shown: dict[str, object] = {
            "last_price": self.last_price,
            "change": self.change,
            "bid": bid and bid.price,
            "ask": ask and ask.price,
            "volume": self.volume,
            "feed_time": self.feed_time and self.feed_time.strftime("%H:%M:%S"),
        }
        parts += [f"{name}={value}" for name, value in shown.items() if value is not None]
        return ", ".join(parts) + ")"


_KEY_NAMES = Key._fields

VALUE_NAMES: tuple[str, ...] = (
    # Those that `_field` made: no other has a setter.
    *(name for name, member in vars(Quote).items() if getattr(member, "fset", None)),
    *("change", "change_percent", "bids", "asks", "best_bid", "best_ask"),
)
"""Every attribute of a quote that can change, in the order of `Quote.to_dict`."""
