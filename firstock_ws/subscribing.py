"""The part of the client that says what is streamed."""

from __future__ import annotations

import threading

from firstock_ws.callbacks import Callbacks
from firstock_ws.instruments import Tokens, parse_tokens
from firstock_ws.lifecycle import Lifecycle
from firstock_ws.merge import QuoteBook
from firstock_ws.subscriptions import Subscriptions


class Subscribing(Callbacks):
    """Subscribes and unsubscribes; `FirstockWS` is made of this and sets what it needs.

    Threads: any thread may call anything. The lock ``_subscribing`` makes one step of what is told the book and
    the subscriptions.
    """

    _book: QuoteBook
    _lifecycle: Lifecycle
    _subscribing: threading.Lock
    _subscriptions: Subscriptions

    def subscribe(self, tokens: Tokens) -> None:
        """Stream quotes of `tokens`, from now on and after every reconnect.

        Args:
            tokens: ``"NSE:26000"``, ``"NSE:26000|BSE:1"``, or an iterable of such strings.

        Raises:
            ValueError: something in `tokens` is no instrument; nothing was sent then.
        """
        instruments = self._checked(tokens)
        with self._subscribing:
            self._book.unmute(instruments)
            self._subscriptions.add_quotes(instruments)
        self._lifecycle.wake()

    def unsubscribe(self, tokens: Tokens) -> None:
        """Stop streaming quotes of `tokens`, and forget them; quotes that wait already are still delivered.

        Args and errors are those of `subscribe`. What was not subscribed is ignored.
        """
        instruments = self._checked(tokens)
        with self._subscribing:
            self._book.mute(self._subscriptions.remove_quotes(instruments))
        self._lifecycle.wake()

    def subscribe_option_greeks(self, tokens: Tokens) -> None:
        """Stream option greeks of `tokens`; else like `subscribe`."""
        self._subscriptions.add_greeks(self._checked(tokens))
        self._lifecycle.wake()

    def unsubscribe_option_greeks(self, tokens: Tokens) -> None:
        """Stop streaming option greeks of `tokens`; else like `unsubscribe`."""
        self._subscriptions.remove_greeks(self._checked(tokens))
        self._lifecycle.wake()

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
