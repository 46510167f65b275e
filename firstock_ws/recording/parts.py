"""What a client that plays a recording has in the place of the parts that belong to a connection."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from firstock_ws.dispatch import Dispatcher
from firstock_ws.errors import FirstockError, UsageError
from firstock_ws.feed.book import Frozen, QuoteBook
from firstock_ws.feed.market import Entry, MarketUpdate
from firstock_ws.flag import Flag
from firstock_ws.ledger import Ledger
from firstock_ws.lifecycle import Lifecycle
from firstock_ws.models import OptionGreeks, OrderUpdate, PositionUpdate, Quote
from firstock_ws.models.order import read_book_order
from firstock_ws.models.position import read_book_position
from firstock_ws.subscriptions import Subscriptions
from firstock_ws.supervisor import Supervisor
from firstock_ws.taps import Decision


class InlineDispatcher(Dispatcher):
    """Calls the user from the thread that plays, when it is told to; nothing is conflated or dropped.

    Threads: the playing thread only, but for `counts`.
    """

    def __init__(
        self,
        call: Callable[[str, tuple[object, ...]], None],
        wants_greeks: Callable[[str], bool],
        listens: Callable[[str], bool],
    ) -> None:
        """
        Args:
            wants_greeks: whether option greeks of an instrument are to be delivered.
            call, listens: as of `Dispatcher`.
        """
        super().__init__(call, sys.maxsize, listens=listens)
        self._wants_greeks = wants_greeks

    def put_updates(self, updates: Sequence[Quote | OptionGreeks], *, more_follow: bool = False) -> None:
        wanted = [update for update in updates if type(update) is Quote or self._wants_greeks(update.instrument)]
        if wanted:
            super().put_updates(wanted, more_follow=more_follow)

    def drain(self) -> None:
        """Deliver all that waits.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; what a callback raises else is told to the user, as live.
        """
        pending = self._pending
        while pending:
            with self._lock:
                pending.fill(whole=False)
            name, args = pending.taken(pending.batch.popleft())
            failure: BaseException | None = None
            try:
                self._call(name, args)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - also sys.exit(), as live
                failure = error
            if failure is not None:
                self._report(name, failure)


class SelectiveBook(QuoteBook):
    """Merges everything, and tells only of what the client has subscribed to, if it has to anything.

    Threads: as of `QuoteBook`.
    """

    def __init__(self, subscriptions: Subscriptions) -> None:
        super().__init__()
        self._subscriptions = subscriptions
        self._selective = False

    @property
    def selective(self) -> bool:
        """Whether the client has subscribed to something since the replay began; it has to, once it has."""
        if not self._selective and self._subscriptions.any_wanted:
            self._selective = True
            self._mute_unwanted()
        return self._selective

    def take(self, instrument: str, update: MarketUpdate, raw: dict[str, Any] | bytes) -> Quote | None:
        unwanted = self._selective and not self._subscriptions.wants_quotes(instrument)
        if unwanted and instrument not in self._muted:
            self.mute([instrument])
        return super().take(instrument, update, raw)

    def take_plain(self, entries: Iterator[Entry], quotes: list[Any]) -> Entry | None:
        for entry in entries:
            if type(entry[1]) is tuple:
                return entry
            quote = self.take(*entry)
            if quote is not None:
                quotes.append(quote)
        return None

    def thaw(self, frozen: Frozen) -> None:
        super().thaw(frozen)
        if self.selective:
            self._mute_unwanted()

    def unmute_recorded(self, instruments: Sequence[str]) -> None:
        """Take frames of `instruments` again, since the recorded session did."""
        wants = self._subscriptions.wants_quotes
        self.unmute(dict.fromkeys(name for name in instruments if not self.selective or wants(name)))

    def _mute_unwanted(self) -> None:
        self.mute([name for name in self.view if not self._subscriptions.wants_quotes(name)])


class RecordedLedger(Ledger):
    """Decides as it was decided when the recording was made.

    Threads: the playing thread only, but for `counts`.
    """

    def __init__(self, put: Callable[[str, object], None]) -> None:
        super().__init__(put, follow=False)
        self.decisions: deque[Decision] = deque()
        """What became of the order and position updates in the frame that comes next."""

    def _next(self) -> Decision:
        decision = self.decisions.popleft() if self.decisions else True
        if decision is False:
            with self._lock:
                self._stale_updates += 1
        return decision

    def stream_order(self, update: OrderUpdate) -> OrderUpdate | None:
        decision = self._next()
        if decision is False:
            return None
        if decision is not True:
            update = replace(update, filled_quantity=decision)
        self._put("on_order_update", update)
        return update

    def stream_position(self, update: PositionUpdate) -> bool:
        good = self._next() is not False
        if good:
            self._put("on_position_update", update)
        return good

    def play(self, values: dict[str, Any]) -> None:
        """Deliver an entry of a book that was delivered live."""
        order: OrderUpdate | None = None
        if values["book"] == "order":
            order, _ = read_book_order(values["entry"])
            if order is None:
                return
            counts = {name: values[name] for name in ("filled_quantity", "fill_quantity")}
            self._deliver_from_book("on_order_update", replace(order, **counts))
        else:
            position, _ = read_book_position(values["entry"])
            self._deliver_from_book("on_position_update", position)


class ReplayLifecycle(Lifecycle):
    """Stands where the threads of a client would be: there are none.

    Threads: any thread may call anything. The end is the event ``_stop``.
    """

    live = False

    def __init__(self, stop: Flag) -> None:
        self._stop = stop
        self._pid = os.getpid()
        self._count = 0
        self.playing = True
        """Whether the replay is not over yet."""

    @property
    def supervisor(self) -> Supervisor | None:
        return None

    @property
    def last_error(self) -> FirstockError | None:
        return None

    @property
    def connections(self) -> int:
        return self._count

    def connected(self) -> None:
        """Count a connection of the recording."""
        self._count += 1

    def wake(self) -> None:
        """Nothing is sent."""

    def start(self, call: str) -> None:
        raise UsageError(f"{call}: this client plays a recording, or has played one: make a new client to connect")

    def close(self) -> None:
        """End the replay after what is being delivered."""
        self._stop.set()

    @property
    def is_running(self) -> bool:
        return False

    def close_now(self, limit: float, *, wait_for_io: bool = True, wait_for_callbacks: bool = True) -> None:
        self._stop.set()
