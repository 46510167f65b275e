"""Bars of hand-made quotes, which come out of the code that reads real ones."""

from __future__ import annotations

import re
import sys
import threading
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from firstock_ws import IST, FirstockError, Quote
from firstock_ws.bars import Bar, BarBuilder
from firstock_ws.feed.book import QuoteBook
from tests.support import DEADLINE

DAY = date(2026, 1, 2)
SHARE, OTHER, INDEX = "NSE:2885", "NSE:1594", "NSE:26000"
DEPTH = [{"price": 9990, "quantity": 5, "orders": 1}]


def at(clock: str, day: date = DAY) -> datetime:
    """A moment of the day, IST."""
    return datetime.combine(day, time.fromisoformat(clock), IST)


class Market:
    """Makes quotes as a connection does: each is merged over those before."""

    def __init__(self) -> None:
        self.book = QuoteBook()

    def __call__(
        self,
        clock: str,
        price: float | None = None,
        volume: int | None = None,
        *,
        name: str = SHARE,
        traded: str | None = "",
        day: date = DAY,
        **fields: Any,
    ) -> Quote:
        """Return the quote as of `clock`; its last trade was then, or at `traded`, or nothing is said of it."""
        if name != INDEX:
            fields.setdefault("best_buy", DEPTH)
        if price is not None:
            fields["i_last_traded_price"] = round(price * 100)
            if traded is not None and name != INDEX:
                fields["i_last_trade_time"] = int(at(traded or clock, day).timestamp())
        if volume is not None:
            fields["i_volume_traded_today"] = volume
        fields["i_feed_time"] = int(at(clock, day).timestamp())
        bad: list[str] = []
        quote = self.book.merge(name, fields, bad)
        assert quote is not None
        assert bad == []
        return quote

    def reconnect(self) -> None:
        self.book.start_afresh()


@pytest.fixture
def market() -> Market:
    return Market()


def make(interval: str | timedelta = "1min", **options: Any) -> tuple[BarBuilder, list[Bar]]:
    """A builder, and the bars that it tells of."""
    told: list[Bar] = []
    return BarBuilder(interval, told.append, **options), told


def shown(bar: Bar) -> tuple[Any, ...]:
    return (f"{bar.start:%H:%M:%S}", bar.open, bar.high, bar.low, bar.close, bar.volume)


def flags(bars: list[Bar]) -> list[tuple[bool, bool, bool]]:
    return [(bar.partial, bar.gap, bar.final) for bar in bars]


# --- intervals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "clock", "start", "end"),
    [
        ("1s", "10:00:07", "10:00:07", "10:00:08"),
        ("15s", "10:00:29", "10:00:15", "10:00:30"),
        ("1min", "10:00:59", "10:00:00", "10:01:00"),
        ("3min", "09:20:59", "09:18:00", "09:21:00"),
        ("5min", "09:19:59", "09:15:00", "09:20:00"),
        ("5min", "09:20:00", "09:20:00", "09:25:00"),
        ("15min", "15:29:59", "15:15:00", "15:30:00"),
        ("30min", "09:45:00", "09:45:00", "10:15:00"),
        ("1h", "10:14:59", "09:15:00", "10:15:00"),
        ("1h", "15:29:00", "15:15:00", "16:15:00"),
        ("1h", "09:07:30", "08:15:00", "09:15:00"),
        (timedelta(minutes=7), "09:30:00", "09:29:00", "09:36:00"),
        (timedelta(minutes=45), "00:10:00", "00:00:00", "00:15:00"),
    ],
)
def test_intervals_count_from_the_opening(
    market: Market, interval: str | timedelta, clock: str, start: str, end: str
) -> None:
    bars, _ = make(interval)
    bars.on_quote(market(clock, 100.0, 1))
    bar = bars.current(SHARE)
    assert bar is not None
    assert (bar.start, bar.end) == (at(start), at(end))
    assert bar.start.utcoffset() == timedelta(hours=5, minutes=30)


