"""The callbacks of a client, which do nothing until a user says what they should do."""

from __future__ import annotations

from firstock_ws.errors import FirstockError
from firstock_ws.models import OptionGreeks, OrderUpdate, PositionUpdate, Quote


class Callbacks:
    """What a client tells its user. All are called from one callback thread, one at a time, in order.

    An exception raised by one is logged with its traceback, counted in `Stats.callback_errors` and handed to
    `on_error`; the stream goes on.
    """

    def on_quote(self, quote: Quote) -> None:
        """An instrument has a new state; `quote` is the whole of it, `Quote.changed` says what is new in it."""

    def on_order_update(self, order: OrderUpdate) -> None:
        """An order of this account took a step. Never dropped, however slow the callbacks are."""

    def on_position_update(self, position: PositionUpdate) -> None:
        """A position of this account changed. Never dropped, however slow the callbacks are."""

    def on_option_greeks(self, greeks: OptionGreeks) -> None:
        """The greeks of an option are new."""

    def on_connect(self) -> None:
        """The connection is up: authenticated and subscribed. At first and after each reconnect."""

    def on_close(self, code: int, reason: str) -> None:
        """A connection that was up has ended; once for each `on_connect`.

        Args:
            code: the WebSocket close code: 1000 after ``close()``, 1006 when the server sent none.
            reason: the server's words, or ours for what was seen.
        """

    def on_reconnect(self, attempt: int, delay: float) -> None:
        """The next try comes after a wait.

        Args:
            attempt: 1 for the first try after a connection was lost, 2 for the second in a row, and so on.
            delay: the wait, seconds.
        """

    def on_noreconnect(self, error: FirstockError) -> None:
        """The client gave up, because of `error`. It is stopped; ``connect()`` would start it again."""

    def on_error(self, error: BaseException) -> None:
        """Something failed: a try to connect, a lost connection, a bad frame or field, or one of your callbacks.

        Args:
            error: a `FirstockError`, or what your callback raised.
        """

    def on_message(self, text: str) -> None:
        """A text frame came, as the server sent it; called before the callbacks for what is in it."""


CALLBACK_NAMES = tuple(name for name in vars(Callbacks) if name.startswith("on_"))
