"""The part of the client that says what is streamed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from firstock_ws.callbacks import Callbacks
from firstock_ws.errors import UnknownSymbolError, UsageError
from firstock_ws.feed.book import QuoteBook
from firstock_ws.instruments import HasInstrument, Tokens, resolve_tokens
from firstock_ws.lifecycle import Lifecycle
from firstock_ws.protocol import SUBSCRIBE, SUBSCRIBE_GREEKS, UNSUBSCRIBE, UNSUBSCRIBE_GREEKS
from firstock_ws.settings import Settings
from firstock_ws.subscriptions import Subscriptions
from firstock_ws.taps import Taps

if TYPE_CHECKING:
    from firstock_ws.symbols import SymbolMaster

_NO_ADDRESS = "the address of the symbol files is not known: make the client with rest_url=... or symbols=..."


class Subscribing(Callbacks):
    """Subscribes and unsubscribes; `FirstockWS` is made of this and sets what it needs.

    Threads: any thread may call anything. The lock ``_subscribing`` makes one step of what is told the book and
    the subscriptions, and one symbol master; around it, the lock of the taps, `Taps.order`.
    """

    _book: QuoteBook
    _lifecycle: Lifecycle
    _settings: Settings
    _symbols: SymbolMaster | None
    _subscribing: threading.Lock
    _subscriptions: Subscriptions
    _taps: Taps

    def subscribe(self, tokens: Tokens) -> None:
        """Stream quotes of `tokens`, from now on and after every reconnect.

        Args:
            tokens: ``"NSE:26000"`` (a number is a token), ``"NSE:RELIANCE-EQ"`` (a trading symbol, in small or
                capital letters), ``"NSE:26000|BSE:1"``, a `Symbol` of `symbols`, or an iterable of such. The first
                trading symbol of an exchange may have its symbol file downloaded, and this call waits for that:
                ``client.symbols.load("NSE")`` beforehand where it must not, as in callbacks. Tokens never wait.

        Raises:
            UnknownSymbolError: no instrument has such a name; the text has the nearest ones. Nothing was sent.
            ValueError: something in `tokens` is no instrument; nothing was sent.
            ServerError: the symbol file can't be had, and none is kept from earlier; nothing was sent.
        """
        self._want_quotes(tokens)
        self._lifecycle.wake()

    def _want_quotes(self, tokens: Tokens) -> None:
        instruments = self._checked(tokens)
        with self._taps.order, self._subscribing:
            self._taps.begin()
            self._book.unmute(instruments)
            self._subscriptions.add_quotes(instruments)
            self._tell(SUBSCRIBE, instruments)

    def _want_greeks(self, tokens: Tokens) -> None:
        instruments = self._checked(tokens)
        with self._taps.order:
            self._taps.begin()
            self._subscriptions.add_greeks(instruments)
            self._tell(SUBSCRIBE_GREEKS, instruments)

    def unsubscribe(self, tokens: Tokens) -> None:
        """Stop streaming quotes of `tokens`, and forget them; quotes that wait already are still delivered.

        Args and errors are those of `subscribe`. What was not subscribed is ignored.
        """
        # By the name that it was subscribed by, also when a newer symbol file has it no more.
        instruments = self._checked(tokens, lambda name: self._book.named(name) or self._named(name))
        with self._taps.order, self._subscribing:
            self._taps.begin()
            gone = self._subscriptions.remove_quotes(instruments)
            self._book.mute(gone)
            self._tell(UNSUBSCRIBE, gone)
        self._lifecycle.wake()

    def subscribe_option_greeks(self, tokens: Tokens) -> None:
        """Stream option greeks of `tokens`; else like `subscribe`."""
        self._want_greeks(tokens)
        self._lifecycle.wake()

    def unsubscribe_option_greeks(self, tokens: Tokens) -> None:
        """Stop streaming option greeks of `tokens`; else like `unsubscribe`."""
        instruments = self._checked(tokens)
        with self._taps.order:
            self._taps.begin()
            self._tell(UNSUBSCRIBE_GREEKS, self._subscriptions.remove_greeks(instruments))
        self._lifecycle.wake()

    def _tell(self, action: str, instruments: Iterable[str]) -> None:
        named = instruments.items() if isinstance(instruments, Mapping) else ()
        symbols = {instrument: symbol for instrument, symbol in named if symbol is not None}
        for tap in self._taps.now:
            tap.wanted(action, list(instruments), symbols)

    def _checked(
        self, tokens: Tokens, find: Callable[[str], HasInstrument] | None = None
    ) -> dict[str, str | None]:
        self._lifecycle.check_process()
        return resolve_tokens(tokens, find or self._named, self._known)

    def _named(self, name: str) -> HasInstrument:
        if self._symbols is None and self._settings.rest_url is None:
            # A recording tells the names of what it holds.
            known = self._book.named(name)
            if known is not None:
                return known
            raise UnknownSymbolError(f"{name!r} can't be looked up: {_NO_ADDRESS}", name=name)
        return self.symbols[name]

    def _known(self, instrument: str) -> HasInstrument | None:
        return self._symbols.known(instrument) if self._symbols is not None else None

    @property
    def symbols(self) -> SymbolMaster:
        """The broker's instruments by name: look up, search, list options. Loads its files when they are needed.

        Raises:
            UsageError: the address of the files is not known, as with a simulator's `url` and no `rest_url`.
        """
        with self._subscribing:
            if self._symbols is None:
                if self._settings.rest_url is None:
                    raise UsageError(_NO_ADDRESS)
                # Here, since a program that gives tokens has no use for it.
                from firstock_ws.symbols import SymbolMaster

                self._symbols = SymbolMaster(self._settings.rest_url, ssl_context=self._settings.ssl_context)
            return self._symbols

    @property
    def subscriptions(self) -> frozenset[str]:
        """Instruments whose quotes are wanted, connected or not."""
        return self._subscriptions.quotes

    @property
    def option_greeks_subscriptions(self) -> frozenset[str]:
        """Instruments whose option greeks are wanted, connected or not."""
        return self._subscriptions.greeks
