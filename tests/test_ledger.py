"""What the ledger lets through: each thing once, never going backwards, no end state and no change lost."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from firstock_ws import ledger as module
from firstock_ws.ledger import Ledger
from firstock_ws.models import OrderUpdate, PositionUpdate
from firstock_ws.models.order import read_book_order, read_order
from firstock_ws.models.position import read_book_position, read_position

ORDER = {"norenordno": "1", "qty": "50", "prc": "100.00", "prctyp": "LMT", "trantype": "B"}
BOOK = {"orderNumber": "1", "quantity": "50", "price": "100.00", "priceType": "LMT", "transactionType": "B"}
HELD = {"brkname": "F", "exch": "NSE", "token": "2885", "pcode": "I", "tsym": "R"}
BOOK_HELD = {"exchange": "NSE", "token": "2885", "product": "I", "tradingSymbol": "R"}


class Desk:
    """A ledger, what it let through, and a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        self.told: list[Any] = []
        self.doubts = 0
        self.ledger = Ledger(lambda name, update: self.told.append(update), follow=True)
        self.ledger.on_doubt = self._doubt

    def _doubt(self) -> None:
        self.doubts += 1

    def stream(self, status: str, filled: object = "0", **more: object) -> int:
        """Bring an order update of the stream; return how many were let through so far."""
        update, _ = read_order({**ORDER, "status": status, "fillshares": filled, **more})
        assert update is not None
        self.ledger.stream_order(update)
        return len(self.told)

    def book(self, status: str, filled: object = "", epoch: int = 0, **more: object) -> bool:
        update, _ = read_book_order({**BOOK, "status": status, "fillShares": filled, **more})
        assert update is not None
        return self.ledger.book_order(update, self.now, epoch)

    def holding(self, bought: object, net: object, *, book: bool = False, **more: object) -> int:
        if book:
            fields = {**BOOK_HELD, "dayBuyQuantity": bought, "daySellQuantity": "0", "netQuantity": net, **more}
            self.ledger.book_position(read_book_position(fields)[0], self.now)
        else:
            fields = {**HELD, "daybuyqty": bought, "daysellqty": "0", "netqty": net, **more}
            self.ledger.stream_position(read_position(fields)[0])
        return len(self.told)

    @property
    def orders(self) -> list[tuple[str, str | None, int | None]]:
        return [(u.source, u.status, u.filled_quantity) for u in self.told if isinstance(u, OrderUpdate)]

    @property
    def positions(self) -> list[tuple[str, int | None]]:
        return [(u.source, u.net_quantity) for u in self.told if isinstance(u, PositionUpdate)]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    # The module's own name for the clock: the rest of the process keeps its time.
    monkeypatch.setattr(module, "time", type("Clock", (), {"monotonic": staticmethod(time.monotonic)}))
    return Desk(monkeypatch)


def test_the_stream_is_let_through_in_its_order_back_to_pending_too(desk: Desk) -> None:
    for status in ("PENDING", "OPEN", "PENDING", "OPEN", "TRIGGER_PENDING"):
        desk.stream(status, tm="100", ntm=str(len(desk.told) + 1))
    assert len(desk.told) == 5


@pytest.mark.parametrize("filled", [None, "", " ", "x", "0"])
def test_an_end_without_its_fills_keeps_those_known(desk: Desk, filled: object) -> None:
    desk.stream("OPEN", "20")
    desk.stream("CANCELED", filled)
    assert [step[:2] for step in desk.orders] == [("stream", "OPEN"), ("stream", "CANCELED")]
    assert desk.orders[-1][2] == 20


@pytest.mark.parametrize("filled", ["", "0", "20"])
def test_an_end_in_the_book_is_told_whatever_it_says_of_fills(desk: Desk, filled: str) -> None:
    desk.stream("OPEN", "20")
    assert desk.book("CANCELED", filled)
    assert desk.orders[-1] == ("book", "CANCELED", 20)


@pytest.mark.parametrize("stamp", [("100", None), ("100", "0"), ("99", "5")])
def test_an_end_is_told_whatever_its_stamp(desk: Desk, stamp: tuple[str, str | None]) -> None:
    desk.stream("OPEN", tm="100", ntm="500000000")
    desk.stream("CANCELED", tm=stamp[0], ntm=stamp[1])
    assert len(desk.told) == 2


def test_nothing_follows_an_end_but_what_was_filled_too(desk: Desk) -> None:
    desk.stream("CANCELED", "20")
    desk.stream("OPEN", "30")
    desk.stream("REJECTED", "20")
    desk.now += 100
    desk.book("OPEN", "30")
    assert len(desk.told) == 1
    desk.book("CANCELED", "30")
    assert desk.orders[-1] == ("book", "CANCELED", 30)
    assert desk.told[-1].fill_quantity == 10


