"""`Table`: quotes of a client as a table that keeps itself up to date, in Jupyter and in a terminal."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from firstock_ws import ipython
from firstock_ws.models import IST, Quote
from firstock_ws.state import ENDED, State, StateHolder
from firstock_ws.tables.cells import DEFAULT_FIELDS, check_fields
from firstock_ws.tables.html import quotes_html
from firstock_ws.tables.showing import Bundle, Showing
from firstock_ws.tables.text import quotes_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

MIN_REFRESH = 0.1
_NAMED = 5

_STANDING = {
    State.STOPPED: "closed: these are the last known quotes",
    State.CONNECTING: "connecting",
    State.CONNECTED: "connected",
    State.WAITING: "connection lost, trying again: these are the last known quotes",
    State.FAILED: "gave up: these are the last known quotes",
}


class Table:
    """The newest quotes of a client; `FirstockWS.table` makes it.

    In Jupyter it is shown by standing last in a cell, or by ``display(table)``, and goes on while later cells run.
    In a terminal ``print(table)`` shows it once, ``rich.print(table)`` in colour, and `show` or ``with table:``
    live, which needs rich.

    It does not keep the client alive, and stands still when that ends.

    Threads: any thread may call anything. What shows it is set by the user's thread that asks for it.
    """

    def __init__(
        self,
        quotes: Mapping[str, Quote],
        state: StateHolder,
        instruments: Sequence[str] | None = None,
        fields: Sequence[str] = DEFAULT_FIELDS,
        refresh: float = 0.5,
    ) -> None:
        """
        Args:
            quotes: the client's, live.
            state: where the client stands.
            instruments: the rows, in this order; None for all of `quotes`.
            fields: the columns, as for `check_fields`.
            refresh: seconds between two looks, 0.1 at least.

        Raises:
            ValueError: no such field, or `refresh` is out of range.
        """
        if not (math.isfinite(refresh) and refresh >= MIN_REFRESH):
            raise ValueError(f"refresh is {MIN_REFRESH} seconds or more, not {refresh!r}")
        self._quotes = quotes
        self._state = state
        self._instruments = None if instruments is None else tuple(instruments)
        self._fields = check_fields(fields)
        self._refresh = refresh
        self._showing: Showing | None = None
        self._live: Live | None = None

    # --- in a terminal -------------------------------------------------------------------------------------

    def show(self, seconds: float | None = None) -> None:
        """Show the table live for `seconds`; without a number until the client ends. Ctrl-C ends it too.

        In Jupyter it returns at once, and the table goes on until `stop`.

        Raises:
            FirstockError: rich is not installed.
        """
        if ipython.find_kernel() is not None:
            self._ipython_display_()
            return
        with self, contextlib.suppress(KeyboardInterrupt):
            self._state.wait_for(lambda state: state in ENDED, seconds)

    def __enter__(self) -> Table:
        """Show the table live while the block runs."""
        if ipython.find_kernel() is not None:
            self._ipython_display_()
            return self
        tables_need_rich()
        from rich.live import Live

        self._live = Live(get_renderable=self.__rich__, refresh_per_second=1 / self._refresh)
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the table stand still; what it shows stays. Again and again if you like."""
        showing, self._showing = self._showing, None
        live, self._live = self._live, None
        if showing is not None:
            showing.stop(self._refresh + 1.0)
        if live is not None:
            live.stop()

    def __rich__(self) -> RenderableType:
        tables_need_rich()
        from rich.console import Group
        from rich.text import Text

        from firstock_ws.tables.terminal import quotes_table

        return Group(quotes_table(self._found(), self._fields), Text(f" {self._caption('')}", style="dim"))

    def __str__(self) -> str:
        """Return the table as it is now, in plain letters."""
        return self._bundle("")["text/plain"]

    def __repr__(self) -> str:
        return f"<Table quotes={len(self._found())} state={self._state.now.value}>"

    # --- in Jupyter ----------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        if ipython.find_kernel() is None:
            # A terminal's IPython: it takes the plain text instead.
            raise NotImplementedError
        self.stop()
        key = (id(self._quotes), self._instruments, self._fields)
        self._showing = Showing(self._bundle, self._state, self._refresh, key)
        self._showing.start()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        return self._bundle("")

    def _repr_html_(self) -> str:
        return self._bundle("")["text/html"]

    def _bundle(self, still: str) -> Bundle:
        found, fields, now, caption = self._found(), self._fields, datetime.now(IST), self._caption(still)
        return {
            "text/html": quotes_html(found, fields, now=now, caption=caption),
            "text/plain": quotes_text(found, fields, now=now, caption=caption),
        }

    # --- what is shown -------------------------------------------------------------------------------------

    def _found(self) -> list[Quote]:
        if self._instruments is None:
            return list(self._quotes.values())
        return [quote for name in self._instruments if (quote := self._quotes.get(name)) is not None]

    def _caption(self, still: str) -> str:
        words = [still or _STANDING[self._state.now]]
        missing = [name for name in self._instruments or () if name not in self._quotes]
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            words.append(f"no quote yet: {', '.join(missing[:_NAMED])}{more}")
        elif not self._quotes:
            words.append("no quotes yet")
        return " · ".join(words)


def tables_need_rich() -> None:
    """Raise FirstockError where rich is not installed."""
    import firstock_ws.tables  # noqa: F401 - it says so