def test_a_day_is_from_midnight_to_midnight(market: Market) -> None:
    bars, told = make("1day")
    bars.on_quote(market("09:07:00", 100.0, 10))
    bars.on_quote(market("15:29:59", 110.0, 30))
    bars.on_quote(market("09:15:00", 105.0, 7, day=date(2026, 1, 5)))
    assert [shown(bar) for bar in told] == [("00:00:00", 100.0, 110.0, 100.0, 110.0, 20)]
    assert (told[0].start, told[0].end) == (at("00:00:00"), at("00:00:00", date(2026, 1, 3)))
    current = bars.current(SHARE)
    assert current is not None
    assert current.volume == 7, "the day's volume begins anew"


def test_another_session_moves_the_grid(market: Market) -> None:
    bars, _ = make("1h", session=(time(9), time(23, 30)))
    bars.on_quote(market("10:14:00", 100.0, 1))
    bar = bars.current(SHARE)
    assert bar is not None
    assert bar.start == at("10:00:00")


@pytest.mark.parametrize(
    "interval", ["2min", "", "1m", 60, timedelta(0), timedelta(days=2), timedelta(seconds=1.5)]
)
def test_other_intervals_are_refused(interval: Any) -> None:
    with pytest.raises(ValueError, match=r'"1min".*"1day".*timedelta'):
        BarBuilder(interval)


@pytest.mark.parametrize(
    "options",
    [
        {"grace": -1},
        {"grace": float("nan")},
        {"maxlen": -1},
        {"session": (time(15), time(9))},
        {"session": (time(9, tzinfo=IST), time(15))},
    ],
)
def test_other_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        BarBuilder(**options)


# --- prices and volume -----------------------------------------------------------------------------------------


