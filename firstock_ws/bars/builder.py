"""`BarBuilder`: makes bars of the quotes that it is given."""

from __future__ import annotations

import threading
import time as _time
from collections import deque
from collections.abc import Callable
from datetime import datetime, time, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from firstock_ws._secrets import get_logger
from firstock_ws.bars.attachment import Attachment
from firstock_ws.bars.bar import Bar
from firstock_ws.bars.grid import Grid, as_time
from firstock_ws.bars.series import Series
from firstock_ws.errors import UsageError
from firstock_ws.helpers import MARKET_CLOSES, MARKET_OPENS
from firstock_ws.models import Quote, _fields
from firstock_ws.models.market_state import EMPTY_STATE

if TYPE_CHECKING:
    import pandas

    from firstock_ws.client import FirstockWS

logger = get_logger("firstock_ws.bars")

GRACE = 2.0
"""Seconds. Times on the feed are whole seconds, and instruments do not come in step."""
MAX_LEN = 10_000
_NEVER = float("inf")
_JUMP = 1.5
"""Seconds that the exchange's clock may be off what it is expected to be before the timer is told."""
_DAY = 86_400
_FAR = 10 * _DAY
"""Seconds for which no exchange is shut: a quote from further ahead is ignored, unless another confirms it."""
_AHEAD = 60
"""Seconds; a time that is further ahead does not end the bars of other instruments until another confirms it."""
_SECONDS_LIMIT = 10**11


class BarStats(NamedTuple):
    """Figures of a builder at one moment."""

    quotes: int
    """Quotes that it was given."""
    bars: int
    """Bars that were closed."""
    late: int
    """Quotes of which the price is in no bar, since their bar was closed already; what volume they brought is in
    the instrument's next bar."""
    untimed: int
    """Quotes that were ignored: without any time, or with one so far ahead that it must be wrong."""
    exchange_time: datetime | None
    """The newest time that a quote had, or that `BarBuilder.advance` was told, IST."""


