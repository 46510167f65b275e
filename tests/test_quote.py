"""Merging and typing of market frames, against the rules of the wire."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime
from typing import Any

import pytest

from firstock_ws import IST, DepthLevel, Quote
from firstock_ws.feed.book import QuoteBook

FULL: dict[str, Any] = {
    "c_exch_seg": "NSE",
    "c_symbol": "2885",
    "i_last_traded_price": 125190.00000000001,
    "i_last_trade_quantity": 12,
    "i_last_trade_time": 1752205677,
    "i_average_trade_price": 125010,
    "i_open_price": 124500,
    "i_high_price": 125500,
    "i_low_price": 124000,
    "i_closing_price": 125000,
    "close_price": 125000,
    "i_net_price_change_from_closing_price": 0,
    "c_net_change_indicator": 43,
    "i_volume_traded_today": 1234567,
    "i_total_tradevalue": 154320875000,
    "i_total_buy_quantity": 1000,
    "i_total_sell_quantity": 0,
    "i_open_interest": 75,
    "i_total_open_interest": 9223372036854775807,
    "i_lower_circuit_limit": 112500,
    "i_upper_circuit_limit": 137500,
    "i_yearly_low_price": 100005,
    "i_yearly_high_price": 160095,
    "best_buy": [{"price": 125185, "quantity": 10, "orders": 2}, {"price": 125180, "quantity": 20, "orders": 1}],
    "best_sell": [{"price": 125195, "quantity": 5, "orders": 1}, {}],
    "i_buy_depth_size": 2,
    "i_sell_depth_size": 2,
    "i_feed_time": 1752205678,
    "c_exch_feed_time": "11-Jul-2025 09:17:58",
    "i_seconds_since_boe": 1752205678123456800,
    "i_usecs": 123456789,
}


class Feeder:
    """One instrument's frames, one after the other."""

    def __init__(self) -> None:
        self.book = QuoteBook()
        self.bad: list[str] = []

    def __call__(self, update: dict[str, Any]) -> Quote:
        quote = self.book.merge("NSE:2885", update, self.bad)
        assert quote is not None
        return quote


@pytest.fixture
def feed() -> Feeder:
    return Feeder()


def test_a_full_frame_in_rupees_and_ist(feed: Feeder) -> None:
    quote = feed(FULL)
    moment = datetime(2025, 7, 11, 9, 17, 58, tzinfo=IST)
    assert quote.to_dict() == {
        "instrument": "NSE:2885",
        "exchange": "NSE",
        "token": "2885",
        "symbol": None,
        "last_price": 1251.90,
        "last_quantity": 12,
        "last_trade_time": datetime(2025, 7, 11, 9, 17, 57, tzinfo=IST),
        "average_price": 1250.10,
        "open": 1245.0,
        "high": 1255.0,
        "low": 1240.0,
        "close": 1250.0,
        "change": pytest.approx(1.90),
        "change_percent": pytest.approx(0.152),
        "volume": 1234567,
        "traded_value": 1543208750.0,
        "total_buy_quantity": 1000,
        "total_sell_quantity": 0,
        "open_interest": 75,
        "total_open_interest": None,
        "lower_circuit": 1125.0,
        "upper_circuit": 1375.0,
        "year_low": 1000.05,
        "year_high": 1600.95,
        "bids": [
            {"price": 1251.85, "quantity": 10, "orders": 2},
            {"price": 1251.80, "quantity": 20, "orders": 1},
        ],
        "asks": [{"price": 1251.95, "quantity": 5, "orders": 1}],
        "best_bid": {"price": 1251.85, "quantity": 10, "orders": 2},
        "best_ask": {"price": 1251.95, "quantity": 5, "orders": 1},
        "feed_time": moment,
        "exchange_time": moment,
    }
    assert quote.raw is FULL
    assert quote.feed_time is not None
    assert quote.feed_time.utcoffset() == IST.utcoffset(None)
    assert feed.bad == []


def test_a_delta_changes_only_what_it_names(feed: Feeder) -> None:
    first = feed(FULL)
    second = feed({"c_symbol": "2885", "i_last_traded_price": 125200, "i_volume_traded_today": 1234600})
    assert second.last_price == 1252.0
    assert second.volume == 1234600
    assert second.open == first.open
    assert second.bids == first.bids
    assert second.changed == {"last_price", "volume", "change", "change_percent"}
    assert first.last_price == 1251.90, "a quote that was handed out never changes"


