"""Prices on the tick, and the hours of trading."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstock_ws import IST
from firstock_ws.helpers import is_market_open, market_hours, round_to_tick


@pytest.mark.parametrize(
    ("price", "tick", "rounded"),
    [
        (2424.07, 0.05, 2424.05),
        (2424.075, 0.05, 2424.1),
        (2424.08, 0.05, 2424.1),
        (1.005, 0.01, 1.01),
        (0.1 + 0.2, 0.05, 0.3),
        (-0.025, 0.05, -0.05),
        (72_612.4, 0.25, 72_612.5),
        (100, 1, 100.0),
        (83.2137, 0.0025, 83.2125),
    ],
)
def test_round_to_tick(price: float, tick: float, rounded: float) -> None:
    assert round_to_tick(price, tick) == rounded
    assert repr(round_to_tick(price, tick)) == repr(float(rounded))


@given(st.decimals(0, 100_000, places=4), st.sampled_from(["0.0025", "0.01", "0.05", "0.1", "1", "5"]))
def test_the_nearest_tick_is_nearest(price: Decimal, tick: str) -> None:
    rounded = Decimal(str(round_to_tick(float(price), float(tick))))
    assert rounded % Decimal(tick) == 0
    assert abs(rounded - price) <= Decimal(tick) / 2


@pytest.mark.parametrize(("price", "tick"), [(1.0, 0.0), (1.0, -0.05), (float("nan"), 0.05), (1.0, float("inf"))])
def test_no_price_is_refused(price: float, tick: float) -> None:
    with pytest.raises(ValueError, match="tick size"):
        round_to_tick(price, tick)


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2026-01-02T09:14:59.999+05:30", False),
        ("2026-01-02T09:15:00+05:30", True),
        ("2026-01-02T15:29:59.999+05:30", True),
        ("2026-01-02T15:30:00+05:30", False),
        ("2026-01-02T03:45:00+00:00", True),
        ("2026-01-04T21:00:00-07:00", True),
        ("2026-01-03T12:00:00+05:30", False),
        ("2026-01-04T12:00:00+05:30", False),
    ],
)
def test_market_hours(moment: str, opened: bool) -> None:
    assert is_market_open(datetime.fromisoformat(moment)) is opened


def test_the_hours_of_a_day() -> None:
    hours = market_hours(date(2026, 1, 2))
    assert hours == (datetime(2026, 1, 2, 9, 15, tzinfo=IST), datetime(2026, 1, 2, 15, 30, tzinfo=IST))
    assert market_hours(date(2026, 1, 3)) is None


def test_now_is_the_computers_clock() -> None:
    before = is_market_open(datetime.now(timezone.utc))
    found = is_market_open()
    assert found in (before, is_market_open(datetime.now(timezone(timedelta(hours=1)))))
    with pytest.raises(ValueError, match="time zone"):
        is_market_open(datetime(2026, 1, 2, 10))
