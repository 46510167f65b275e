"""What is known of one instrument, in the wire's numbers: what a `Quote` is read from."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple


class Level(NamedTuple):
    """One level of a `MarketState`; whatever has these three attributes will do for one."""

    price: Any
    """Paise; None where not known, as the others."""
    quantity: Any
    orders: Any


class MarketState(NamedTuple):
    """Merged values of one instrument by their names on the wire, None where not known.

    Up to and with `i_feed_time` 0 on the wire means "no value"; of the quantities behind it, it may be one.
    """

    # Prices in paise, whole but for binary noise, and times in epoch seconds.
    i_last_traded_price: Any = None
    i_average_trade_price: Any = None
    i_open_price: Any = None
    i_high_price: Any = None
    i_low_price: Any = None
    i_closing_price: Any = None
    i_lower_circuit_limit: Any = None
    i_upper_circuit_limit: Any = None
    i_yearly_low_price: Any = None
    i_yearly_high_price: Any = None
    i_last_trade_time: Any = None
    i_feed_time: Any = None
    i_last_trade_quantity: Any = None
    i_volume_traded_today: Any = None
    i_total_tradevalue: Any = None
    i_total_buy_quantity: Any = None
    i_total_sell_quantity: Any = None
    i_open_interest: Any = None
    i_total_open_interest: Any = None
    c_exch_feed_time: Any = None
    best_buy: Any = ()
    """`Level` after `Level`."""
    best_sell: Any = ()

    @property
    def bids(self) -> tuple[Level, ...]:
        """Levels of the buyers."""
        return self.best_buy  # type: ignore[no-any-return]

    @property
    def asks(self) -> tuple[Level, ...]:
        """Levels of the sellers."""
        return self.best_sell  # type: ignore[no-any-return]

    @property
    def level_counts(self) -> tuple[int, int]:
        """How many levels are known of buyers and sellers."""
        return len(self.best_buy), len(self.best_sell)

    def merged(self, delta: dict[str, Any], raw: bytes, pack: bool) -> MarketState:
        """Return this state with `delta` merged over it.

        Args:
            delta: values by name that take the place of those of before, whatever these were, and levels that do
                so one by one. It is used up.
            raw: the market object that it was decoded from.
            pack: whether to forget levels that can be decoded from `raw` when somebody reads them; here none can.
        """
        for name in (BIDS, ASKS):
            if name in delta:
                delta[name] += getattr(self, name)[len(delta[name]) :]
        return tuple.__new__(MarketState, map(delta.get, STATE_NAMES, self))


State = Any
"""A `MarketState`, or an object of another class with the same attributes, which is no tuple.

All objects of that class have as many levels. While nobody reads them, bytes may stand in their place in
`best_buy` and `best_sell`, where ``pack(raw)`` puts them; `bids` and `asks` are always levels. ``of(raw)`` makes
once more what came of the bytes of a market object.
"""

EMPTY_STATE = MarketState()
STATE_NAMES = MarketState._fields
NO_ZERO_COUNT = STATE_NAMES.index("i_last_trade_quantity")
NUMBER_COUNT = STATE_NAMES.index("c_exch_feed_time")
BIDS, ASKS = "best_buy", "best_sell"
TIME_TEXT = "c_exch_feed_time"
CLOSE = "i_closing_price"

values_of = attrgetter(*STATE_NAMES[:-2], "bids", "asks")
"""Returns the values of a `State`, in the order of `STATE_NAMES`."""


def whole(number: Any) -> int:
    """Return a number of a `State` without the binary noise that it may have come with."""
    return number if type(number) is int else round(number)


def whole_or_none(number: Any) -> int | None:
    """The same of what may not be known."""
    return None if number is None else whole(number)


def portable(state: State) -> MarketState:
    """Return `state` free of noise, and of classes that only whoever decoded it has."""
    values = values_of(state)
    sides = (tuple(map(_portable_level, side)) for side in values[-2:])
    return MarketState._make((*map(whole_or_none, values[:NUMBER_COUNT]), *values[NUMBER_COUNT:-2], *sides))


def _portable_level(level: Level) -> Level:
    return Level(whole_or_none(level.price), level.quantity, level.orders)