def test_the_first_quote_has_changed_in_all_it_has(feed: Feeder) -> None:
    quote = feed({"i_last_traded_price": 100, "best_buy": [{"price": 99, "quantity": 1, "orders": 1}]})
    assert quote.changed == {"last_price", "bids", "best_bid"}


def test_close_may_come_under_either_name(feed: Feeder) -> None:
    assert feed({"close_price": 5000}).close == 50.0
    assert feed({"i_closing_price": 5100, "close_price": 5100}).close == 51.0


@pytest.mark.parametrize(
    "nothing",
    [None, 2**63 - 1, 2**63, 9223372036854776000, -(2**63), -9223372036854776000, 9.223372036854775807e18, ""],
)
@pytest.mark.parametrize(
    ("wire", "name"),
    [("i_last_traded_price", "last_price"), ("i_open_interest", "open_interest"), ("i_feed_time", "feed_time")],
)
def test_no_value_leaves_what_was(feed: Feeder, nothing: object, wire: str, name: str) -> None:
    assert getattr(feed({wire: nothing}), name) is None
    before = getattr(feed(FULL), name)
    assert getattr(feed({wire: nothing}), name) == before
    assert feed.bad == []


def test_a_price_of_zero_is_no_price_but_a_quantity_of_zero_is(feed: Feeder) -> None:
    assert feed({"i_open_price": 0, "i_last_trade_time": 0}).open is None
    feed(FULL)
    quote = feed(
        {"i_open_price": 0, "i_volume_traded_today": 0, "i_total_buy_quantity": 0, "i_last_trade_time": 0}
    )
    assert (quote.open, quote.volume, quote.total_buy_quantity) == (1245.0, 0, 0)
    assert quote.last_trade_time is not None


def test_depth_is_merged_by_position_and_field(feed: Feeder) -> None:
    feed(FULL)
    assert feed({"best_buy": [{}, {"quantity": 25}]}).bids == (
        DepthLevel(1251.85, 10, 2),
        DepthLevel(1251.80, 25, 1),
    )
    assert feed({"best_buy": [{"price": 0, "quantity": 7, "orders": 1}]}).bids[0] == DepthLevel(1251.85, 7, 1)
    assert feed({"best_buy": [None, {"price": 0, "quantity": 0, "orders": 0}]}).bids == (
        DepthLevel(1251.85, 7, 1),
    )
    assert feed({"best_buy": [{"price": 0, "quantity": 0}]}).best_bid is None
    assert feed({"best_buy": [{}, {}, {"price": 125100, "quantity": 3}]}).bids == (DepthLevel(1251.0, 3, None),)
    assert feed.bad == []


def test_a_crossed_and_unsorted_book_is_kept_as_sent(feed: Feeder) -> None:
    levels = [{"price": 100, "quantity": 1, "orders": 1}, {"price": 300, "quantity": 1, "orders": 1}]
    quote = feed({"best_buy": levels, "best_sell": [{"price": 50, "quantity": 2, "orders": 1}]})
    assert [level.price for level in quote.bids] == [1.0, 3.0]
    assert quote.best_ask == DepthLevel(0.5, 2, 1)


@pytest.mark.parametrize("bad", ["abc", True, [], {}, float("nan"), float("inf"), 10**30, "12.5.1"])
def test_a_field_that_cannot_be_parsed_becomes_none(feed: Feeder, bad: object) -> None:
    feed(FULL)
    quote = feed({"i_last_traded_price": bad, "i_open_price": 124600})
    assert quote.last_price is None
    assert quote.change is None
    assert quote.open == 1246.0
    assert feed.bad == ["i_last_traded_price"]


@pytest.mark.parametrize(
    "bad",
    ["x", {"0": {}}, ["x"], [{"price": "x"}], [{"quantity": []}], [{}] * 1000],
    ids=lambda bad: str(bad)[:20],
)
def test_a_depth_that_cannot_be_parsed_is_reported(feed: Feeder, bad: object) -> None:
    assert feed({"best_buy": bad}).bids == ()
    assert feed.bad == ["best_buy"]


@pytest.mark.parametrize(
    ("wire", "value", "seconds"),
    [("i_feed_time", 1752205678, 0), ("i_feed_time", 1752205678000, 0), ("i_feed_time", "1752205678", 0)],
)
def test_feed_times_in_any_unit(feed: Feeder, wire: str, value: object, seconds: int) -> None:
    assert feed({wire: value}).feed_time == datetime(2025, 7, 11, 9, 17, 58, tzinfo=IST)


