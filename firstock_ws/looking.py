"""The part of the client that only looks: where it stands, and what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from firstock_ws.dispatch import Dispatcher
from firstock_ws.feed.feed import Feed
from firstock_ws.instruments import Tokens
from firstock_ws.ledger import Ledger
from firstock_ws.models import Quote
from firstock_ws.reconcile import Reconciler
from firstock_ws.state import ENDED, State, StateHolder
from firstock_ws.stats import Stats
from firstock_ws.subscribing import Subscribing
from firstock_ws.tables.cells import DEFAULT_FIELDS

if TYPE_CHECKING:
    import pandas

    from firstock_ws.tables.live import Table


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

    def table(
        self,
        instruments: Tokens | None = None,
        fields: Sequence[str] = DEFAULT_FIELDS,
        refresh: float = 0.5,
    ) -> Table:
        """Return the newest quotes as a table that keeps itself up to date.

        In Jupyter let it stand last in a cell: the cell ends at once, and the table goes on while later cells run,
        until the client ends, the cell is run again, or `Table.stop`. In a terminal ``print`` it, or see
        `Table.show`. A quote that is not there yet appears when it comes; nothing is subscribed by this.

        Args:
            instruments: the rows, in this order, as for `subscribe`; None for all that have a quote.
            fields: the columns: names of a `Quote`'s values, or ``"age"``, the time since its `Quote.feed_time`.
            refresh: seconds between two looks at the quotes, 0.1 at least.

        Raises:
            ValueError: something is no instrument or no field, or `refresh` is out of range.
        """
        from firstock_ws.tables.live import Table

        rows = None if instruments is None else list(self._checked(instruments))
        return Table(self._book.view, self._state, rows, fields, refresh)

    def to_frame(self, instruments: Tokens | None = None, fields: Sequence[str] | None = None) -> pandas.DataFrame:
        """Return the newest quotes as a pandas DataFrame: a row an instrument, which is the index.

        Prices are floats in rupees, quantities ``Int64``, times ``datetime64`` in Asia/Kolkata. The best level of
        the depth is in ``bid``, ``bid_quantity``, ``ask`` and ``ask_quantity``. The frame does not change.

        Args:
            instruments: the rows, in this order, as for `subscribe`; one that has no quote yet is a row of missing
                values. None for all that have a quote.
            fields: the columns; None for all.

        Raises:
            FirstockError: pandas is not installed.
            ValueError: something is no instrument or no column.
        """
        from firstock_ws.dataframe import quotes_frame

        rows = None if instruments is None else list(self._checked(instruments))
        quotes = self._book.view
        found = quotes.values() if rows is None else [quotes[name] for name in rows if name in quotes]
        return quotes_frame(found, fields, instruments=rows)

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
