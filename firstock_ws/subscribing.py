"""The part of the client that says what is streamed."""

from __future__ import annotations

import threading

from firstock_ws.callbacks import Callbacks
from firstock_ws.instruments import Tokens, parse_tokens
from firstock_ws.lifecycle import Lifecycle
from firstock_ws.merge import QuoteBook
from firstock_ws.protocol import SUBSCRIBE, SUBSCRIBE_GREEKS, UNSUBSCRIBE, UNSUBSCRIBE_GREEKS
from firstock_ws.subscriptions import Subscriptions
from firstock_ws.taps import Taps


class Subscribing(Callbacks):
    """Subscribes and unsubscribes; `FirstockWS` is made of this and sets what it needs.

    Threads: any thread may call anything. The lock ``_subscribing`` makes one step of what is told the book and
    the subscriptions; around it, the lock of the taps, `Taps.order`.
    """

    _book: QuoteBook
    _lifecycle: Lifecycle
    _subscribing: threading.Lock
    _subscriptions: Subscriptions
    _taps: Taps

    def subscribe(self, tokens: Tokens) -> None:
        """Stream quotes of `tokens`, from now on and after every reconnect.

        Args:
            tokens: ``"NSE:26000"``, ``"NSE:26000|BSE:1"``, or an iterable of such strings.

        Raises:
            ValueError: something in `tokens` is no instrument; nothing was sent then.
        """
        instruments = self._checked(tokens)
        with self._taps.order, self._subscribing:
            self._taps.begin()
            self._book.unmute(instruments)
            self._subscriptions.add_quotes(instruments)
            self._tell(SUBSCRIBE, instruments)
        self._lifecycle.wake()

    def unsubscribe(self, tokens: Tokens) -> None:
        """Stop streaming quotes of `tokens`, and forget them; quotes that wait already are still delivered.

        Args and errors are those of `subscribe`. What was not subscribed is ignored.
        """
        instruments = self._checked(tokens)
        with self._taps.order, self._subscribing:
            self._taps.begin()
            gone = self._subscriptions.remove_quotes(instruments)
            self._book.mute(gone)
            self._tell(UNSUBSCRIBE, gone)
        self._lifecycle.wake()

    def subscribe_option_greeks(self, tokens: Tokens) -> None:
        """Stream option greeks of `tokens`; else like `subscribe`."""
        instruments = self._checked(tokens)
        with self._taps.order:
            self._taps.begin()
            self._subscriptions.add_greeks(instruments)
            self._tell(SUBSCRIBE_GREEKS, instruments)
        self._lifecycle.wake()

    def unsubscribe_option_greeks(self, tokens: Tokens) -> None:
        """Stop streaming option greeks of `tokens`; else like `unsubscribe`."""
        instruments = self._checked(tokens)
        with self._taps.order:
            self._taps.begin()
            self._tell(UNSUBSCRIBE_GREEKS, self._subscriptions.remove_greeks(instruments))
        self._lifecycle.wake()

    def _tell(self, action: str, instruments: list[str]) -> None:
        for tap in self._taps.now:
            tap.wanted(action, instruments)

    def _checked(self, tokens: Tokens) -> list[str]:
        self._lifecycle.check_process()
        return parse_tokens(tokens)

    @property
    def subscriptions(self) -> frozenset[str]:
        """Instruments whose quotes are wanted, connected or not."""
        return self._subscriptions.quotes

    @property
    def option_greeks_subscriptions(self) -> frozenset[str]:
        """Instruments whose option greeks are wanted, connected or not."""
        return self._subscriptions.greeks