def test_a_step_with_an_older_stamp_and_a_repeated_one_are_not_told(desk: Desk) -> None:
    desk.stream("OPEN", tm="100", ntm="7")
    desk.stream("PENDING", tm="100", ntm="5")
    assert desk.doubts == 1, "it may be news after all: the books will tell"
    desk.stream("OPEN", tm="100", ntm="7")
    assert len(desk.told) == 1
    assert desk.ledger.counts().stale_updates == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"triggerPrice": "90.00"}),
        ({"trgprc": "100.00"}, {"triggerPrice": "90.00"}),
        ({}, {"price": "101.00"}),
        ({}, {"quantity": "60"}),
        ({}, {"priceType": "SL-LMT", "status": "TRIGGER_PENDING"}),
    ],
)
def test_changed_terms_are_told_once_they_have_settled(
    desk: Desk, before: dict[str, str], after: dict[str, str]
) -> None:
    desk.stream("OPEN", trgprc=before.get("trgprc", "95.00"))
    assert not desk.book(**{"status": "OPEN", **after}), "the book may be behind"
    assert len(desk.told) == 1
    desk.now += module.SETTLE + 0.1
    assert desk.book(**{"status": "OPEN", **after})
    assert desk.told[-1].source == "book"
    desk.now += 100
    desk.book(**{"status": "OPEN", **after})
    assert len(desk.told) == 2, "once"


def test_a_book_with_fewer_fills_is_behind_however_late(desk: Desk) -> None:
    desk.stream("OPEN", "20")
    desk.now += 100
    assert desk.book("OPEN", "10")
    assert len(desk.told) == 1


def test_what_one_side_does_not_tell_is_no_change(desk: Desk) -> None:
    desk.stream("OPEN", "10", prctyp="MKT", prc="101.50", trgprc="99.00")
    desk.now += 100
    assert desk.book("OPEN", "10", price="0.00", priceType="MKT")
    assert len(desk.told) == 1


def test_steps_up_to_what_the_book_told_are_old_for_a_while(desk: Desk) -> None:
    desk.book("OPEN")
    for status in ("PENDING", "ORDER ACK", "OPEN"):
        desk.stream(status)
    assert len(desk.told) == 1
    desk.stream("PENDING", reporttype="PendingReplace")
    assert len(desk.told) == 2, "the stream has caught up: what it says now is news"


def test_without_dates_what_comes_long_after_the_book_is_news(desk: Desk) -> None:
    desk.book("OPEN")
    desk.now += module.LATE + 0.1
    desk.stream("OPEN", prc="105.00")
    assert desk.told[-1].price == 105.0


@pytest.mark.parametrize(("stamp", "told"), [("1000", 1), ("1001", 2)])
def test_with_dates_they_decide(desk: Desk, stamp: str, told: int) -> None:
    desk.book("OPEN", epoch=1000)
    desk.now += 3600
    assert desk.stream("PENDING", tm=stamp, ntm="1") == told
    assert desk.doubts == (told == 1)


def test_a_new_day_begins_from_nothing(desk: Desk) -> None:
    desk.holding("100", "0", book=True)
    desk.holding("10", "10")
    assert desk.positions == [("book", 0)], "a late report of the stream"
    desk.now += module.NEW_DAY + 1
    desk.holding("10", "10")
    assert desk.positions[-1] == ("stream", 10)
    desk.now += 16 * 3600
    desk.holding("5", "5", book=True)
    assert desk.positions[-1] == ("book", 5)


@pytest.mark.parametrize("bought", ["", None, "x"])
def test_a_position_that_tells_no_day_quantities(desk: Desk, bought: object) -> None:
    desk.holding(bought, "50", book=True, daySellQuantity=bought)
    desk.now += 100
    desk.holding(bought, "50", book=True, daySellQuantity=bought)
    assert desk.positions == [("book", 50)]
    desk.holding(bought, "40", book=True, daySellQuantity=bought)
    assert desk.positions[-1] == ("book", 40)


def test_positions_without_a_token_are_told_apart(desk: Desk) -> None:
    for symbol in "AB":
        desk.holding("10", "10", book=True, token="", tradingSymbol=symbol)
    assert len(desk.told) == 2


def test_a_held_position_repeats_what_the_book_told_once(desk: Desk) -> None:
    desk.holding("10", "10", book=True)
    assert desk.holding("10", "10", uptm="1") == 1
    assert desk.holding("10", "10", uptm="2", openbuyqty="5") == 2, "an order waits now"


def test_the_table_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    for number in range(10):
        desk.stream("OPEN", norenordno=str(number))
    assert len(desk.ledger._orders) == 3


def test_told_updates_stay_as_they_came(desk: Desk) -> None:
    desk.stream("OPEN", "5")
    update, _ = read_order({**ORDER, "status": "OPEN", "fillshares": "5"})
    assert desk.told == [update]
    assert dataclasses.replace(desk.told[0], source="book") != update
