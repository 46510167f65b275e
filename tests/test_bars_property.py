"""Bars of any sequence of trades, against figures computed otherwise."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from firstock_ws import Quote
from firstock_ws.bars import Bar, BarBuilder
from firstock_ws.feed.book import QuoteBook

OPENING = 1_767_325_500
"""2026-01-02 09:15:00 IST."""
NAMES = ("NSE:1", "NSE:2", "BSE:1")


class Trade(NamedTuple):
    name: str
    moment: int
    price: int
    quantity: int
    delay: int
    depth: bool


def trades() -> st.SearchStrategy[list[Trade]]:
    steps = st.tuples(
        st.sampled_from(NAMES),
        st.one_of(st.integers(0, 3), st.integers(0, 400)),
        st.integers(9_000, 9_050),
        st.integers(1, 1000),
        st.integers(0, 1),
        st.booleans(),
    )

    def timed(rows: list[tuple[str, int, int, int, int, bool]]) -> list[Trade]:
        moment, made = OPENING + 7, []
        for name, pause, *rest in rows:
            moment += pause
            made.append(Trade(name, moment, *rest))
        return made

    return st.lists(steps, min_size=1, max_size=60).map(timed)


def quotes(trades: list[Trade]) -> list[Quote]:
    """What a feed would tell of the trades, with the day's figures, and now and then of the depth alone."""
    book, made = QuoteBook(), []
    volumes, values = dict.fromkeys(NAMES, 5_000), dict.fromkeys(NAMES, 5_000 * 9_000)
    highs, lows = dict.fromkeys(NAMES, 9_020), dict.fromkeys(NAMES, 9_020)
    newest = dict.fromkeys(NAMES, 0)
    for trade in trades:
        name = trade.name
        volumes[name] += trade.quantity
        values[name] += trade.quantity * trade.price
        highs[name], lows[name] = max(highs[name], trade.price), min(lows[name], trade.price)
        # A feed tells a moment later, but never of an instrument's past. A first quote later than its trade's bar
        # makes none: that is another test's.
        newest[name] = feed = max(newest[name], trade.moment + (trade.delay if newest[name] else 0))
        fields: dict[str, Any] = {
            "i_last_traded_price": trade.price,
            "i_last_trade_time": trade.moment,
            "i_volume_traded_today": volumes[name],
            "i_total_tradevalue": values[name],
            "i_high_price": highs[name],
            "i_low_price": lows[name],
            "i_feed_time": feed,
        }
        made.append(book.merge(name, fields, []))
        if trade.depth:
            depth = [{"price": trade.price, "quantity": trade.quantity, "orders": 1}]
            made.append(book.merge(name, {"best_buy": depth, "i_feed_time": feed}, []))
    return [quote for quote in made if quote is not None]


def brute_force(trades: list[Trade], seconds: int) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Group rows, then look at each group by itself."""
    found = {}
    for name in NAMES:
        mine = [trade for trade in trades if trade.name == name]
        for start, group in groupby(
            mine, key=lambda trade: OPENING + (trade.moment - OPENING) // seconds * seconds
        ):
            rows = list(group)
            prices = [row.price for row in rows]
            # What the very first quote sums up was not seen, so that its trade is in no volume either.
            counted = rows[1:] if rows[0] is mine[0] else rows
            volume = sum(row.quantity for row in counted)
            value = sum(row.quantity * row.price for row in counted)
            vwap = value / volume / 100 if volume else None
            found[name, start] = (prices[0], max(prices), min(prices), prices[-1], volume, len(rows), vwap)
    return found


def shown(bar: Bar) -> tuple[Any, ...]:
    prices = (round(price * 100) for price in (bar.open, bar.high, bar.low, bar.close))
    return (*prices, bar.volume, bar.updates, bar.vwap)


@settings(max_examples=150, deadline=None)
@given(trades=trades(), minutes=st.sampled_from([1, 3, 5, 30]), fill=st.booleans())
def test_any_trades_make_the_bars_that_they_must(trades: list[Trade], minutes: int, fill: bool) -> None:
    told: list[Bar] = []
    names = {1: "1min", 3: "3min", 5: "5min", 30: "30min"}
    bars = BarBuilder(names[minutes], told.append, fill=fill)
    for quote in quotes(trades):
        bars.on_quote(quote)
    bars.flush()
    assert bars.stats.late == 0
    traded = {(bar.instrument, int(bar.start.timestamp())): shown(bar) for bar in told if bar.updates}
    assert traded == brute_force(trades, minutes * 60)
    assert len(traded) == sum(bar.updates > 0 for bar in told)
    for name in NAMES:
        mine = [trade for trade in trades if trade.name == name]
        series = [bar for bar in told if bar.instrument == name]
        assert sum(bar.volume or 0 for bar in series) == sum(trade.quantity for trade in mine[1:])
        assert [bar.partial for bar in series] == [number == 0 for number in range(len(series))]
        for earlier, later in pairwise(series):
            assert earlier.end <= later.start
            assert not fill or earlier.end == later.start or later.start.hour >= 15
            assert later.updates or (later.open == later.close == earlier.close and later.volume == 0)
    assert not any(bar.gap for bar in told)
    assert bars.bars == told
