"""The part of the client that only looks: where it stands, and what came."""

from __future__ import annotations

from collections.abc import Mapping

from firstock_ws.dispatch import Dispatcher
from firstock_ws.feed import Feed
from firstock_ws.ledger import Ledger
from firstock_ws.models import Quote
from firstock_ws.reconcile import Reconciler
from firstock_ws.state import ENDED, State, StateHolder
from firstock_ws.stats import Stats
from firstock_ws.subscribing import Subscribing


class Looking(Subscribing):
    """Tells of the client; `FirstockWS` is made of this and sets what it needs.

    Threads: any thread may call anything; nothing here is owned here.
    """

    user_id: str
    _dispatcher: Dispatcher
    _feed: Feed
    _ledger: Ledger
    _reconciler: Reconciler
    _state: StateHolder

    @property
    def state(self) -> State:
        """Where the client stands."""
        return self._state.now

    @property
    def is_connected(self) -> bool:
        """Whether the connection is up, authenticated and subscribed."""
        return self._state.now is State.CONNECTED

    def wait_connected(self, timeout: float | None = None) -> bool:
        """Wait until the client is connected, or ended, or `timeout` seconds are over; return `is_connected`."""
        return (
            self._state.wait_for(lambda state: state is State.CONNECTED or state in ENDED, timeout)
            is State.CONNECTED
        )

    @property
    def quotes(self) -> Mapping[str, Quote]:
        """The newest full quote of every instrument, by ``"EXCHANGE:TOKEN"``: live and read-only.

        What was subscribed by name is found by that too: ``quotes["NSE:RELIANCE-EQ"]``. An instrument is in it
        from its first frame on: use ``quotes.get(...)`` until then. It is ahead of ``on_quote`` while callbacks
        are slow. After a lost connection the last quotes stay till the server's new ones replace them: look at
        `Quote.feed_time`.
        """
        return self._book.view

    @property
    def stats(self) -> Stats:
        """The client's figures at this moment; an object that does not change.

        Raises:
            UsageError: in a forked child.
        """
        self._lifecycle.check_process()
        return Stats(
            connections=self._lifecycle.connections,
            **self._feed.counts()._asdict(),
            **self._ledger.counts()._asdict(),
            **self._reconciler.counts()._asdict(),
            **self._dispatcher.counts()._asdict(),
        )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} user_id={self.user_id!r} state={self._state.now.value} "
            f"subscriptions={len(self.subscriptions)}>"
        )
