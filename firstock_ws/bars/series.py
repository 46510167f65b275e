"""The bars of one instrument, one after the other, made of what its quotes say. Prices are in paise here."""

from __future__ import annotations

from firstock_ws.bars.bar import Bar
from firstock_ws.bars.grid import Grid, as_time
from firstock_ws.models.market_state import State

_NOTHING = (None, 0)


class _Open:
    """A bar that is being made."""

    __slots__ = (
        *("start", "end", "open", "high", "low", "close", "volume", "value", "updates", "interest"),
        *("partial", "gap"),
    )

    def __init__(self, span: tuple[int, int], price: int, volume: int | None) -> None:
        self.start, self.end = span
        self.open = self.high = self.low = self.close = price
        self.volume = volume
        self.value: int | None = 0
        self.updates = 0
        self.interest: int | None = None
        self.partial = self.gap = False


class Series:
    """Makes the bars of one instrument.

    Threads: as its `BarBuilder` says, which has the lock.
    """

    __slots__ = (
        *("bar", "instrument", "late", "symbol", "closed_until"),
        *("_carried", "_carried_value", "_close", "_day_end", "_fill", "_gap", "_grid", "_high", "_index"),
        *("_interest", "_low", "_owed_gap", "_partial_until", "_price", "_seen", "_traded", "_value"),
        *("_value_lost", "_volume"),
    )

    def __init__(self, instrument: str, grid: Grid, fill: bool) -> None:
        self.instrument = instrument
        self.symbol: str | None = None
        self.bar: _Open | None = None
        self.late = 0
        self.closed_until = 0
        """Intervals that begin before this are over; a trade of theirs is late."""
        self._grid = grid
        self._fill = fill
        self._close: int | None = None
        self._seen = -1
        self._traded: int | None = None
        self._price: int | None = None
        self._volume: int | None = None
        self._value: int | None = None
        self._high: int | None = None
        self._low: int | None = None
        self._interest: int | None = None
        self._index = False
        self._partial_until = self._day_end = 0
        # Of trades that came too late for their bar: the next one gets it, so that no volume is lost.
        self._carried = self._carried_value = 0
        self._value_lost = False
        # The first until the next quote says what was missed, the second until there is a bar to mark.
        self._gap = self._owed_gap = False

    # --- quotes ----------------------------------------------------------------------------------------------

    def take(self, state: State, seen: int, traded: int | None, fresh: bool, closed: list[Bar]) -> None:
        """Take a quote.

        Args:
            seen: as of when it is, epoch seconds.
            traded: when the last trade was, None where not known.
            fresh: whether it begins anew, as after a connection was lost.
            closed: gets the bars that are over by it.
        """
        before = self._seen
        if before < 0:
            self._begin(state, seen, traded, closed)
            return
        if seen < before:
            self._take_older(state, seen, traded)
            return
        self._seen = seen
        price, volume = _whole(state.i_last_traded_price), _whole(state.i_volume_traded_today)
        if traded is None:
            self._index = _is_index(state)
        moment = seen if traded is None else traded
        new_day = traded is not None and traded >= self._day_end
        known = self._volume
        grown = self._growth(volume, moment, new_day)
        value = self._value_growth(_whole(state.i_total_tradevalue), grown, moment, new_day)
        if fresh or self._gap:
            # Where the volume stands as it stood, nothing was missed.
            stood = volume is not None and volume == known and not new_day and not self._index
            self._gap, self._owed_gap = False, self._owed_gap or not stood
        changed = price != self._price or traded != self._traded or grown
        told = price is not None and (changed or (self._index and seen != before))
        bar = self.bar
        if told and price is not None:
            bar = self._place(price, moment, closed)
            if bar is not None:
                bar.updates += 1
                bar.close = price
                if price > bar.high:
                    bar.high = price
                if price < bar.low:
                    bar.low = price
        if grown or value != 0:
            self._count(grown, value)
        self._learn(state, price, volume, traded, moment)
        if bar is not None:
            if before >= bar.start and not new_day and (moment if told else seen) < bar.end:
                self._stretch(bar, state)
            if seen < bar.end:
                bar.interest = self._interest
        self._high, self._low = _whole(state.i_high_price), _whole(state.i_low_price)
        if self._owed_gap and self.bar is not None:
            self.bar.gap, self._owed_gap = True, False

    def _begin(self, state: State, seen: int, traded: int | None, closed: list[Bar]) -> None:
        """Take the first quote: the trades that it sums up were not seen."""
        price, volume = _whole(state.i_last_traded_price), _whole(state.i_volume_traded_today)
        self._index = traded is None and _is_index(state)
        moment = seen if traded is None else traded
        self.closed_until, _ = self._grid.span(seen)
        self._seen = seen
        if traded is not None or volume or self._index:
            self._partial_until = self._grid.span(moment)[1]
            if price is not None and moment >= self.closed_until:
                self._volume = volume
                bar = self._place(price, moment, closed)
                if bar is not None:
                    bar.updates = 1
                    bar.interest = _whole(state.i_open_interest)
        self._learn(state, price, volume, traded, moment)
        self._value = _whole(state.i_total_tradevalue)
        self._high, self._low = _whole(state.i_high_price), _whole(state.i_low_price)

    def _take_older(self, state: State, seen: int, traded: int | None) -> None:
        """Take a quote that was overtaken: what it counts is in what is known, but its price was paid."""
        price, bar = _whole(state.i_last_traded_price), self.bar
        moment = seen if traded is None else traded
        if bar is not None and price is not None and bar.start <= moment < bar.end:
            bar.high, bar.low = max(bar.high, price), min(bar.low, price)
        else:
            self.late += 1

    def _learn(self, state: State, price: int | None, volume: int | None, traded: int | None, moment: int) -> None:
        self._price, self._traded = price, traded
        if volume is not None:
            self._volume = volume
        self._interest = _whole(state.i_open_interest)
        if moment >= self._day_end:
            self._day_end = self._grid.next_day(moment)

    def _place(self, price: int, moment: int, closed: list[Bar]) -> _Open | None:
        """Return the bar of a trade at `moment`, a new one if need be; None if that is over."""
        bar = self.bar
        if bar is not None:
            if bar.start <= moment < bar.end:
                return bar
            if moment < bar.start:
                self.late += 1
                return None
            self.close(closed, final=True)
        elif moment < self.closed_until:
            self.late += 1
            return None
        span = self._grid.span(moment)
        self.fill_until(span[0], closed)
        volume = None if self._index or self._volume is None else self._carried
        self.bar = bar = _Open(span, price, volume)
        bar.value = None if self._value_lost else self._carried_value
        bar.interest = self._interest
        bar.partial = bar.start < self._partial_until
        self._carried = self._carried_value = 0
        self._value_lost = False
        return bar

    # --- volume and value ------------------------------------------------------------------------------------

    def _growth(self, volume: int | None, moment: int, new_day: bool) -> int:
        """Return what was traded since the quote before."""
        known = self._volume
        if volume is None:
            return 0
        if known is None:
            # What came before the first figure is in it: nothing can be said of that.
            self._partial_until = max(self._partial_until, self._grid.span(moment)[1])
            if self.bar is not None and not self._index:
                self.bar.volume, self.bar.partial = 0, True
            self._volume = volume
            return 0
        if new_day:
            return volume
        if volume >= known:
            return volume - known
        # The day's figures begin anew, or the exchange took trades back: no bar has a volume below 0.
        return volume if moment >= self._day_end else 0

    def _value_growth(self, value: int | None, grown: int, moment: int, new_day: bool) -> int | None:
        """Return the value, in paise, of what was traded since the quote before; None where not known."""
        known = self._value
        self._value = value
        if not grown:
            # A value that comes apart from its volume would be divided by another one.
            return 0 if value == known or (value is not None and known is not None and value < known) else None
        if value is None:
            return None
        if new_day or (known is not None and value < known and moment >= self._day_end):
            return value
        return value - known if known is not None and value > known else None

    def _count(self, grown: int, value: int | None) -> None:
        """Add to the open bar what was traded; keep it for the next one if there is none."""
        bar = self.bar
        if bar is not None:
            if bar.volume is not None:
                bar.volume += grown
            bar.value = None if bar.value is None or value is None else bar.value + value
            return
        self._carried += grown
        if value is None:
            self._value_lost = True
        else:
            self._carried_value += value

    def _stretch(self, bar: _Open, state: State) -> None:
        """Take the day's high and low, if renewed since the quote before, which was of this bar too."""
        high, low = _whole(state.i_high_price), _whole(state.i_low_price)
        if high is not None and self._high is not None and high > self._high and high > bar.high:
            bar.high = high
        if low is not None and self._low is not None and low < self._low and low < bar.low:
            bar.low = low

    # --- gaps, and what is over ------------------------------------------------------------------------------

    def mark_gap(self) -> None:
        """From here on something may be missed, until the next quote."""
        self._gap = self._seen >= 0

    def close(self, closed: list[Bar], *, final: bool) -> None:
        """End the bar that is open."""
        bar = self.bar
        if bar is not None:
            closed.append(self.shown(bar, final))
            self.bar, self._close, self.closed_until = None, bar.close, bar.end

    def close_until(self, moment: float, closed: list[Bar]) -> None:
        """End the bar that is open, and fill holes, of intervals that are over at `moment`."""
        if self.bar is not None and self.bar.end <= moment:
            self.close(closed, final=True)
        if self.bar is None:
            self.fill_until(moment, closed)

    def fill_until(self, moment: float, closed: list[Bar]) -> None:
        """Make flat bars for the intervals without a trade that are over at `moment`, if that is wanted."""
        if not self._fill or self._close is None:
            return
        grid, start = self._grid, self.closed_until
        # The day of the last bar, also if that ended at midnight.
        opening, closing = grid.opening(start - 1), grid.closing(start - 1)
        while start < closing:
            span = grid.span(start)
            if span[1] > moment:
                break
            if start >= opening:
                bar = _Open(span, self._close, None if self._index or self._volume is None else 0)
                bar.interest = self._interest
                closed.append(self.shown(bar, True))
            self.closed_until = start = span[1]

    def due(self) -> int | None:
        """Return when there is something to do for `close_until`; None for never."""
        if self.bar is not None:
            return self.bar.end
        if (
            self._fill
            and self._close is not None
            and self.closed_until < self._grid.closing(self.closed_until - 1)
        ):
            return self._grid.span(self.closed_until)[1]
        return None

    def shown(self, bar: _Open, final: bool) -> Bar:
        """Return `bar` as users see it."""
        return Bar(
            instrument=self.instrument,
            symbol=self.symbol,
            start=as_time(bar.start),
            end=as_time(bar.end),
            open=bar.open / 100,
            high=bar.high / 100,
            low=bar.low / 100,
            close=bar.close / 100,
            volume=bar.volume,
            updates=bar.updates,
            open_interest=bar.interest,
            vwap=bar.value / bar.volume / 100 if bar.value and bar.volume else None,
            partial=bar.partial,
            gap=bar.gap or self._gap or self._owed_gap,
            final=final,
        )


def _whole(number: int | float | None) -> int | None:
    return number if number is None or type(number) is int else round(number)


def _is_index(state: State) -> bool:
    """Whether a quote without a trade's time is an index's: a share yet to trade has buyers or sellers."""
    if (
        state.i_volume_traded_today not in _NOTHING
        or state.i_total_buy_quantity not in _NOTHING
        or state.i_total_sell_quantity not in _NOTHING
    ):
        return False
    return all(level.price is None for side in (state.bids, state.asks) for level in side)
