"""Merges market updates, most of which name only what changed, into the full state of each instrument.

The rules are the wire's ("Market fields" of the broker's feed as it behaves): "no value" marks and ``null`` say
nothing, a price of 0 says nothing, depth is merged by position and field, order of levels is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from firstock_ws.feed.market import BAD, PLAIN_LIMIT, Entry, MarketUpdate, read_market
from firstock_ws.instruments import Named
from firstock_ws.models import _fields
from firstock_ws.models.market_state import (
    EMPTY_STATE,
    NO_ZERO_COUNT,
    NUMBER_COUNT,
    Level,
    MarketState,
    State,
    values_of,
)
from firstock_ws.models.quote import Key, Quote

_SHOWN = 5
"""Instruments that the table of quotes names when it is printed."""
_TURNS = 64
"""After so many batches levels are packed even where those of before were read, to see whether they still are."""
_EMPTY_LEVEL = Level(None, None, None)


def _quantity(sent: Any, known: Any) -> Any:
    """Return what is known of a quantity after `sent` came.

    Raises:
        ValueError: `sent` is too large for a number of this feed.
    """
    if sent is BAD:
        return None
    number = _fields.whole_number(sent)
    return known if number is None else number


def _price(sent: Any, known: Any) -> Any:
    """The same of a price or a time, of which 0 says nothing."""
    return None if sent is BAD else _quantity(sent, known) or known


def _merge_level(old: Level, sent: Level) -> Level:
    price, quantity, orders = sent.price, sent.quantity, sent.orders
    if type(price) is type(quantity) is type(orders) is int:
        if 0 <= price < PLAIN_LIMIT and 0 <= quantity < PLAIN_LIMIT and 0 <= orders < PLAIN_LIMIT:
            # Nearly all; as below, without a call.
            if price:
                return sent
            return Level(old.price, quantity, orders) if quantity or orders else _EMPTY_LEVEL
    elif price is quantity is orders is None:
        return old
    # Also what is nothing only when rounded, or by a mark of "no value".
    maybe_empty = price == 0 or type(price) is float
    if maybe_empty and _quantity(price, None) == _quantity(quantity, None) == 0 and not _quantity(orders, None):
        return _EMPTY_LEVEL
    return Level(_price(price, old.price), _quantity(quantity, old.quantity), _quantity(orders, old.orders))


def _merge_side(old: Sequence[Level], sent: Any) -> Sequence[Level]:
    if sent is None:
        return old
    if sent is BAD:
        return ()
    levels = [*old, *[_EMPTY_LEVEL] * (len(sent) - len(old))]
    levels[: len(sent)] = map(_merge_level, levels, sent)
    return tuple(levels)


def _covers(update: State, before: State) -> bool:
    """Whether `update`, which leaves nothing out, takes the place of `before`, which may have more levels."""
    (bids, asks), (known_bids, known_asks) = update.level_counts, before.level_counts
    return bool(bids >= known_bids and asks >= known_asks)


def _is_read(before: State) -> bool:
    """Whether somebody has read the levels of `before`, as far as that can be told."""
    return type(before) is not MarketState and type(before.best_buy) is tuple


def merge(before: State, update: MarketUpdate, raw: bytes | dict[str, Any]) -> State:
    """Return a new state: `before` with `update` merged over it.

    Args:
        raw: what `update` was read from.

    Raises:
        ValueError: a number in `update` is too large for one of this feed.
    """
    if type(update) is dict:
        return before.merged(update, raw, False)
    if type(update) is not tuple:
        if _covers(update, before):
            if type(update) is not MarketState and not _is_read(before):
                update.pack(raw)
            return update
        update = values_of(update)
    known = values_of(before)
    # The usual is settled in the loops, without a call.
    prices = [
        (new if type(new) is int and 0 < new < PLAIN_LIMIT else _price(new, old)) if new else old
        for new, old in zip(update[:NO_ZERO_COUNT], known, strict=False)
    ]
    quantities = [
        old if new is None else (new if type(new) is int and 0 <= new < PLAIN_LIMIT else _quantity(new, old))
        for new, old in zip(update[NO_ZERO_COUNT:NUMBER_COUNT], known[NO_ZERO_COUNT:], strict=False)
    ]
    old_text, old_bids, old_asks = known[NUMBER_COUNT:]
    text, bids, asks = update[NUMBER_COUNT:]
    text = old_text if text is None else None if text is BAD else text
    sides = _merge_side(old_bids, bids), _merge_side(old_asks, asks)
    return MarketState._make((*prices, *quantities, text, *sides))


class Frozen(NamedTuple):
    """All that a book knows, as it stood at one moment; nothing of it changes."""

    quotes: Mapping[str, State]
    fresh: Collection[str]
    """Those of `quotes` that came on this connection."""
    muted: Collection[str]
    hidden: Mapping[str, State]
    """What is merged of instruments that nobody is told of."""
    symbols: Mapping[str, str]
    """Trading symbols by instrument, where known."""


class QuoteBook:
    """The newest `Quote` of every instrument.

    Threads: the reading thread merges, user threads read and forget. The tables are owned here, their lock is
    ``_lock``; it is never held while anything outside this class is called.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn = 0
        self._quotes: dict[str, Quote] = {}
        self._fresh: set[str] = set()
        self._muted: set[str] = set()
        self._hidden: dict[str, State] = {}
        self._symbols: dict[str, str] = {}
        self._instruments: dict[str, str] = {}
        self.view: Mapping[str, Quote] = QuotesView(self._quotes, self._instruments)

    def merge(self, instrument: str, fields: dict[str, Any], bad: list[str]) -> Quote | None:
        """Return the full quote after the market object `fields` came; None if it was unsubscribed meanwhile.

        Args:
            bad: gets the wire names of what could not be parsed; it has no value in the quote.
        """
        return self.take(instrument, read_market(fields, bad), fields)

    def take(self, instrument: str, update: MarketUpdate, raw: dict[str, Any] | bytes) -> Quote | None:
        """Return the full quote after `update`; None if the instrument was unsubscribed meanwhile.

        Args:
            update, raw: see `firstock_ws.feed.market.Entry`.

        Raises:
            ValueError: a number in `update` is too large for one of this feed; nothing is changed.
        """
        with self._lock:
            if instrument in self._fresh:
                last = self._quotes[instrument]
                before = last._state
                quote = Quote(last._key, merge(before, update, raw), before, raw)
                self._quotes[instrument] = quote
                return quote
            return self._take_first(instrument, update, raw)

    def take_plain(self, entries: Iterator[Entry], quotes: list[Any]) -> Entry | None:
        """Take `entries` up to the first whose update is a tuple; return that one, None if there was none.

        As many calls of `take` would do the same, more slowly.

        Args:
            quotes: gets the full quotes, but for instruments that were unsubscribed meanwhile.
        """
        with self._lock:
            fresh, table, found, new = self._fresh, self._quotes, quotes.append, object.__new__
            self._turn = (self._turn + 1) % _TURNS
            pack = not self._turn
            for entry in entries:
                instrument, update, raw = entry
                kind = type(update)
                if kind is tuple:
                    return entry
                if instrument in fresh:
                    last = table[instrument]
                    before = last._state
                    # As `merge` does.
                    if kind is dict:
                        state = before.merged(update, raw, pack)
                    elif type(before) is kind is not MarketState:
                        # Of the other class of states all have as many levels.
                        state = update
                        if pack or type(before.best_buy) is bytes:
                            # Nobody has read those of before.
                            state.best_buy = state.best_sell = raw
                    else:
                        state = merge(before, update, raw)
                    # As Quote(...) does, without the call.
                    quote = new(Quote)
                    quote._key = last._key
                    quote._state = state
                    quote._before = before
                    quote._raw = raw
                    table[instrument] = quote
                    found(quote)
                else:
                    first = self._take_first(instrument, update, raw)
                    if first is not None:
                        found(first)
        return None

    def _take_first(self, instrument: str, update: MarketUpdate, raw: dict[str, Any] | bytes) -> Quote | None:
        """Take what is not of a quote of this connection; the caller holds the lock."""
        # After a reconnect the server sends a snapshot: what stood before must not shine through it.
        state = merge(self._hidden.get(instrument, EMPTY_STATE), update, raw)
        if instrument in self._muted:
            self._hidden[instrument] = state
            return None
        self._hidden.pop(instrument, None)
        self._quotes[instrument] = quote = Quote(self._key(instrument), state, EMPTY_STATE, raw)
        self._fresh.add(instrument)
        return quote

    def _key(self, instrument: str) -> Key:
        exchange, _, token = instrument.partition(":")
        return Key(instrument, exchange, token, self._symbols.get(instrument))

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

    def unmute(self, instruments: Mapping[str, str | None]) -> None:
        """Take frames of `instruments` again.

        Args:
            instruments: with their trading symbols, None where not known: what was known before stands.
        """
        with self._lock:
            self._muted.difference_update(instruments)
        self.learn(instruments)

    def learn(self, symbols: Mapping[str, str | None]) -> None:
        """Know instruments by their trading symbols too, but for those which are None."""
        with self._lock:
            for instrument, symbol in symbols.items():
                self._name(instrument, symbol)

    @property
    def symbols(self) -> dict[str, str]:
        """The trading symbols that are known, by instrument."""
        with self._lock:
            return dict(self._symbols)

    def named(self, name: str) -> Named | None:
        """Return the instrument that was taken under ``"EXCHANGE:SYMBOL"``, None for none."""
        with self._lock:
            instrument = self._instruments.get(name.upper())
            return None if instrument is None else Named(instrument, self._symbols[instrument])

    def _name(self, instrument: str, symbol: str | None) -> None:
        if symbol is None or self._symbols.get(instrument) == symbol:
            return
        self._symbols[instrument] = symbol
        exchange = instrument.partition(":")[0]
        self._instruments[f"{exchange}:{symbol}".upper()] = instrument
        last = self._quotes.get(instrument)
        if last is not None:
            key = last._key._replace(symbol=symbol)
            self._quotes[instrument] = Quote(key, last._state, last._before, last._raw)

    def freeze(self) -> Frozen:
        """Return all that is known, as of one moment."""
        with self._lock:
            states = {name: quote._state for name, quote in self._quotes.items()}
            return Frozen(
                states, frozenset(self._fresh), frozenset(self._muted), dict(self._hidden), dict(self._symbols)
            )

    def thaw(self, frozen: Frozen) -> None:
        """Know what `frozen` says, and nothing else."""
        self.learn(frozen.symbols)
        with self._lock:
            self._quotes.clear()
            for name, state in frozen.quotes.items():
                self._quotes[name] = Quote(self._key(name), state, EMPTY_STATE, {})
            self._fresh, self._muted = set(frozen.fresh), set(frozen.muted)
            self._hidden = dict(frozen.hidden)


class QuotesView(Mapping[str, Quote]):
    """A live, read-only mapping; safe to loop over while the feed goes on (a loop sees one moment's quotes)."""

    def __init__(self, quotes: dict[str, Quote], instruments: dict[str, str]) -> None:
        """
        Args:
            instruments: by names in capitals, which can be looked up as well.
        """
        self._live = quotes
        self._instruments = instruments

    def __getitem__(self, instrument: str) -> Quote:
        try:
            return self._live[instrument]
        except KeyError:
            named = self._instruments.get(instrument.strip().upper()) if isinstance(instrument, str) else None
            quote = self._live.get(named) if named is not None else None
            if quote is not None:
                return quote
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
        names = list(self)
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        return f"<{len(names)} quote{'' if len(names) == 1 else 's'}{': ' if names else ''}{shown}>"