class BarBuilder:
    """Makes bars of the quotes that it is given, for every instrument among them, on the exchange's clock.

    A quote belongs to the bar of its last trade (`Quote.last_trade_time`; of an index, `Quote.feed_time`),
    whenever it arrives. A bar is closed by the instrument's next trade of a later interval; or, if there is none,
    when the exchange's clock, which the quotes of all instruments move on, is `grace` seconds past its end. In
    silence nothing moves it on: then `attach` or `advance` closes. The same quotes always make the same bars,
    however fast a replay plays them.

    Threads: any thread may call any method. All state is owned here, the lock is ``_lock``; it is never held while
    `on_bar` runs. That is called on the thread that calls `on_quote`, `advance`, `flush` or `close`, never on two
    at once: a thread that finds another one in it leaves it its bars. Attached to a client, the client's callback
    thread closes bars.
    """

    def __init__(
        self,
        interval: str | timedelta = "1min",
        on_bar: Callable[[Bar], object] | None = None,
        *,
        fill: bool = False,
        grace: float = GRACE,
        maxlen: int | None = MAX_LEN,
        session: tuple[time, time] = (MARKET_OPENS, MARKET_CLOSES),
    ) -> None:
        """
        Args:
            interval: ``"1s"``, ``"5s"``, ``"15s"``, ``"30s"``, ``"1min"``, ``"3min"``, ``"5min"``, ``"15min"``,
                ``"30min"``, ``"1h"``, ``"1day"`` or a timedelta of whole seconds. Intervals are counted from the
                opening of the session: hours begin at 9:15, 10:15 and so on. None goes past midnight; a bar of
                one day is from midnight to midnight.
            on_bar: called with each bar when it is closed. What it raises is raised by the method that closed the
                bar, after all others are delivered; in a client's callback the client reports it.
            fill: whether an instrument gets a flat bar, at its last close and with volume 0, for an interval of
                the session in which it did not trade, from its first bar of the day on.
            grace: seconds that a bar waits for late quotes after the exchange's clock has passed its end.
            maxlen: closed bars that `bars` keeps; None for all.
            session: opening and closing time, IST. Trades outside have bars too; `fill` does not go beyond.

        Raises:
            ValueError: an argument is out of range; the text says what to give.
        """
        self._grid = Grid(interval, session)
        if not 0 <= grace < _NEVER:
            raise ValueError(f"grace must be 0 seconds or more, not {grace!r}")
        if maxlen is not None and maxlen < 0:
            raise ValueError(f"maxlen must be 0 or more, or None for no limit, not {maxlen!r}")
        self.interval = timedelta(seconds=self._grid.seconds)
        """The length of a bar."""
        self.on_bar = on_bar
        """Called with each bar when it is closed; may be replaced at any time."""
        self._fill = fill
        self._grace = grace
        self._lock = threading.Lock()
        self._series: dict[str, Series] = {}
        self._closed: deque[Bar] = deque(maxlen=maxlen)
        self._undelivered: deque[Bar] = deque()
        self._delivering = False
        self._quotes = self._bars = self._untimed = 0
        self._now = -1
        self._doubted: tuple[str, int] | None = None
        self._seen_at = 0.0
        self._due = _NEVER
        self._attachment: Attachment | None = None

    # --- feeding -----------------------------------------------------------------------------------------------

    def on_quote(self, quote: Quote) -> None:
        """Take a quote. Give this to a client or a replay as its callback, or call it.

        A quote that begins a new connection is noticed by itself: see `Bar.gap`.

        Raises:
            Exception: what `on_bar` raised; the bars are right all the same.
        """
        state = quote._state
        seen, traded = state.i_feed_time, state.i_last_trade_time
        if type(seen) is not int or seen >= _SECONDS_LIMIT:
            seen = _seconds(seen)
        if type(traded) is not int or traded >= _SECONDS_LIMIT:
            traded = _seconds(traded)
        if seen is None or (traded is not None and traded > seen):
            seen = traded
        with self._lock:
            self._quotes += 1
            instrument = quote.instrument
            alone = seen is not None and seen - self._now > _AHEAD and self._stands_alone(instrument, seen)
            if seen is None or (alone and seen - self._now > _FAR):
                self._untimed += 1
                return
            series = self._series.get(instrument)
            # One instrument alone has nobody else's bars to spoil, and nobody who could confirm its time.
            alone = alone and len(self._series) > (series is not None)
            if series is None:
                series = self._series[instrument] = Series(instrument, self._grid, self._fill)
            if series.symbol is None:
                series.symbol = getattr(quote, "symbol", None)
            closed: list[Bar] = []
            series.take(state, seen, traded, quote._before == EMPTY_STATE, closed)
            wake = seen > self._now and not alone and self._move_clock(seen)
            if not alone and seen - self._grace >= self._due:
                self._close_until(seen - self._grace, closed)
            bar = series.bar
            due = bar.end if bar is not None else series.due()
            if due is not None and due < self._due:
                self._due, wake = due, True
            self._keep(closed)
            attachment = self._attachment
        if wake and attachment is not None:
            attachment.wake()
        if closed:
            self._deliver()

    def _stands_alone(self, instrument: str, seen: int) -> bool:
        """Whether nothing confirms a time so far ahead: taken for the exchange's, it would end the bars of all."""
        doubted, self._doubted = self._doubted, (instrument, seen)
        if self._now < 0:
            return False
        return doubted is None or doubted == (instrument, seen) or abs(doubted[1] - seen) > _AHEAD

    def on_close(self, code: int = 0, reason: str = "") -> None:
        """Do as `mark_gap` does; made to be a client's ``on_close``."""
        self.mark_gap()

    def mark_gap(self) -> None:
        """Say that quotes may be lost from here on, until each instrument's next one; see `Bar.gap`.

        Not needed for a connection that was lost, which is noticed by itself when it is back; but bars that are
        closed before that know of it only if they are told.
        """
        with self._lock:
            for series in self._series.values():
                series.mark_gap()

    def advance(self, now: datetime) -> None:
        """Close all bars that are over at `now`: nothing earlier is still to come. Needed only in silence.

        Args:
            now: the exchange's time, with a zone.

        Raises:
            ValueError: `now` has no zone.
            Exception: what `on_bar` raised.
        """
        if now.utcoffset() is None:
            raise ValueError("now has no time zone: use datetime(..., tzinfo=firstock_ws.IST)")
        moment = now.timestamp()
        with self._lock:
            if int(moment) > self._now >= 0:
                self._move_clock(int(moment))
            closed: list[Bar] = []
            self._close_until(moment, closed)
            self._keep(closed)
        self._deliver()

    def flush(self) -> list[Bar]:
        """Close all bars that are open, over or not, and return them: for the end of a program or a recording.

        A trade that comes later all the same, for the same interval, is late.

        Raises:
            Exception: what `on_bar` raised.
        """
        closed: list[Bar] = []
        with self._lock:
            self._close_all(closed)
            self._keep(closed)
        self._deliver()
        return closed

    def _close_all(self, closed: list[Bar]) -> None:
        for series in self._series.values():
            if series.bar is not None:
                series.close(closed, final=series.bar.end <= self._now)

    # --- a client ----------------------------------------------------------------------------------------------

    def attach(self, client: FirstockWS, *, timer: bool = True) -> BarBuilder:
        """Take the quotes of `client`, live or in a replay, and close bars in silence too; return the builder.

        The client's callbacks ``on_quote``, ``on_close``, ``on_reconnect`` and ``on_noreconnect`` are exchanged
        for ones that tell the builder first and then call what was there: assign your own before. Several builders
        may be attached to one client.

        A thread wakes when the next bar is due: at its end plus `grace`, by the exchange's clock, which is taken
        to go on since the newest quote. It has the client's callback thread do the rest, after all quotes that
        wait there. It ends with the client; bars that are open then are closed by `close` or `flush`. In a replay
        there is none.

        Args:
            timer: False for no such thread.

        Raises:
            UsageError: the builder is attached already.
        """
        with self._lock:
            if self._attachment is not None:
                raise UsageError("this BarBuilder is attached to a client already: detach() it, or make another")
            self._attachment = attachment = Attachment(self, client, timer)
        attachment.hook(client)
        return self

    def detach(self) -> None:
        """Let go of the client; no effect if there is none."""
        with self._lock:
            attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.unhook()

    def close(self) -> None:
        """Do as `detach` and `flush` do."""
        self.detach()
        self.flush()

    def __enter__(self) -> BarBuilder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def seconds_left(self) -> float | None:
        """Return in how many seconds a bar is due if no quote comes; None if none is open."""
        with self._lock:
            return None if self._due == _NEVER else self._due + self._grace - self._estimate()

    def close_due(self) -> None:
        """Close what is due in silence."""
        closed: list[Bar] = []
        with self._lock:
            self._close_until(self._estimate() - self._grace, closed)
            self._keep(closed)
        self._deliver()

    # --- looking -----------------------------------------------------------------------------------------------

    def current(self, instrument: str) -> Bar | None:
        """Return the open bar of ``"EXCHANGE:TOKEN"`` as it is now; None if there is none."""
        with self._lock:
            series = self._series.get(instrument)
            return None if series is None or series.bar is None else series.shown(series.bar, False)

    @property
    def bars(self) -> list[Bar]:
        """The newest `maxlen` bars that were closed, newest last: a list of its own, which does not grow."""
        with self._lock:
            return list(self._closed)

    @property
    def stats(self) -> BarStats:
        """The figures so far; an object that does not change."""
        with self._lock:
            return BarStats(
                quotes=self._quotes,
                bars=self._bars,
                late=sum(series.late for series in self._series.values()),
                untimed=self._untimed,
                exchange_time=as_time(self._now) if self._now >= 0 else None,
            )

    def to_frame(self, instrument: str | None = None) -> pandas.DataFrame:
        """Return `bars` as a pandas data frame, a row each; the index is when the bar begins.

        Args:
            instrument: only those of this one; None for all.

        Raises:
            FirstockError: pandas is not installed.
        """
        from firstock_ws.bars.frame import bars_frame

        return bars_frame([bar for bar in self.bars if instrument in (None, bar.instrument)])

    def __repr__(self) -> str:
        return f"<BarBuilder interval={self.interval} instruments={len(self._series)} bars={self._bars}>"

    # --- inside ------------------------------------------------------------------------------------------------

    def _estimate(self) -> float:
        """Return the exchange's time as it must be by now."""
        return self._now + _time.monotonic() - self._seen_at

    def _move_clock(self, now: int) -> bool:
        """Set the exchange's clock; return whether that is other than was expected."""
        jumped = abs(now - self._estimate()) > _JUMP
        self._now, self._seen_at = now, _time.monotonic()
        return jumped

    def _close_until(self, moment: float, closed: list[Bar]) -> None:
        batch: list[Bar] = []
        due = _NEVER
        for series in self._series.values():
            series.close_until(moment, batch)
            due = min(due, series.due() or _NEVER)
        self._due = due
        closed += sorted(batch, key=lambda bar: bar.start)

    def _keep(self, closed: list[Bar]) -> None:
        if closed:
            self._bars += len(closed)
            self._closed.extend(closed)
            if self.on_bar is not None:
                self._undelivered.extend(closed)

    def _deliver(self) -> None:
        """Call `on_bar` with all bars that wait, unless somebody is about it."""
        first: Exception | None = None
        while True:
            with self._lock:
                if self._delivering or not self._undelivered:
                    break
                bar = self._undelivered.popleft()
                self._delivering = True
            try:
                if self.on_bar is not None:
                    self.on_bar(bar)
            except Exception as error:
                # Raised below, when all bars are delivered.
                if first is not None:
                    logger.error("on_bar raised again before it returned", exc_info=error)
                first = first or error
            finally:
                with self._lock:
                    self._delivering = False
        if first is not None:
            raise first


def _seconds(moment: object) -> int | None:
    found = _fields.epoch(moment)
    return None if found is None else int(found.timestamp())
