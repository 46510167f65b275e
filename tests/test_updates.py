"""Order updates, position updates and greeks as the wire sends them."""

from __future__ import annotations

import pickle
from datetime import datetime
from typing import Any

import pytest

from firstock_ws import IST
from firstock_ws.models.greeks import read_greeks
from firstock_ws.models.order import OrderUpdate, read_order
from firstock_ws.models.position import read_position

FILL: dict[str, Any] = {
    "norenordno": "25071100000012",
    "uid": "AB1234",
    "actid": "AB1234",
    "exch": "NSE",
    "token": "2885",
    "tsym": "RELIANCE-EQ",
    "trantype": "B",
    "qty": "50",
    "prc": "1250.05",
    "prctyp": "SL-LMT",
    "trgprc": "1249.00",
    "pcode": "I",
    "ret": "DAY",
    "status": "OPEN",
    "reporttype": "Fill",
    "fillshares": "20",
    "avgprc": "1250.00",
    "flid": "501",
    "flqty": "20",
    "flprc": "1250.00",
    "fltm": "11-07-2025 09:18:01",
    "rejreason": " ",
    "exchordid": "1100000000123",
    "exch_tm": "11-07-2025 09:18:01",
    "cancelqty": "0",
    "dscqty": "0",
    "remarks": "mine",
    "tm": "1752205678",
    "ntm": "123456789",
    "pp": "2",
    "ti": "0.05",
    "ls": "1",
    "mult": "1",
}

POSITION: dict[str, Any] = {
    "uid": "AB1234",
    "actid": "AB1234",
    "exch": "EQT",
    "token": "RELIANCE",
    "tsym": "RELIANCE",
    "pcode": "I",
    "instname": "",
    "brkname": "FIRSTOCK",
    "netqty": "-01",
    "buyavgprc": "00",
    "sellavgprc": "1250.05",
    "daybuyqty": "00",
    "daybuyamt": "0.00",
    "rpnl": "-0.00",
    "upload_prc": "0.00",
    "uptm": "yesterday, more or less",
    "ls": "1",
    "ti": "0.05",
    "prcftr": "1.000000",
    "child_orders": [{"exch": "NSE", "token": "2885", "tsym": "RELIANCE-EQ", "netqty": "-1"}],
}


def order(**fields: object) -> OrderUpdate:
    update, bad = read_order({**FILL, **fields})
    assert update is not None
    assert bad == []
    return update


def test_a_fill() -> None:
    update = order()
    assert update.instrument == "NSE:2885"
    assert (update.side, update.quantity, update.filled_quantity, update.pending_quantity) == ("BUY", 50, 20, 30)
    assert (update.price, update.trigger_price, update.average_price) == (1250.05, 1249.0, 1250.0)
    assert (update.fill_id, update.fill_quantity, update.fill_price) == ("501", 20, 1250.0)
    assert update.fill_time == update.exchange_time == datetime(2025, 7, 11, 9, 18, 1, tzinfo=IST)
    assert update.order_time == datetime(2025, 7, 11, 9, 17, 58, tzinfo=IST)
    assert update.is_fill
    assert not update.is_final
    assert update.rejection_reason is None
    assert update.raw["ntm"] == "123456789"


@pytest.mark.parametrize(
    ("sent", "status", "final"),
    [
        ("COMPLETE", "COMPLETE", True),
        ("REJECTED", "REJECTED", True),
        ("CANCELED", "CANCELED", True),
        ("CANCELLED", "CANCELED", True),
        ("cancelled ", "CANCELED", True),
        ("OPEN", "OPEN", False),
        ("TRIGGER_PENDING", "TRIGGER_PENDING", False),
        ("TRIGGER PENDING", "TRIGGER_PENDING", False),
        ("ORDER  ACK", "ORDER ACK", False),
        ("AMO CANCELLED", "AMO CANCELED", False),
        ("", None, False),
    ],
)
def test_statuses_in_one_spelling(sent: str, status: str | None, final: bool) -> None:
    update = order(status=sent)
    assert (update.status, update.is_final) == (status, final)
    assert update.pending_quantity == (0 if final else 30)