def test_a_minute_of_trades(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:14:59", 99.0, 1000, i_total_tradevalue=9_900_000))
    bars.on_quote(market("09:15:00", 100.0, 1010, i_total_tradevalue=10_000_000, i_open_interest=75))
    bars.on_quote(market("09:15:20", 103.0, 1020, i_total_tradevalue=10_103_000))
    bars.on_quote(market("09:15:40", 98.5, 1030, i_total_tradevalue=10_201_500, i_open_interest=150))
    bars.on_quote(market("09:15:59", 101.0, 1050, i_total_tradevalue=10_403_500))
    assert [bar.partial for bar in told] == [True]
    bars.on_quote(market("09:16:00", 102.0, 1060, i_open_interest=225))
    bar = told[1]
    assert bar == Bar(
        instrument=SHARE,
        symbol=None,
        start=at("09:15:00"),
        end=at("09:16:00"),
        open=100.0,
        high=103.0,
        low=98.5,
        close=101.0,
        volume=50,
        updates=4,
        open_interest=150,
        vwap=100.7,
        partial=False,
        gap=False,
        final=True,
    )
    assert bar.to_dict()["close"] == 101.0
    assert list(bar.to_dict()) == list(Bar.__slots__)
    assert bars.bars == told
    assert bars.stats[:4] == (6, 2, 0, 0)


def test_the_time_of_the_trade_counts_and_not_of_the_quote(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:16:00", 104.0, 30, traded="09:15:59"))
    bars.on_quote(market("09:16:01", 101.0, 40))
    assert [shown(bar) for bar in told] == [("09:15:00", 100.0, 104.0, 100.0, 104.0, 20)]


def test_a_change_of_depth_is_no_trade(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:15:10", 100.0, 10))
    for clock in ("09:15:20", "09:16:05", "09:17:30"):
        bars.on_quote(market(clock, best_buy=[{"price": 9000, "quantity": int(clock[-2:]), "orders": 1}]))
    assert [shown(bar)[0] for bar in told] == ["09:15:00"]
    assert told[0].updates == 1
    assert bars.current(SHARE) is None


def test_volume_that_comes_without_a_price_counts(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:15:20", volume=25))
    bars.on_quote(market("09:16:20", 100.0, 30))
    assert [shown(bar) for bar in told] == [("09:15:00", 100.0, 100.0, 100.0, 100.0, 15)]
    assert bars.flush()[0].volume == 5


def test_a_trade_at_the_same_price_is_a_trade(market: Market) -> None:
    bars, _ = make()
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:16:10", 100.0, 20))
    assert bars.flush()[0].updates == 1


def test_highs_and_lows_between_two_quotes(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:15:10", 100.0, 10, i_high_price=10100, i_low_price=9900))
    bars.on_quote(market("09:15:20", 100.5, 20, i_high_price=10250, i_low_price=9850))
    # Renewed some time since 9:15:20: nobody can say in which of the two bars.
    bars.on_quote(market("09:16:10", 101.0, 30, i_high_price=10300, i_low_price=9800))
    bars.on_quote(market("09:16:20", 101.5, 40, i_high_price=10300, i_low_price=9800))
    bars.on_quote(market("09:16:30", 101.2, 50, i_high_price=10300, i_low_price=9700))
    bars.on_quote(market("09:17:00", 101.0, 60))
    assert [shown(bar)[1:5] for bar in told] == [(100.0, 102.5, 98.5, 100.5), (101.0, 101.5, 97.0, 101.2)]


def test_highs_of_a_bar_that_was_seen_before_its_first_trade(market: Market) -> None:
    bars, _ = make()
    bars.on_quote(market("09:15:10", 100.0, 10, i_high_price=10100, i_low_price=9900))
    bars.on_quote(market("09:16:05"))
    bars.on_quote(market("09:16:10", 100.5, 20, i_high_price=10150))
    assert [bar.high for bar in bars.flush()] == [101.5]


def test_yesterdays_high_is_none_of_todays(market: Market) -> None:
    bars, told = make()
    monday = date(2026, 1, 5)
    bars.on_quote(market("15:29:00", 100.0, 10, i_high_price=10100, i_low_price=9900))
    bars.on_quote(market("09:15:05", 110.0, 20, day=monday, i_high_price=11500, i_low_price=10900))
    bars.on_quote(market("09:15:10", 111.0, 30, day=monday))
    assert [shown(bar)[1:] for bar in bars.flush()] == [(110.0, 111.0, 110.0, 111.0, 30)]
    assert len(told) == 2


# --- beginnings and ends ---------------------------------------------------------------------------------------


def test_the_volume_before_the_first_quote_is_in_no_bar(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("11:30:20", 100.0, 1_000_000))
    bars.on_quote(market("11:30:40", 101.0, 1_000_050))
    bars.on_quote(market("11:31:00", 102.0, 1_000_080))
    bars.flush()
    assert [bar.volume for bar in told] == [50, 30]
    assert flags(told) == [(True, False, True), (False, False, False)]


def test_a_first_quote_without_a_trade_in_its_minute_leaves_the_bar_whole(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("11:30:20", 100.0, 500, traded="11:28:03"))
    assert bars.current(SHARE) is None
    assert bars.stats.late == 0
    bars.on_quote(market("11:30:40", 101.0, 550))
    bars.flush()
    assert [shown(bar) for bar in told] == [("11:30:00", 101.0, 101.0, 101.0, 101.0, 50)]
    assert flags(told) == [(False, False, False)]


def test_a_share_that_has_not_traded_yet_has_no_bar(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:10:00", 100.0, 0, traded=None))
    bars.on_quote(market("09:14:00", i_total_buy_quantity=100))
    assert bars.current(SHARE) is None
    assert told == []
    bars.on_quote(market("09:15:02", 101.0, 40))
    assert [(bar.open, bar.volume, bar.partial) for bar in bars.flush()] == [(101.0, 40, False)]


def test_volume_before_any_price_is_in_the_first_bar(market: Market) -> None:
    bars, _ = make()
    bars.on_quote(market("10:00:01", volume=10, traded=None))
    bars.on_quote(market("10:00:02", volume=20, traded=None))
    bars.on_quote(market("10:00:03", 100.0, 30))
    assert [(bar.volume, bar.partial) for bar in bars.flush()] == [(20, True)]


def test_trades_without_a_time_are_as_of_the_quote(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("15:29:10", 100.0, 1000, traded=None))
    bars.on_quote(market("15:29:20", 101.0, 1010, traded=None))
    bars.on_quote(market("09:15:10", 102.0, 40, traded=None, day=date(2026, 1, 5)))
    bars.flush()
    assert [(shown(bar)[0], bar.close, bar.volume) for bar in told] == [
        ("15:29:00", 101.0, 10),
        ("09:15:00", 102.0, 40),
    ]


def test_a_trade_newer_than_its_quote_moves_the_clock(market: Market) -> None:
    bars, _ = make()
    bars.on_quote(market("10:00:01", 100.0, 10))
    bars.on_quote(market("10:00:01", 101.0, 20, traded="10:00:03"))
    assert bars.stats.exchange_time == at("10:00:03")


def test_open_interest_after_the_end_is_not_the_bars(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("10:00:50", 100.0, 10, i_open_interest=75))
    bars.on_quote(market("10:01:01", i_open_interest=150))
    bars.on_quote(market("10:01:20", 100.0, 20))
    assert [bar.open_interest for bar in told] == [75]


def test_a_bar_ends_at_midnight(market: Market) -> None:
    bars, _ = make(timedelta(minutes=45))
    bars.on_quote(market("23:50:00", 100.0, 10))
    assert [bar.end for bar in bars.flush()] == [at("00:00:00", date(2026, 1, 3))]


def test_bars_that_end_together_come_oldest_first(market: Market) -> None:
    bars, told = make(grace=1000)
    bars.on_quote(market("10:00:10", 100.0, 10))
    bars.on_quote(market("10:00:20", 50.0, 10, name=OTHER))
    bars.on_quote(market("10:01:10", 101.0, 20))
    bars.advance(at("10:05:00"))
    assert [(bar.instrument, shown(bar)[0]) for bar in told] == [
        (SHARE, "10:00:00"),
        (OTHER, "10:00:00"),
        (SHARE, "10:01:00"),
    ]


def test_a_volume_that_comes_later_is_partial(market: Market) -> None:
    bars, _ = make()
    bars.on_quote(market("10:00:01", 100.0, traded="09:59:00"))
    bars.on_quote(market("10:00:05", 101.0))
    bars.on_quote(market("10:00:10", 101.0, 500))
    bars.on_quote(market("10:00:20", 101.0, 520))
    assert [(bar.volume, bar.partial) for bar in bars.flush()] == [(20, True)]


def test_a_new_day_after_yesterdays_figures(market: Market) -> None:
    bars, told = make()
    monday = date(2026, 1, 5)
    bars.on_quote(market("15:29:50", 100.0, 1000, i_total_tradevalue=10_000_000))
    bars.on_quote(market("08:00:00", day=monday))
    assert len(told) == 1, "exchange time went on"
    bars.on_quote(market("08:45:00", volume=0, day=monday, i_total_tradevalue=0))
    bars.on_quote(market("09:15:00", 102.0, 50, day=monday, i_total_tradevalue=510_000))
    bars.on_quote(market("09:15:30", 102.0, 60, day=monday, i_total_tradevalue=612_000))
    assert [(bar.volume, bar.vwap, bar.partial, bar.gap) for bar in bars.flush()] == [(60, 102.0, False, False)]


def test_a_volume_that_goes_down_takes_nothing_away(market: Market) -> None:
    bars, _ = make()
    for clock, volume in (("10:00:00", 1000), ("10:00:10", 1100), ("10:00:20", 1050), ("10:00:30", 1070)):
        bars.on_quote(market(clock, 100.0, volume))
    assert bars.flush()[0].volume == 120


def test_an_index_has_no_volume_and_a_bar_where_it_stands_still(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:15:10", 20_000.0, 0, name=INDEX, best_buy=[], best_sell=[]))
    bars.on_quote(market("09:15:40", 20_010.0, name=INDEX))
    bars.on_quote(market("09:16:40", name=INDEX))
    bars.on_quote(market("09:16:40", name=INDEX))
    bars.flush()
    assert [shown(bar)[1:] for bar in told] == [
        (20_000.0, 20_010.0, 20_000.0, 20_010.0, None),
        (20_010.0, 20_010.0, 20_010.0, 20_010.0, None),
    ]
    assert [(bar.updates, bar.vwap, bar.partial) for bar in told] == [(2, None, True), (1, None, False)]


def test_another_instruments_quote_closes_a_bar_after_the_grace(market: Market) -> None:
    bars, told = make(grace=2)
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:16:01", 50.0, 10, name=OTHER))
    assert told == []
    # It comes in the grace.
    bars.on_quote(market("09:16:01", 101.0, 15, traded="09:15:59"))
    bars.on_quote(market("09:16:02", name=OTHER))
    assert [(bar.instrument, bar.close, bar.volume) for bar in told] == [(SHARE, 101.0, 5)]
    assert flags(told) == [(True, False, True)]


def test_a_late_trade_is_counted_and_its_volume_is_in_the_next_bar(market: Market) -> None:
    bars, told = make(grace=0)
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:16:00", 50.0, 10, name=OTHER))
    bars.on_quote(market("09:16:00", 150.0, 15, traded="09:15:59"))
    assert bars.current(SHARE) is None
    bars.on_quote(market("09:16:10", 101.0, 25))
    bars.on_quote(market("09:16:11", 190.0, 27, traded="09:15:58"))
    assert bars.stats.late == 2
    bars.flush()
    assert [shown(bar) for bar in told if bar.instrument == SHARE] == [
        ("09:15:00", 100.0, 100.0, 100.0, 100.0, 0),
        ("09:16:00", 101.0, 101.0, 101.0, 101.0, 17),
    ]


def test_a_quote_that_was_overtaken(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:15:10", 100.0, 10))
    overtaken = [market("09:15:20", 107.0, 20), market("09:15:50", 101.0, 30)]
    bars.on_quote(overtaken[1])
    bars.on_quote(overtaken[0])
    bars.on_quote(market("09:16:10", 102.0, 40))
    bars.on_quote(overtaken[1])
    assert [shown(bar) for bar in told] == [("09:15:00", 100.0, 107.0, 100.0, 101.0, 20)]
    assert bars.stats.late == 1
    assert bars.flush()[0].volume == 10


def test_a_quote_without_a_time_is_counted(market: Market) -> None:
    bars, _ = make()
    quote = market.book.merge(SHARE, {"i_last_traded_price": 100}, [])
    assert quote is not None
    bars.on_quote(quote)
    assert bars.stats.untimed == 1
    assert bars.current(SHARE) is None


def test_a_time_that_is_far_ahead_is_not_believed_alone() -> None:
    bars, market = BarBuilder("1min"), Market()
    bars.on_quote(market("10:00:05", 100.0, 10))
    wrong = market("10:00:10", name=OTHER, price=50.0, volume=5, traded="10:00:10", day=date(2190, 1, 1))
    bars.on_quote(wrong)
    bars.on_quote(wrong)
    assert bars.stats.untimed == 2
    bars.on_quote(market("10:00:20", 101.0, 30))
    assert (bars.stats.late, bars.bars) == (0, [])
    # Two that agree are another day, as of another recording.
    later = DAY + timedelta(days=30)
    bars.on_quote(market("10:00:05", 103.0, 40, day=later))
    bars.on_quote(market("10:00:06", 104.0, 41, day=later))
    assert [bar.close for bar in bars.bars] == [101.0]


def test_one_instruments_wrong_clock_does_not_end_the_bars_of_the_others() -> None:
    bars, market = BarBuilder("1min", grace=0), Market()
    bars.on_quote(market("10:00:05", 100.0, 10))
    bars.on_quote(market("11:00:05", 7.0, 1, name=OTHER))
    bars.on_quote(market("10:00:20", 101.0, 30))
    bars.on_quote(market("10:00:40", 99.0, 50))
    assert (bars.stats.late, bars.stats.untimed, bars.bars) == (0, 0, [])
    bars.on_quote(market("10:01:01", 102.0, 60))
    assert [(bar.high, bar.low, bar.close) for bar in bars.bars] == [(101.0, 99.0, 99.0)]
    # Two that agree: it is later, and that was a silence.
    bars.on_quote(market("11:30:00", 7.0, 2, name=OTHER))
    bars.on_quote(market("11:30:01", 7.0, 3, name=OTHER))
    assert [bar.close for bar in bars.bars if bar.instrument != OTHER] == [99.0, 102.0]


def test_advance_closes_in_silence(market: Market) -> None:
    bars, told = make()
    bars.advance(at("09:00:00"))
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.advance(at("09:15:59"))
    assert told == []
    bars.advance(at("09:16:00"))
    assert [bar.final for bar in told] == [True]
    assert bars.stats.exchange_time == at("09:16:00")
    with pytest.raises(ValueError, match="time zone"):
        bars.advance(datetime(2026, 1, 2))


def test_flush_says_what_was_not_over(market: Market) -> None:
    bars, told = make(grace=5)
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:16:01", 50.0, 10, name=OTHER))
    assert [(bar.instrument, bar.final) for bar in bars.flush()] == [(SHARE, True), (OTHER, False)]
    assert len(told) == 2
    assert bars.flush() == []
    bars.on_quote(market("09:16:02", 51.0, 12, name=OTHER))
    assert bars.stats.late == 1


def test_yesterdays_high_may_still_stand_at_the_first_trade(market: Market) -> None:
    bars, _ = make("1day")
    monday = date(2026, 1, 5)
    bars.on_quote(market("15:29:00", 100.0, 10, i_high_price=10100))
    bars.on_quote(market("08:00:00", day=monday))
    bars.on_quote(market("09:15:05", 110.0, 20, day=monday, i_high_price=11500))
    assert [bar.high for bar in bars.flush()] == [110.0]


# --- gaps ------------------------------------------------------------------------------------------------------


def test_what_was_traded_in_a_gap_is_in_the_bar_after_it(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("10:00:10", 100.0, 10))
    bars.on_close(1006, "lost")
    market.reconnect()
    bars.on_quote(market("10:05:10", 105.0, 500))
    bars.on_quote(market("10:06:10", 106.0, 510))
    bars.flush()
    assert [(shown(bar)[0], bar.volume, bar.gap) for bar in told] == [
        ("10:00:00", 0, True),
        ("10:05:00", 490, True),
        ("10:06:00", 10, False),
    ]


def test_a_new_connection_is_noticed_without_being_told(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("10:00:10", 100.0, 10))
    market.reconnect()
    bars.on_quote(market("10:00:50", 101.0, 40))
    bars.on_quote(market("10:01:10", 101.0, 50))
    assert [(bar.volume, bar.gap) for bar in told] == [(30, True)]
    assert flags(bars.flush()) == [(False, False, False)]


def test_nothing_is_missing_where_the_volume_stands_where_it_stood(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("10:00:10", 100.0, 10))
    bars.mark_gap()
    current = bars.current(SHARE)
    assert current is not None
    assert current.gap
    market.reconnect()
    bars.on_quote(market("10:00:50", 100.0, 10, traded="10:00:10"))
    bars.on_quote(market("10:01:10", 101.0, 50))
    bars.flush()
    assert [bar.gap for bar in told] == [False, False]


def test_an_index_may_always_have_missed_something(market: Market) -> None:
    bars, _ = make()
    bars.on_quote(market("10:00:10", 20_000.0, 0, name=INDEX))
    market.reconnect()
    bars.on_quote(market("10:00:50", 20_000.0, 0, name=INDEX))
    assert flags(bars.flush()) == [(True, True, False)]


def test_a_bar_closed_while_nothing_comes_is_marked(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("10:00:10", 100.0, 10))
    bars.mark_gap()
    bars.advance(at("10:01:00"))
    assert flags(told) == [(True, True, True)]


def test_a_late_first_quote_after_a_gap_marks_the_next_bar(market: Market) -> None:
    bars, told = make(grace=0)
    bars.on_quote(market("10:00:10", 100.0, 10))
    bars.advance(at("10:01:00"))
    market.reconnect()
    bars.on_quote(market("10:01:05", 100.0, 90, traded="10:00:50"))
    bars.on_quote(market("10:01:10", 100.0, 90, traded="10:00:50"))
    bars.on_quote(market("10:01:20", 101.0, 95))
    bars.flush()
    assert [(bar.volume, bar.gap) for bar in told] == [(0, False), (85, True)]


# --- holes -----------------------------------------------------------------------------------------------------


def test_holes_are_filled_if_wanted(market: Market) -> None:
    bars, told = make(fill=True, grace=0)
    bars.on_quote(market("10:00:10", 100.0, 10, i_open_interest=75))
    bars.on_quote(market("10:00:50", 101.0, 20))
    bars.on_quote(market("10:03:10", 105.0, 30))
    bars.on_quote(market("10:05:00", 1.0, 1, name=OTHER))
    bars.on_quote(market("10:05:01", 1.0, 1, name=OTHER))
    assert [shown(bar) for bar in told] == [
        ("10:00:00", 100.0, 101.0, 100.0, 101.0, 10),
        ("10:01:00", 101.0, 101.0, 101.0, 101.0, 0),
        ("10:02:00", 101.0, 101.0, 101.0, 101.0, 0),
        ("10:03:00", 105.0, 105.0, 105.0, 105.0, 10),
        ("10:04:00", 105.0, 105.0, 105.0, 105.0, 0),
    ]
    assert [bar.updates for bar in told] == [2, 0, 0, 1, 0]
    assert told[1].open_interest == 75
    assert all(bar.final and not bar.gap for bar in told)


def test_no_hole_is_filled_beyond_the_session(market: Market) -> None:
    bars, told = make("5min", fill=True)
    bars.on_quote(market("09:07:00", 100.0, 10))
    bars.on_quote(market("09:15:00", 100.0, 20))
    bars.on_quote(market("15:18:00", 100.0, 30))
    del told[:]
    bars.advance(at("23:59:59"))
    assert [shown(bar)[0] for bar in told] == ["15:15:00", "15:20:00", "15:25:00"]
    bars.on_quote(market("09:16:00", 100.0, 5, day=date(2026, 1, 5)))
    bars.flush()
    assert [shown(bar)[0] for bar in told[3:]] == ["09:15:00"]


def test_no_hole_is_filled_before_the_session(market: Market) -> None:
    bars, told = make(fill=True)
    bars.on_quote(market("09:07:00", 100.0, 10))
    bars.on_quote(market("09:17:00", 100.0, 20))
    assert [shown(bar)[0] for bar in told] == ["09:07:00", "09:15:00", "09:16:00"]


def test_no_day_is_filled(market: Market) -> None:
    bars, told = make("1day", fill=True)
    bars.on_quote(market("15:00:00", 100.0, 10))
    bars.on_quote(market("10:00:00", 100.0, 20, day=date(2026, 1, 8)))
    assert len(told) == 1


def test_holes_in_a_gap_are_marked(market: Market) -> None:
    bars, told = make(fill=True)
    bars.on_quote(market("10:00:10", 100.0, 10))
    market.reconnect()
    bars.on_quote(market("10:02:10", 105.0, 500))
    assert [(bar.volume, bar.gap) for bar in told] == [(0, True), (0, True)]


def test_filled_bars_and_then_late_trades(market: Market) -> None:
    bars, told = make(fill=True, grace=0)
    bars.on_quote(market("10:00:10", 100.0, 10))
    bars.advance(at("10:02:00"))
    bars.on_quote(market("10:02:05", 110.0, 40, traded="10:01:30"))
    bars.on_quote(market("10:02:10", 111.0, 50))
    bars.flush()
    assert [(bar.close, bar.volume) for bar in told] == [(100.0, 0), (100.0, 0), (111.0, 40)]


# --- telling ---------------------------------------------------------------------------------------------------


def test_what_on_bar_raises_comes_after_all_bars_were_told(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def complain(bar: Bar) -> None:
        told.append(bar.instrument)
        raise RuntimeError(bar.instrument)

    bars = BarBuilder("1min", complain, grace=0)
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:15:10", 50.0, 10, name=OTHER))
    with pytest.raises(RuntimeError, match=SHARE):
        bars.on_quote(market("09:16:00", 101.0, 20))
    assert told == [SHARE, OTHER]
    assert "raised again" in caplog.text
    current = bars.current(SHARE)
    assert current is not None
    assert (current.close, current.volume) == (101.0, 10)
    assert len(bars.bars) == 2


def test_on_bar_may_use_the_builder(market: Market) -> None:
    seen: list[Any] = []
    bars = BarBuilder("1min", lambda bar: seen.append((bar.close, bars.bars[-1].close, bars.flush())))
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:16:10", 101.0, 10))
    assert [row[:2] for row in seen] == [(100.0, 100.0), (101.0, 101.0)]


def test_on_bar_is_never_called_by_two_threads_at_once(market: Market) -> None:
    inside, leave = threading.Event(), threading.Event()
    calls: list[tuple[str, str]] = []

    def slow(bar: Bar) -> None:
        calls.append((bar.instrument, threading.current_thread().name))
        inside.set()
        assert leave.wait(DEADLINE)

    bars = BarBuilder("1min", slow, grace=0)
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:15:10", 50.0, 10, name=OTHER))
    first = threading.Thread(target=bars.advance, args=(at("09:16:00"),), name="first")
    first.start()
    assert inside.wait(DEADLINE)
    bars.on_quote(market("09:16:10", 100.0, 30))
    bars.advance(at("09:17:00"))
    assert calls == [(SHARE, "first")], "this thread left its bar to the other one"
    leave.set()
    first.join(DEADLINE)
    assert calls == [(SHARE, "first"), (OTHER, "first"), (SHARE, "first")]


def test_only_the_newest_bars_are_kept(market: Market) -> None:
    bars, told = make(maxlen=2)
    for minute in range(15, 20):
        bars.on_quote(market(f"09:{minute}:10", 100.0, minute))
    assert len(told) == 4
    assert bars.bars == told[-2:]


def test_a_data_frame(market: Market) -> None:
    bars, told = make()
    bars.on_quote(market("09:15:10", 100.0, 10))
    bars.on_quote(market("09:15:10", 20_000.0, name=INDEX))
    bars.flush()
    frame = bars.to_frame()
    assert list(frame.index) == [told[0].start, told[1].start]
    assert str(frame.index.dtype) == "datetime64[ns, Asia/Kolkata]"
    assert frame["close"].tolist() == [100.0, 20_000.0]
    assert frame["volume"].isna().tolist() == [False, True]
    assert bars.to_frame(INDEX)["instrument"].tolist() == [INDEX]
    assert BarBuilder().to_frame().empty


def test_a_data_frame_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.delitem(sys.modules, "firstock_ws.bars.frame", raising=False)
    with pytest.raises(FirstockError, match=re.escape('pip install "firstock-ws[pandas]"')):
        BarBuilder().to_frame()