@pytest.mark.parametrize("bad", ["31-Foo-2025 09:17:58", "yesterday", "11-Jul-2025 25:00:00", 3.5])
def test_a_bad_time_is_reported(feed: Feeder, bad: object) -> None:
    assert feed({"c_exch_feed_time": bad}).exchange_time is None
    assert feed.bad == ["c_exch_feed_time"]
    assert feed({"i_feed_time": -5}).feed_time is None


def test_padded_and_numeric_strings_are_numbers(feed: Feeder) -> None:
    quote = feed({"i_last_traded_price": "0125190", "i_volume_traded_today": " 07 ", "i_open_price": "124500.0"})
    assert (quote.last_price, quote.volume, quote.open) == (1251.9, 7, 1245.0)


def test_unknown_fields_cost_nothing(feed: Feeder) -> None:
    assert feed({"i_last_traded_price": 100, "x_new": {"a": 1}}).last_price == 1.0
    assert feed.bad == []


def test_merging_starts_afresh_after_a_reconnect(feed: Feeder) -> None:
    feed(FULL)
    feed.book.start_afresh()
    assert feed.book.view["NSE:2885"].open == 1245.0, "the last quote stays readable"
    assert feed({"i_last_traded_price": 1000}).open is None


def test_unsubscribed_instruments_are_forgotten_and_ignored(feed: Feeder) -> None:
    feed(FULL)
    feed.book.mute(["NSE:2885"])
    assert "NSE:2885" not in feed.book.view
    assert feed.book.merge("NSE:2885", {"i_high_price": 130000}, []) is None
    feed.book.unmute({"NSE:2885": None})
    assert "NSE:2885" not in feed.book.view
    # On its way before the server knew of either: the new snapshot comes behind it.
    late = feed({"i_last_traded_price": 1000})
    assert (late.open, late.high, late.last_price) == (1245.0, 1300.0, 10.0)
    assert {"open", "high", "last_price"} <= late.changed
    feed.book.mute(["NSE:2885"])
    feed.book.start_afresh()
    assert feed({"i_last_traded_price": 1000}).open is None


def test_the_view_is_live_and_read_only(feed: Feeder) -> None:
    view = feed.book.view
    assert len(view) == 0
    assert view.get("NSE:2885") is None
    with pytest.raises(KeyError, match="none has come yet"):
        view["NSE:2885"]
    quote = feed(FULL)
    assert list(view) == ["NSE:2885"]
    assert list(view.values()) == [quote]
    assert repr(view) == "<1 quote: NSE:2885>"
    with pytest.raises(TypeError):
        view["NSE:1"] = quote  # type: ignore[index]
    for instrument, _ in view.items():
        feed.book.mute([instrument])
    assert len(view) == 0


def test_quotes_are_values(feed: Feeder) -> None:
    quote = feed(FULL)
    again = Feeder()(dict(FULL))
    assert quote == again
    assert hash(quote) == hash(again)
    assert quote != feed({"i_last_traded_price": 1})
    assert quote != "NSE:2885"
    assert pickle.loads(pickle.dumps(quote)) == quote
    assert copy.deepcopy(quote) == quote
    assert repr(quote) == (
        "Quote('NSE:2885', last_price=1251.9, change=1.9, bid=1251.85, ask=1251.95, volume=1234567, "
        "feed_time=09:17:58)"
    )


def test_two_ways_of_the_wire_to_say_the_same_make_equal_quotes() -> None:
    empty = {"price": 0, "quantity": 0, "orders": 0}
    ways = [
        {"i_last_traded_price": 100, "i_feed_time": 1_752_205_678, "c_exch_feed_time": "11-Jul-2025 09:17:58"},
        {"i_last_traded_price": 100, "i_feed_time": 1_752_205_678_000, "c_exch_feed_time": "11-JUL-2025 09:17:58"},
        {
            "i_last_traded_price": 100.00000000000001,
            "i_feed_time": 1_752_205_678,
            "c_exch_feed_time": "11-07-2025 09:17:58",
            "best_buy": [empty],
        },
    ]
    quotes = {Feeder()(dict(way)) for way in ways}
    assert len(quotes) == 1


def test_quotes_do_not_change(feed: Feeder) -> None:
    quote = feed(FULL)
    for name in ("last_price", "instrument", "change", "new"):
        with pytest.raises(AttributeError):
            setattr(quote, name, 1)
    with pytest.raises(AttributeError):
        del quote.token
    quote.raw["best_buy"][0]["price"] = 1
    FULL["best_buy"][0]["price"] = 125185
    assert quote.best_bid == DepthLevel(1251.85, 10, 2)