def test_what_is_missing_is_none_never_zero() -> None:
    update = order(
        prc="0.00", avgprc="0", trgprc="", rejreason="RED:margin", fltm="00-00-0000 00:00:00", trantype="S"
    )
    assert (update.price, update.average_price, update.trigger_price, update.fill_time) == (None,) * 4
    assert update.rejection_reason == "RED:margin"
    assert update.side == "SELL"
    bare, bad = read_order({"norenordno": "1"})
    assert bare is not None
    assert bad == []
    assert (bare.instrument, bare.quantity, bare.pending_quantity, bare.is_fill) == (None, None, None, False)


@pytest.mark.parametrize(
    ("wire", "value", "name"),
    [
        ("qty", "fifty", "quantity"),
        ("prc", "1.2.3", "price"),
        ("prc", "nan", "price"),
        ("prc", 10**30, "price"),
        ("tm", "soon", "order_time"),
        ("exch_tm", "32-01-2025 00:00:00", "exchange_time"),
        ("trantype", "X", "side"),
        ("status", ["OPEN"], "status"),
        ("ls", True, "lot_size"),
        ("prc", True, "price"),
    ],
)
def test_a_bad_field_is_none_and_named(wire: str, value: object, name: str) -> None:
    update, bad = read_order({**FILL, wire: value})
    assert update is not None
    assert getattr(update, name) is None
    assert bad == [wire]
    assert update.trading_symbol == "RELIANCE-EQ"


def test_an_order_without_a_number_is_none_at_all() -> None:
    assert read_order({"norenordno": None}) == (None, ["norenordno"])
    assert read_order({"norenordno": {}})[0] is None


def test_orders_are_values() -> None:
    assert order() == order()
    assert order() != order(qty="51")
    assert hash(order()) == hash(order())
    assert pickle.loads(pickle.dumps(order())) == order()
    assert order().to_dict()["pending_quantity"] == 30
    assert "raw" not in order().to_dict()
    with pytest.raises(AttributeError):
        order().status = "COMPLETE"  # type: ignore[misc]
    assert "order_number='25071100000012'" in repr(order())


def test_a_position_names_the_exchange_leg() -> None:
    position, bad = read_position(POSITION)
    assert bad == []
    assert (position.instrument, position.exchange, position.token) == ("NSE:2885", "NSE", "2885")
    assert (position.net_quantity, position.day_buy_quantity, position.day_buy_amount) == (-1, 0, 0.0)
    assert (position.buy_average_price, position.sell_average_price) == (None, 1250.05)
    assert str(position.realised_profit) == "0.0", "not -0.0"
    assert position.legs[0].trading_symbol == "RELIANCE-EQ"
    assert position.to_dict()["legs"][0]["net_quantity"] == -1
    assert position == read_position(POSITION)[0]


def test_a_position_without_legs_names_itself() -> None:
    position, bad = read_position({**POSITION, "child_orders": [], "exch": "NFO", "token": "35000"})
    assert (position.instrument, bad) == ("NFO:35000", [])
    assert read_position({"brkname": "x"})[0].instrument is None


@pytest.mark.parametrize("bad_legs", ["x", [1], {"exch": "NSE"}])
def test_bad_legs_are_named_and_cost_nothing_else(bad_legs: object) -> None:
    position, bad = read_position({**POSITION, "child_orders": bad_legs})
    assert (position.legs, bad) == ((), ["child_orders"])
    assert position.net_quantity == -1


def test_bad_fields_of_a_leg_are_named() -> None:
    _, bad = read_position({**POSITION, "netqty": "x", "child_orders": [{"exch": "NSE", "netqty": "y"}]})
    assert bad == ["child_orders.netqty", "netqty"]


def test_greeks_are_handed_on_as_they_came() -> None:
    raw = {"c_exch_seg": "NFO", "c_symbol": "44278", "delta": 0.52, "gamma": "0.0012", "theta": -12, "vega": None}
    greeks, bad = read_greeks("NFO:44278", raw)
    assert (greeks.instrument, greeks.exchange, greeks.token) == ("NFO:44278", "NFO", "44278")
    assert (greeks.delta, greeks.gamma, greeks.theta, greeks.vega, greeks.rho) == (0.52, 0.0012, -12.0, None, None)
    assert bad == []
    assert greeks.to_dict()["implied_volatility"] is None
    assert read_greeks("NFO:1", {"gamma": 1, "iv": "x"})[1] == ["iv"]
    assert read_greeks("NFO:1", {"gamma": float(2**63)})[0].gamma is None
    assert read_greeks("NFO:1", {"gamma": ""})[0].gamma is None
