"""What the book of quotes keeps of frames that leave nothing out, and what it makes of that again."""

from __future__ import annotations

import json
import pickle
import sys
import threading
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest

from firstock_ws.dispatch import Dispatcher, Update
from firstock_ws.feed.book import QuoteBook
from firstock_ws.feed.feed import Feed
from firstock_ws.ledger import Ledger
from firstock_ws.models import Quote
from firstock_ws.recording.parts import SelectiveBook
from firstock_ws.subscriptions import Subscriptions

# Skips all where msgspec is not installed, as they do.
from tests.test_typed import USUAL, typed

NAME = "NSE:2885"
DELTA = {"c_exch_seg": "NSE", "c_symbol": "2885", "i_last_traded_price": 125200}
WITHOUT_DEPTH = {**USUAL, "best_buy": [], "best_sell": [{"price": 0, "quantity": 0, "orders": 0}] * 5}


class Told(Dispatcher):
    """Has the quotes that a feed told of."""

    def __init__(self) -> None:
        super().__init__(lambda name, args: None, max_pending=10)
        self.quotes: list[Any] = []

    def put_updates(self, updates: Sequence[Update], *, more_follow: bool = False) -> None:
        self.quotes += updates


class Fed:
    """A book, and what feeds it."""

    def __init__(self, book: QuoteBook | None = None, *, fast: bool = True) -> None:
        self.book = book or QuoteBook()
        self.told = Told()
        self.feed = Feed(
            self.book, self.told, Ledger(self.told.put, follow=True), wants_raw=lambda: False, fast=fast
        )

    def take(self, *frames: dict[str, Any]) -> Quote:
        """Return the newest quote after `frames`, as it was delivered."""
        list(self.feed.handle([json.dumps({**frame, "c_symbol": "2885"}).encode() for frame in frames]))
        newest = self.told.quotes[-1]
        assert isinstance(newest, Quote)
        return newest


def all_of(quote: Quote) -> tuple[Any, ...]:
    return quote.to_dict(), quote.changed, quote.raw


@pytest.fixture(params=["live", "replay"])
def fed(request: pytest.FixtureRequest) -> Fed:
    """As it is live, and as it is in a replay, which takes frames one by one."""
    return Fed(QuoteBook() if request.param == "live" else SelectiveBook(Subscriptions()))


def full(**values: Any) -> dict[str, Any]:
    return {**USUAL, **values}


def test_what_is_kept_is_hardly_more_than_the_frame_and_the_one_before(fed: Fed) -> None:
    names = [f"{number:05}" for number in range(2_000)]
    tracemalloc.start()
    try:
        for turn in range(3):
            for name in names:
                frame = json.dumps(full(c_symbol=name, i_volume_traded_today=1_000_000 + turn)).encode()
                list(fed.feed.handle([frame]))
            fed.told.quotes.clear()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / len(names) < 2 * len(frame) + 800


def test_it_is_looked_up_as_it_was_delivered(fed: Fed) -> None:
    fed.take(full())
    delivered = fed.take(full(i_last_traded_price=125_300, i_volume_traded_today=7))
    found = fed.book.view[NAME]
    assert found == delivered
    assert all_of(found) == all_of(delivered)
    assert {"last_price", "volume"} <= found.changed
    assert found.best_bid == delivered.best_bid is not None
    assert fed.book.view[NAME] is found, "made once"
    assert list(fed.book.view.values()) == [found]
    assert pickle.loads(pickle.dumps(delivered)).changed == delivered.changed


def test_what_was_looked_up_does_not_change(fed: Fed) -> None:
    fed.take(full())
    found = fed.book.view[NAME]
    fed.take(full(i_last_traded_price=1))
    assert found.last_price == USUAL["i_last_traded_price"] / 100
    assert fed.book.view[NAME].last_price == 0.01
    fed.take(DELTA)
    assert fed.book.view[NAME].last_price == 1252


