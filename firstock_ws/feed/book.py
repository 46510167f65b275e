"""The newest quote of every instrument that the feed has told of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from firstock_ws.feed.market import Entry, MarketUpdate, read_market
from firstock_ws.feed.merge import merge
from firstock_ws.instruments import Named
from firstock_ws.models.market_state import EMPTY_STATE, MarketState, State
from firstock_ws.models.quote import Key, Quote

_SHOWN = 5
"""Instruments that the table of quotes names when it is printed."""
_TURNS = 64
"""After so many batches levels are packed even where those of before were read, to see whether they still are."""

_Kept = tuple[Key, bytes, "State | bytes", Any]
"""What a quote can be made of again: its names; the market object, which left nothing out; the state before it, or
the market object that this was in; the class of the states. A state is thirty objects, which would have left the
processor's caches by the next frame, and would have to be fetched to be freed."""


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

    Of an instrument whose frames leave nothing out, the bytes are kept, and a quote is made of them if somebody
    asks for it. Once a delta came, the quote is kept, to merge the next one over.

    Threads: the reading thread merges, user threads read and forget. The tables are owned here, their lock is
    ``_lock``; it is never held while anything outside this class is called.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn = 0
        self._quotes: dict[str, Quote | _Kept] = {}
        self._fresh: set[str] = set()
        self._muted: set[str] = set()
        self._hidden: dict[str, State] = {}
        self._symbols: dict[str, str] = {}
        self._instruments: dict[str, str] = {}
        self.view: Mapping[str, Quote] = QuotesView(self._quotes, self._instruments, self._remade)

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
                kept = self._quotes[instrument]
                if isinstance(kept, tuple) and type(update) is kept[3]:
                    return self._put(kept[0], update, kept[1], update, raw)
                last = _quote_of(kept)
                before = last._state
                return self._put(last._key, merge(before, update, raw), before, update, raw)
            return self._take_first(instrument, update, raw)

    def _put(
        self, key: Key, state: State, before: State | bytes, update: MarketUpdate, raw: dict[str, Any] | bytes
    ) -> Quote:
        """Make, and keep, the quote that is the newest now; the caller holds the lock."""
        quote = Quote(key, state, before, raw)
        if state is update and type(state) is not MarketState and isinstance(raw, bytes):
            self._quotes[key.instrument] = key, raw, before, type(state)
        else:
            self._quotes[key.instrument] = quote
        return quote

    def take_plain(self, entries: Iterator[Entry], quotes: list[Any]) -> Entry | None:
        """Take `entries` up to the first whose update is a tuple; return that one, None if there was none.

        As many calls of `take` would do the same, more slowly.

        Args:
            quotes: gets the full quotes, but for instruments that were unsubscribed meanwhile.
        """
        with self._lock:
            fresh, found, new = self._fresh, quotes.append, object.__new__
            table: dict[str, Any] = self._quotes
            self._turn = (self._turn + 1) % _TURNS
            pack = not self._turn
            for entry in entries:
                instrument, update, raw = entry
                kind = type(update)
                if kind is tuple:
                    return entry
                if instrument in fresh:
                    last = table[instrument]
                    if type(last) is tuple:
                        if kind is last[3]:
                            # All objects of this class of states have as many levels.
                            key, before = last[0], last[1]
                            table[instrument] = key, raw, before, kind
                            # As Quote(...) does, without the call.
                            quote = new(Quote)
                            quote._key = key
                            quote._state = update
                            quote._before = before
                            quote._raw = raw
                            found(quote)
                            continue
                        last = _quote_of(last)
                    if kind is dict:
                        before = last._state
                        quote = new(Quote)
                        quote._key = last._key
                        quote._state = before.merged(update, raw, pack)
                        quote._before = before
                        quote._raw = raw
                        table[instrument] = quote
                        found(quote)
                    else:
                        before = last._state
                        found(self._put(last._key, merge(before, update, raw), before, update, raw))
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
        self._fresh.add(instrument)
        return self._put(self._key(instrument), state, EMPTY_STATE, update, raw)

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
                    self._hidden[instrument] = _state_of(last)
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
            if isinstance(last, Quote):
                key = last._key._replace(symbol=symbol)
                self._quotes[instrument] = Quote(key, last._state, last._before, last._raw)
            else:
                self._quotes[instrument] = (last[0]._replace(symbol=symbol), *last[1:])

    def _remade(self, instrument: str, kept: _Kept) -> Quote:
        """Return the quote of what is kept of `instrument`; for the next who asks, it is kept itself."""
        quote = _quote_of(kept)
        with self._lock:
            if self._quotes.get(instrument) is kept:
                self._quotes[instrument] = quote
        return quote

    def freeze(self) -> Frozen:
        """Return all that is known, as of one moment."""
        with self._lock:
            quotes = self._quotes.copy()
            fresh, muted = frozenset(self._fresh), frozenset(self._muted)
            hidden, symbols = self._hidden.copy(), self._symbols.copy()
        # Outside the lock: to decode thousands would keep the feed waiting.
        states = {name: _state_of(entry) for name, entry in quotes.items()}
        return Frozen(states, fresh, muted, hidden, symbols)

    def thaw(self, frozen: Frozen) -> None:
        """Know what `frozen` says, and nothing else."""
        self.learn(frozen.symbols)
        with self._lock:
            self._quotes.clear()
            for name, state in frozen.quotes.items():
                self._quotes[name] = Quote(self._key(name), state, EMPTY_STATE, {})
            self._fresh, self._muted = set(frozen.fresh), set(frozen.muted)
            self._hidden = dict(frozen.hidden)


