"""What one market object says, field by field; the rules are the wire's ("Market fields" of the broker's feed).

Nothing is merged here, and nothing settled that depends on what was before: see `firstock_ws.feed.merge`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from firstock_ws.models import _fields
from firstock_ws.models.market_state import (
    ASKS,
    BIDS,
    CLOSE,
    NO_ZERO_COUNT,
    NUMBER_COUNT,
    STATE_NAMES,
    TIME_TEXT,
    Level,
    MarketState,
)

MAX_LEVELS = 50
PLAIN_LIMIT = 2**63 - 1
"""Numbers below it are what they seem; from it on they mean "no value"."""

BAD: Final[Any] = type("Bad", (), {"__repr__": lambda self: "BAD"})()
"""Stands for what could not be parsed: what was known before is no longer known to be true."""

MarketUpdate = Any
"""What a market object says, in one of three forms.

- a tuple in the order of `STATE_NAMES`: None for nothing, `BAD`, numbers that may still mean "no value", levels
  that say nothing of what they leave out;
- a dict by these names, for `merged` of a state: each value stands as it is in the next one;
- a `State`, if nothing is left out.
"""

Entry = tuple[str, MarketUpdate, bytes | dict[str, Any]]
"""One instrument's part of a frame: its name; what the part says; the part as it came, which is bytes where the
second is a dict. Bare tuples, since some are made for each quote."""

CLOSE_AGAIN = "close_price"
"""Sent beside ``i_closing_price``, and the same."""
TIMES = ("i_last_trade_time", "i_feed_time")

_INDEX = {name: index for index, name in enumerate(STATE_NAMES[:NUMBER_COUNT])}
CLOSE_INDEX = _INDEX[CLOSE]
_LEVEL = ("price", "quantity", "orders")
# A whole snapshot is taken in one step each, where a loop would be half of its cost.
_numbers_of = itemgetter(*_INDEX)
_level_of: Callable[[Any], tuple[Any, Any, Any]] = itemgetter(*_LEVEL)


def _epoch(value: object) -> int | None:
    number = _fields.whole_number(value)
    if number is not None and number < 0:
        raise ValueError("a time before 1970")
    return number


def _time_text(value: object) -> object:
    if not isinstance(value, (str, int)):
        raise ValueError("not a text")
    return value if _fields.market_time(value) is not None else None


_PARSERS = dict.fromkeys(_INDEX, _fields.whole_number) | dict.fromkeys(TIMES, _epoch)


def _parsed(value: object, parse: Callable[[object], Any], name: str, bad: list[str]) -> Any:
    if value is None:
        return None
    try:
        return parse(value)
    except (ValueError, OverflowError, OSError):
        bad.append(name)
        return BAD


def _snapshot(fields: dict[str, Any]) -> MarketState | None:
    """Return what a plain and complete market object says, None for any other; without a loop, for speed."""
    try:
        numbers = _numbers_of(fields)
        bids, asks = tuple(map(_level_of, fields[BIDS])), tuple(map(_level_of, fields[ASKS]))
        text = fields[TIME_TEXT]
        if type(text) is not str or _fields.market_time(text) is None:
            return None
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        # All that can be wrong with it is found, and said, in the long way.
        return None
    levels = [*chain.from_iterable(bids), *chain.from_iterable(asks)]
    values = [*numbers, *levels]
    if set(map(type, values)) != _INTS or not 0 < len(bids) <= MAX_LEVELS >= len(asks):
        return None
    if min(values) < 0 or max(values) >= PLAIN_LIMIT or not all(numbers[:NO_ZERO_COUNT]) or not all(levels):
        return None
    return _new_state((*numbers, text, tuple(map(_new_level, bids)), tuple(map(_new_level, asks))))


_INTS = {int}
_new_state: Callable[[tuple[Any, ...]], MarketState] = partial(tuple.__new__, MarketState)
_new_level: Callable[[tuple[Any, ...]], Level] = partial(tuple.__new__, Level)


def _odd_level(sent: object) -> Level:
    if sent is None:
        return Level(None, None, None)
    if not isinstance(sent, dict):
        return Level(BAD, BAD, BAD)
    return Level(*(_parsed(sent.get(name), _fields.whole_number, "", []) for name in _LEVEL))


def _depth(sent: object, name: str, bad: list[str]) -> Any:
    if sent is None:
        return None
    if not isinstance(sent, list) or len(sent) > MAX_LEVELS:
        bad.append(name)
        return BAD
    levels = tuple(map(_odd_level, sent))
    if any(BAD in level for level in levels):
        bad.append(name)
    return levels


def _numbers(fields: dict[str, Any], bad: list[str]) -> list[Any]:
    numbers: list[Any] = [None] * NUMBER_COUNT
    for name, value in fields.items():
        if name in _INDEX:
            numbers[_INDEX[name]] = _parsed(value, _PARSERS[name], name, bad)
    if CLOSE_AGAIN in fields:
        again = _parsed(fields[CLOSE_AGAIN], _fields.whole_number, CLOSE_AGAIN, bad)
        if again and (again is not BAD or numbers[CLOSE_INDEX] is None) and numbers[CLOSE_INDEX] in (None, 0, BAD):
            numbers[CLOSE_INDEX] = again
    return numbers


def read_market(fields: dict[str, Any], bad: list[str]) -> MarketUpdate:
    """Return what the market object `fields` says.

    Args:
        bad: gets the wire names of what could not be parsed.
    """
    snapshot = _snapshot(fields)
    if snapshot is not None:
        return snapshot
    numbers, text = _numbers(fields, bad), _parsed(fields.get(TIME_TEXT), _time_text, TIME_TEXT, bad)
    return (*numbers, text, _depth(fields.get(BIDS), BIDS, bad), _depth(fields.get(ASKS), ASKS, bad))
