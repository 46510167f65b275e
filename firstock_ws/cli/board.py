"""All that the live table shows, at one moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from firstock_ws.cli.events import Event, now_in_india
from firstock_ws.cli.lines import in_words
from firstock_ws.models import OptionGreeks, OrderUpdate, PositionUpdate, Quote

KEPT = 200
"""Orders that are remembered; the oldest go first."""
_HAPPENINGS = ("connect", "close", "reconnect", "noreconnect", "error", "note")


class Board:
    """The newest of everything. Used by the main thread alone."""

    def __init__(self, title: str, wanted: Sequence[str] = ()) -> None:
        """
        Args:
            title: said above the table.
            wanted: instruments, as the user wrote them, in the order to show them.
        """
        self.title = title
        self.clock: Callable[[], datetime] = now_in_india
        """What the ages of quotes are counted to."""
        self.state = "connecting"
        self.reconnects = 0
        self.quotes: dict[str, Quote] = {}
        self.greeks: dict[str, OptionGreeks] = {}
        self.orders: dict[str, OrderUpdate] = {}
        self.positions: dict[tuple[str | None, str | None], PositionUpdate] = {}
        # Of the connection; orders and positions have tables of their own.
        self.happenings: deque[tuple[datetime, str]] = deque(maxlen=50)
        self.last_at: datetime | None = None
        self._wanted = [part.strip().upper() for words in wanted for part in words.split("|")]
        self._connections = 0

    def apply(self, events: Iterable[Event]) -> None:
        """Take in what came."""
        for event in events:
            data = event.data
            if isinstance(data, Quote):
                self.quotes[data.instrument] = data
                self.last_at = event.at
            elif isinstance(data, OptionGreeks):
                self.greeks[data.instrument] = data
            elif isinstance(data, OrderUpdate):
                # The one that moved last goes to the end.
                self.orders.pop(data.order_number, None)
                self.orders[data.order_number] = data
                while len(self.orders) > KEPT:
                    del self.orders[next(iter(self.orders))]
            elif isinstance(data, PositionUpdate):
                self.positions[data.instrument or data.trading_symbol, data.product] = data
            elif event.kind in _HAPPENINGS:
                self.happenings.append((event.at, in_words(event, ())))
                self._follow(event)

    def _follow(self, event: Event) -> None:
        if event.kind == "connect":
            self._connections += 1
            self.reconnects = self._connections - 1
            self.state = "connected"
        elif event.kind in ("close", "reconnect"):
            self.state = "reconnecting"
        elif event.kind == "noreconnect":
            self.state = "gave up"

    def in_order(self) -> list[Quote]:
        """Return the quotes as the user named them, others behind."""
        places = {name: place for place, name in enumerate(self._wanted)}
        last = len(places)
        return sorted(
            self.quotes.values(), key=lambda quote: min(places.get(name, last) for name in _names(quote))
        )

    def name_of(self, instrument: str) -> str:
        """Return what to call an instrument: its trading symbol where that is known."""
        quote = self.quotes.get(instrument)
        return (quote.symbol if quote is not None else None) or instrument

    def waiting(self) -> list[str]:
        """Return the names of which no quote has come yet."""
        known = {name for quote in self.quotes.values() for name in _names(quote)}
        return [name for name in self._wanted if name not in known]


def _names(quote: Quote) -> tuple[str, str]:
    """Return what a user may have called the instrument of `quote`, in capitals."""
    return quote.instrument.upper(), f"{quote.exchange}:{quote.symbol}".upper()