def _state_of(entry: Quote | _Kept) -> State:
    return entry._state if isinstance(entry, Quote) else entry[3].of(entry[1])


def _quote_of(entry: Quote | _Kept) -> Quote:
    """Return the quote that is kept as `entry`, with its levels as bytes till they are read."""
    if isinstance(entry, Quote):
        return entry
    key, raw, before, kind = entry
    state = kind.of(raw)
    state.pack(raw)
    return Quote(key, state, before, raw)


class QuotesView(Mapping[str, Quote]):
    """A live, read-only mapping; safe to loop over while the feed goes on (a loop sees one moment's quotes)."""

    def __init__(
        self,
        quotes: dict[str, Quote | _Kept],
        instruments: dict[str, str],
        remade: Callable[[str, _Kept], Quote],
    ) -> None:
        """
        Args:
            instruments: by names in capitals, which can be looked up as well.
            remade: makes the quote of an instrument of what is kept of it.
        """
        self._live = quotes
        self._instruments = instruments
        self._remade = remade

    def __getitem__(self, instrument: str) -> Quote:
        try:
            entry = self._live[instrument]
        except KeyError:
            named = self._instruments.get(instrument.strip().upper(), "") if isinstance(instrument, str) else ""
            if named not in self._live:
                hint = "none has come yet, or it is not subscribed; quotes.get(...) returns None then"
                raise KeyError(f"no quote of {instrument}: {hint}") from None
            return self[named]
        return self._shown(instrument, entry)

    def _shown(self, instrument: str, entry: Quote | _Kept) -> Quote:
        return entry if isinstance(entry, Quote) else self._remade(instrument, entry)

    def __len__(self) -> int:
        return len(self._live)

    # dict.copy() is one step for the interpreter: no other thread gets in between.
    def __iter__(self) -> Iterator[str]:
        return iter(self._live.copy())

    def items(self) -> Any:
        return {name: self._shown(name, entry) for name, entry in self._live.copy().items()}.items()

    def values(self) -> Any:
        return dict(self.items()).values()

    def __repr__(self) -> str:
        names = list(self)
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        return f"<{len(names)} quote{'' if len(names) == 1 else 's'}{': ' if names else ''}{shown}>"
