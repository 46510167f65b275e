"""What one market object says, field by field: numbers, a time, levels of depth; the rules are the wire's.

Nothing is merged here, and nothing settled that depends on what was before: see `firstock_ws.merge`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from firstock_ws.models import _fields
from firstock_ws.models.quote import NUMBER_COUNT, STATE_NAMES, Level

MAX_LEVELS = 50
PLAIN_LIMIT = 2**63 - 1
"""Numbers below it are what they seem; from it on they mean "no value"."""

BAD: Final[Any] = type("Bad", (), {"__repr__": lambda self: "BAD"})()
"""Stands for what could not be parsed: what was known before is no longer known to be true."""

Number = int | float | None

clock_text = lru_cache(maxsize=256)(_fields.clock_text)
"""Distinct texts are few: one a second for the whole market."""


MarketUpdate = tuple[Sequence[Number], Any, Sequence[Level] | None, Sequence[Level] | None, bool]
"""What a market object says: the first `NUMBER_COUNT` values of a `State`, the exchange's time, bids, asks; None
where it says nothing. The last tells whether every level is complete, and takes the place of what was there.

A bare tuple: one is made for each quote, and a named one costs five times as much.
"""

Entry = tuple[str, MarketUpdate, bytes]
"""One instrument's part of a frame: its name, what the part says, and the part as it came."""

WIRE_NUMBERS = {
    "i_last_traded_price": "last_price",
    "i_last_trade_quantity": "last_quantity",
    "i_last_trade_time": "last_trade_time",
    "i_average_trade_price": "average_price",
    "i_open_price": "open",
    "i_high_price": "high",
    "i_low_price": "low",
    "i_closing_price": "close",
    "i_volume_traded_today": "volume",
    "i_total_tradevalue": "traded_value",
    "i_total_buy_quantity": "total_buy_quantity",
    "i_total_sell_quantity": "total_sell_quantity",
    "i_open_interest": "open_interest",
    "i_total_open_interest": "total_open_interest",
    "i_lower_circuit_limit": "lower_circuit",
    "i_upper_circuit_limit": "upper_circuit",
    "i_yearly_low_price": "year_low",
    "i_yearly_high_price": "year_high",
    "i_feed_time": "feed_time",
}
"""Names of a quote by those of the wire."""
CLOSE_AGAIN = "close_price"
"""Sent beside ``i_closing_price``, and the same."""
TIME_TEXT = "c_exch_feed_time"
BIDS, ASKS = "best_buy", "best_sell"
TIMES = ("i_last_trade_time", "i_feed_time")

_INDEX = {wire: STATE_NAMES.index(name) for wire, name in WIRE_NUMBERS.items()}
_CLOSE = _INDEX["i_closing_price"]


def _epoch(value: object) -> int | None:
    number = _fields.whole_number(value)
    if number is not None and number < 0:
        raise ValueError("a time before 1970")
    return number


def _time_text(value: object) -> Any:
    if not isinstance(value, (str, int)):
        raise ValueError("not a text")
    return clock_text(value)


_PARSERS = dict.fromkeys(WIRE_NUMBERS, _fields.whole_number) | dict.fromkeys(TIMES, _epoch)


def _parsed(value: object, parse: Callable[[object], Any], name: str, bad: list[str]) -> Any:
    if value is None:
        return None
    try:
        return parse(value)
    except (ValueError, OverflowError, OSError):
        bad.append(name)
        return BAD


def _level(sent: object) -> Level:
    if sent is None:
        return _SILENT
    if not isinstance(sent, dict):
        return _BAD_LEVEL
    price: Any = sent.get("price")
    quantity: Any = sent.get("quantity")
    orders: Any = sent.get("orders")
    plain = type(price) is type(quantity) is type(orders) is int
    # Nearly every level: without this short way, depth is a third of the cost of a frame.
    if plain and 0 < price < PLAIN_LIMIT and 0 < quantity < PLAIN_LIMIT and 0 < orders < PLAIN_LIMIT:
        return Level(price, quantity, orders)
    return Level(*(_parsed(value, _fields.whole_number, "", []) for value in (price, quantity, orders)))


_SILENT = Level(None, None, None)
_BAD_LEVEL = Level(BAD, BAD, BAD)


def _depth(sent: object, name: str, bad: list[str]) -> Any:
    if sent is None:
        return None
    if not isinstance(sent, list) or len(sent) > MAX_LEVELS:
        bad.append(name)
        return BAD
    levels = [_level(level) for level in sent]
    if any(value is BAD for level in levels for value in level):
        bad.append(name)
    return levels


def read_market(fields: dict[str, Any], bad: list[str]) -> MarketUpdate:
    """Return what the market object `fields` says.

    Args:
        bad: gets the wire names of what could not be parsed.
    """
    numbers: list[Any] = [None] * NUMBER_COUNT
    for name, value in fields.items():
        index = _INDEX.get(name)
        if index is None:
            continue
        if type(value) is int and 0 <= value < PLAIN_LIMIT:
            numbers[index] = value
        else:
            numbers[index] = _parsed(value, _PARSERS[name], name, bad)
    if CLOSE_AGAIN in fields:
        again = _parsed(fields[CLOSE_AGAIN], _fields.whole_number, CLOSE_AGAIN, bad)
        if again and (again is not BAD or numbers[_CLOSE] is None) and numbers[_CLOSE] in (None, 0, BAD):
            numbers[_CLOSE] = again
    moment = _parsed(fields.get(TIME_TEXT), _time_text, TIME_TEXT, bad)
    return numbers, moment, _depth(fields.get(BIDS), BIDS, bad), _depth(fields.get(ASKS), ASKS, bad), False
