"""Merges market frames, most of which name only what changed, into the full state of each instrument.

The rules are the wire's ("Market fields" of the broker's feed as it behaves): "no value" marks and ``null`` say
nothing, a price of 0 says nothing, depth is merged by position and field, order of levels is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from firstock_ws.models import _fields
from firstock_ws.models.quote import Quote

Level = tuple[Any, Any, Any]
"""Price in paise, quantity, orders; None where not known."""
EMPTY_LEVEL: Level = (None, None, None)
MAX_LEVELS = 50

_PLAIN_LIMIT = 2**63 - 1

# Distinct texts are few: one a second for the whole market.
_clock_text = lru_cache(maxsize=256)(_fields.clock_text)


def _price(value: object) -> int | None:
    return _fields.whole_number(value) or None


def _epoch(value: object) -> int | None:
    number = _fields.whole_number(value)
    if number is not None and number < 0:
        raise ValueError("a time before 1970")
    return number or None


def _time_text(value: object) -> Any:
    if not isinstance(value, (str, int)):
        raise ValueError("not a text")
    return _clock_text(value)


# Attribute of a quote, and what parses it, by wire name.
_PARSERS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "i_last_traded_price": ("last_price", _price),
    "i_last_trade_quantity": ("last_quantity", _fields.whole_number),
    "i_last_trade_time": ("last_trade_time", _epoch),
    "i_average_trade_price": ("average_price", _price),
    "i_open_price": ("open", _price),
    "i_high_price": ("high", _price),
    "i_low_price": ("low", _price),
    "close_price": ("close", _price),
    "i_closing_price": ("close", _price),
    "i_volume_traded_today": ("volume", _fields.whole_number),
    "i_total_tradevalue": ("traded_value", _fields.whole_number),
    "i_total_buy_quantity": ("total_buy_quantity", _fields.whole_number),
    "i_total_sell_quantity": ("total_sell_quantity", _fields.whole_number),
    "i_open_interest": ("open_interest", _fields.whole_number),
    "i_total_open_interest": ("total_open_interest", _fields.whole_number),
    "i_lower_circuit_limit": ("lower_circuit", _price),
    "i_upper_circuit_limit": ("upper_circuit", _price),
    "i_yearly_low_price": ("year_low", _price),
    "i_yearly_high_price": ("year_high", _price),
    "i_feed_time": ("feed_time", _epoch),
    "c_exch_feed_time": ("exchange_time", _time_text),
}
_DEPTH = {"best_buy": "bids", "best_sell": "asks"}


def _merge_level(old: Level, update: object) -> tuple[Level, bool]:
    """Return the level after `update`, and whether all of the update could be parsed."""
    if update is None or update == {}:
        return old, True
    if not isinstance(update, dict):
        return EMPTY_LEVEL, False
    price: Any = update.get("price")
    quantity: Any = update.get("quantity")
    orders: Any = update.get("orders")
    # Nearly every level of a snapshot: without this short way, depth is a third of the cost of a frame.
    plain = type(price) is type(quantity) is type(orders) is int
    if plain and 0 < price < _PLAIN_LIMIT and 0 < quantity < _PLAIN_LIMIT and 0 < orders < _PLAIN_LIMIT:
        return (price, quantity, orders), True
    values: list[Any] = list(old)
    seen: list[int | None] = []
    good = True
    for index, sent in enumerate((price, quantity, orders)):
        try:
            value = _fields.whole_number(sent)
        except ValueError:
            values[index], good = None, False
            continue
        seen.append(value)
        if value is not None and not (value == 0 and index == 0):
            values[index] = value
    if good and seen[:2] == [0, 0] and not seen[2]:
        return EMPTY_LEVEL, True
    return (values[0], values[1], values[2]), good


def _merge_depth(old: tuple[Level, ...], update: object) -> tuple[tuple[Level, ...], bool]:
    if not isinstance(update, list) or len(update) > MAX_LEVELS:
        return (), False
    levels = list(old) + [EMPTY_LEVEL] * (len(update) - len(old))
    good = True
    for position, level in enumerate(update):
        levels[position], parsed = _merge_level(levels[position], level)
        good = good and parsed
    return tuple(levels), good


def merge(before: Mapping[str, Any], update: dict[str, Any], bad: list[str]) -> dict[str, Any]:
    """Return a new state: `before` with the market fields of `update` merged over it.

    Args:
        before: the state so far, by Python name (see `firstock_ws.models.quote.State`).
        update: a market object as it came.
        bad: gets the wire names of fields that could not be parsed; they have no value in the new state.
    """
    state = dict(before)
    for wire_name, value in update.items():
        known = _PARSERS.get(wire_name)
        if known is not None:
            name, parse = known
            if type(value) is int and 0 < value < _PLAIN_LIMIT and parse is not _time_text:
                state[name] = value
                continue
            try:
                parsed = parse(value) if value is not None else None
            except (ValueError, OverflowError, OSError):
                bad.append(wire_name)
                state.pop(name, None)
            else:
                if parsed is not None:
                    state[name] = parsed
        elif wire_name in _DEPTH and value is not None:
            name = _DEPTH[wire_name]
            state[name], good = _merge_depth(state.get(name, ()), value)
            if not good:
                bad.append(wire_name)
    return state


_EMPTY: Mapping[str, Any] = {}


class QuoteBook:
    """The newest `Quote` of every instrument.

    Threads: the reading thread merges, user threads read and forget. The tables are owned here, their lock is
    ``_lock``; it is never held while anything outside this class is called.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._quotes: dict[str, Quote] = {}
        self._fresh: set[str] = set()
        self._muted: set[str] = set()
        self._hidden: dict[str, Mapping[str, Any]] = {}
        self.view: Mapping[str, Quote] = QuotesView(self._quotes)

    def merge(self, instrument: str, update: dict[str, Any], bad: list[str]) -> Quote | None:
        """Return the full quote after `update`; None if the instrument was unsubscribed meanwhile."""
        with self._lock:
            if instrument in self._muted:
                self._hidden[instrument] = merge(self._hidden.get(instrument, _EMPTY), update, bad)
                return None
            if instrument in self._hidden:
                state = merge(self._hidden.pop(instrument), update, bad)
                self._quotes[instrument] = quote = Quote(instrument, state, _EMPTY, update)
                self._fresh.add(instrument)
                return quote
            last = self._quotes.get(instrument)
            # After a reconnect the server sends a snapshot: what stood before must not shine through it.
            before = last._state if last is not None and instrument in self._fresh else _EMPTY
            quote = Quote(instrument, merge(before, update, bad), before, update)
            self._quotes[instrument] = quote
            self._fresh.add(instrument)
            return quote

    def start_afresh(self) -> None:
        """Merge over nothing from now on, as on a new connection. The last quotes stay readable till replaced."""
        with self._lock:
            self._fresh.clear()
            self._muted.clear()
            self._hidden.clear()

    def mute(self, instruments: list[str]) -> None:
        """Forget `instruments`, and ignore frames of theirs that are still on their way.

        They are merged unseen all the same: when an instrument is wanted again at once, deltas that were on their
        way come before its new snapshot, and would make a quote of nothing but themselves.
        """
        with self._lock:
            for instrument in instruments:
                last = self._quotes.pop(instrument, None)
                if last is not None and instrument in self._fresh:
                    self._hidden[instrument] = last._state
                self._fresh.discard(instrument)
                self._muted.add(instrument)

    def unmute(self, instruments: list[str]) -> None:
        """Take frames of `instruments` again."""
        with self._lock:
            self._muted.difference_update(instruments)


class QuotesView(Mapping[str, Quote]):
    """A live, read-only mapping; safe to loop over while the feed goes on (a loop sees one moment's quotes)."""

    def __init__(self, quotes: dict[str, Quote]) -> None:
        self._live = quotes

    def __getitem__(self, instrument: str) -> Quote:
        try:
            return self._live[instrument]
        except KeyError:
            hint = "none has come yet, or it is not subscribed; quotes.get(...) returns None then"
            raise KeyError(f"no quote of {instrument}: {hint}") from None

    def __len__(self) -> int:
        return len(self._live)

    # dict.copy() is one step for the interpreter: no other thread gets in between.
    def __iter__(self) -> Iterator[str]:
        return iter(self._live.copy())

    def items(self) -> Any:
        return self._live.copy().items()

    def values(self) -> Any:
        return self._live.copy().values()

    def __repr__(self) -> str:
        return f"<{len(self)} quotes>"