@pytest.mark.parametrize("looks", [True, False])
def test_deltas_are_merged_over_it(fed: Fed, looks: bool) -> None:
    long_way = Fed(fast=False)
    for frame in (
        full(),
        DELTA,
        full(i_volume_traded_today=5),
        DELTA,
        WITHOUT_DEPTH,
        full(),
        WITHOUT_DEPTH,
        DELTA,
    ):
        assert all_of(fed.take(frame)) == all_of(long_way.take(frame))
        if looks:
            assert all_of(fed.book.view[NAME]) == all_of(long_way.book.view[NAME])


@pytest.mark.parametrize(
    "newer", [full(i_volume_traded_today=9), DELTA, WITHOUT_DEPTH], ids=["full", "delta", "odd"]
)
@pytest.mark.parametrize(
    "older", [full(i_volume_traded_today=8), DELTA, WITHOUT_DEPTH], ids=["full", "delta", "odd"]
)
def test_what_changed_is_counted_from_before_the_quote_that_was_replaced(
    fed: Fed, older: dict[str, Any], newer: dict[str, Any]
) -> None:
    long_way = Fed(fast=False)
    said = []
    for way in (fed, long_way):
        way.take(full(i_open_interest=3))
        replaced = way.take(older)
        said.append(way.take(newer).replacing(replaced).changed)
    assert said[0] == said[1]


def test_a_quote_that_is_muted_goes_on_unseen(fed: Fed) -> None:
    fed.take(full(i_volume_traded_today=5))
    fed.book.mute([NAME])
    assert NAME not in fed.book.view
    fed.take(DELTA)
    fed.book.unmute({NAME: None})
    quote = fed.take({**DELTA, "i_open_interest": 4})
    assert (quote.volume, quote.last_price, quote.open_interest) == (5, 1252, 4)
    assert quote.best_bid is not None


def test_it_learns_its_trading_symbol(fed: Fed) -> None:
    delivered = fed.take(full())
    fed.book.learn({NAME: "RELIANCE-EQ"})
    assert delivered.symbol is None
    assert fed.book.view["NSE:RELIANCE-EQ"].symbol == "RELIANCE-EQ"
    assert fed.take(full()).symbol == "RELIANCE-EQ"


def test_it_is_frozen_as_it_stands(fed: Fed) -> None:
    delivered = fed.take(full())
    other = QuoteBook()
    other.thaw(fed.book.freeze())
    assert other.view[NAME] == delivered


def test_a_quote_that_comes_while_another_is_looked_up_stays(fed: Fed) -> None:
    made_again = typed._Whole.of

    def slowly(raw: bytes) -> Any:
        fed.take(full(i_volume_traded_today=2))
        return made_again(raw)

    fed.take(full(i_volume_traded_today=1))
    with patch.object(typed._Whole, "of", slowly):
        assert fed.book.view[NAME].volume == 1
    assert fed.book.view[NAME].volume == 2


def test_whoever_looks_meanwhile_never_sees_an_older_quote_after_a_newer_one(fed: Fed) -> None:
    turns, lookers = 1_000, 3
    fed.take(full(i_volume_traded_today=1))
    ready, over = threading.Barrier(lookers + 1), threading.Event()

    def look() -> list[int]:
        seen: list[int] = []
        ready.wait(10)
        while not over.is_set():
            seen.append(fed.book.view[NAME].volume or 0)
        return seen

    usual = sys.getswitchinterval()
    # Threads take turns within what each of them does.
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(lookers) as pool:
            looks = [pool.submit(look) for _ in range(lookers)]
            ready.wait(10)
            try:
                for turn in range(1, turns):
                    fed.take(full(i_volume_traded_today=turn + 1))
            finally:
                over.set()
            seen = [looked.result(10) for looked in looks]
    finally:
        sys.setswitchinterval(usual)
    assert all(volumes == sorted(volumes) for volumes in seen)
    assert fed.book.view[NAME].volume == turns
