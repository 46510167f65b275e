"""The simulator's books: orders walk through their states, and position arithmetic is right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import websocket

from firstock_ws.simulator import Simulator

QUIET: dict[str, Any] = {"rate": 0, "order_interval": None, "ping_interval": None}
ORDER_FIELDS = {
    "norenordno",
    "uid",
    "actid",
    "exch",
    "token",
    "tsym",
    "trantype",
    "qty",
    "prc",
    "prctyp",
    "trgprc",
    "pcode",
    "ret",
    "status",
    "reporttype",
    "fillshares",
    "avgprc",
    "rejreason",
    "exchordid",
    "exch_tm",
    "cancelqty",
    "dscqty",
    "remarks",
    "tm",
    "ntm",
    "pp",
    "ti",
    "ls",
    "mult",
    "prcftr",
    "kidid",
    "handlinst",
}
FILL_FIELDS = {"flid", "flqty", "flprc", "fltm"}
POSITION_FIELDS = {
    "uid",
    "actid",
    "exch",
    "token",
    "tsym",
    "pcode",
    "instname",
    "brkname",
    "netqty",
    "buyavgprc",
    "sellavgprc",
    "daybuyqty",
    "daybuyamt",
    "daybuyavgprc",
    "daysellqty",
    "daysellamt",
    "daysellavgprc",
    "totbuyamt",
    "totsellamt",
    "totbuyavgprc",
    "totsellavgprc",
    "openbuyqty",
    "opensellqty",
    "openbuyamt",
    "opensellamt",
    "rpnl",
    "upload_prc",
    "uptm",
    "pp",
    "ti",
    "ls",
    "mult",
    "prcftr",
}


def dial(sim: Simulator, user: str = "", url: str = "") -> websocket.WebSocket:
    user = user or sim.user_id
    key = {"AB1234": "secret", "CD5678": "other"}[user]
    query = urlencode({"userId": user, "jKey": key, "source": "developer-api"})
    ws = websocket.create_connection(f"{url or sim.url}?{query}", timeout=5)
    assert "successful" in ws.recv()
    return ws


def receive(ws: websocket.WebSocket, count: int) -> list[dict[str, Any]]:
    return [json.loads(ws.recv()) for _ in range(count)]


def states(frames: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(f["reporttype"], f["status"]) if "norenordno" in f else ("position", f["netqty"]) for f in frames]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=5, users={"AB1234": "secret", "CD5678": "other"}, **QUIET) as simulator:
        yield simulator


@pytest.mark.parametrize("url", ["url", "url_v2"])
def test_an_order_walks_through_its_states(sim: Simulator, url: str) -> None:
    ws = dial(sim, url=getattr(sim, url))
    number = sim.place_order("NSE:2885", "B", 50, 2424.05)
    assert number == "26010200000001"
    frames = receive(ws, 7)
    assert states(frames) == [
        ("PendingNew", "PENDING"),
        ("NewAck", "ORDER ACK"),
        ("New", "OPEN"),
        ("Fill", "OPEN"),
        ("position", "25"),
        ("Fill", "COMPLETE"),
        ("position", "50"),
    ]
    for frame in frames:
        if "norenordno" in frame:
            assert frame["norenordno"] == number
            assert set(frame) == ORDER_FIELDS | (FILL_FIELDS if frame["reporttype"] == "Fill" else set())
            assert all(isinstance(value, str) for value in frame.values())
            assert frame["rejreason"] == " "
    assert (frames[3]["fillshares"], frames[3]["flqty"], frames[3]["flprc"]) == ("25", "25", "2424.05")
    assert (frames[5]["fillshares"], frames[5]["flqty"], frames[5]["avgprc"]) == ("50", "25", "2424.05")
    assert sim.orders() == [frames[5]]
    assert sim.positions() == [frames[6]]
    ws.close()


def test_a_cash_position_hides_its_exchange_and_token_in_the_child(sim: Simulator) -> None:
    ws = dial(sim)
    sim.place_order("NSE:2885", "B", 1, 100.0)
    frames = receive(ws, 5)
    position = frames[-1]
    assert set(position) == POSITION_FIELDS | {"child_orders"}
    assert (position["exch"], position["token"], position["netqty"]) == ("EQT", "RELIANCE", "01")
    assert position["daysellqty"] == "00"
    assert position["rpnl"] == "-0.00"
    assert int(position["uptm"]) < 1_000_000_000
    (child,) = position["child_orders"]
    assert set(child) == POSITION_FIELDS
    assert (child["exch"], child["token"]) == ("NSE", "2885")
    ws.close()


def test_a_derivative_position_has_no_child(sim: Simulator) -> None:
    sim.place_order("NFO:44278", "S", 75, 12.5, trading_symbol="NIFTY27JAN26P25000", product="M")
    (position,) = sim.positions()
    assert (position["exch"], position["token"], position["netqty"]) == ("NFO", "44278", "-75")
    assert (position["tsym"], position["pcode"]) == ("NIFTY27JAN26P25000", "M")
    assert position["child_orders"] == []


def test_position_arithmetic_across_orders_and_through_zero(sim: Simulator) -> None:
    def position() -> dict[str, Any]:
        (frame,) = sim.positions()
        return dict(frame)

    sim.place_order("NSE:2885", "B", 100, 10.0)
    sim.place_order("NSE:2885", "B", 50, 13.0)
    now = position()
    assert (now["netqty"], now["buyavgprc"], now["daybuyamt"], now["rpnl"]) == ("150", "11.00", "1650.00", "-0.00")
    sim.place_order("NSE:2885", "S", 60, 12.0)
    assert (position()["netqty"], position()["rpnl"]) == ("90", "60.00")
    sim.place_order("NSE:2885", "S", 100, 10.0)
    now = position()
    assert (now["netqty"], now["rpnl"], now["daysellqty"]) == ("-10", "-30.00", "160")
    assert (now["totsellamt"], now["sellavgprc"]) == ("1720.00", "10.75")
    sim.place_order("NSE:2885", "B", 10, 9.0)
    now = position()
    assert (now["netqty"], now["rpnl"]) == ("00", "-20.00")
    assert float(now["totsellamt"]) - float(now["totbuyamt"]) == pytest.approx(-20.0)
    sim.place_order("NSE:2885", "B", 4, 50.0, product="C")
    assert [p["pcode"] for p in sim.positions()] == ["I", "C"]


def test_an_open_order_is_filled_in_parts_and_then_cancelled(sim: Simulator) -> None:
    ws = dial(sim)
    number = sim.place_order("NSE:2885", "B", 50, 100.0, fill=False)
    assert states(receive(ws, 3))[-1] == ("New", "OPEN")
    sim.fill_order(number, 20, 99.0)
    fill, position = receive(ws, 2)
    assert (fill["status"], fill["flprc"], fill["fillshares"]) == ("OPEN", "99.00", "20")
    assert (position["openbuyqty"], position["openbuyamt"], position["opensellqty"]) == ("30", "3000.00", "00")
    with pytest.raises(ValueError, match="31 of the 30"):
        sim.fill_order(number, 31)
    sim.fill_order(number, 10, 102.0)
    assert receive(ws, 2)[0]["avgprc"] == "100.00"
    sim.cancel_order(number)
    (cancelled,) = receive(ws, 1)
    assert states([cancelled]) == [("Canceled", "CANCELED")]
    assert cancelled["cancelqty"] == "20"
    with pytest.raises(ValueError, match="has ended"):
        sim.fill_order(number)
    ws.close()


def test_an_order_is_rejected(sim: Simulator) -> None:
    ws = dial(sim)
    number = sim.place_order("NSE:2885", fill=False, price_type="SL-MKT")
    frames = receive(ws, 4)
    assert states(frames)[2:] == [("New", "TRIGGER_PENDING"), ("New", "OPEN")]
    assert frames[0]["prc"] == "0.00"
    assert float(frames[0]["trgprc"]) > 0
    sim.reject_order(number, "RED:Margin Shortfall")
    (rejected,) = receive(ws, 1)
    assert states([rejected]) == [("Rejected", "REJECTED")]
    assert rejected["rejreason"] == "RED:Margin Shortfall"
    with pytest.raises(ValueError, match="has ended"):
        sim.cancel_order(number)
    with pytest.raises(KeyError):
        sim.fill_order("404")
    ws.close()


@pytest.mark.parametrize(
    "arguments",
    [{"side": "X"}, {"quantity": 0}, {"price_type": "GTT"}, {"instrument": "2885"}],
)
def test_senseless_orders_are_refused_to_the_caller(sim: Simulator, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|unknown"):
        sim.place_order(**{"instrument": "NSE:2885", **arguments})
    assert sim.orders() == []


def test_orders_go_to_all_sessions_of_their_user_only(sim: Simulator) -> None:
    mine, mine_too, theirs = dial(sim), dial(sim, url=sim.url_v2), dial(sim, "CD5678")
    sim.place_order("NSE:2885")
    sim.place_order("NSE:3045", user_id="CD5678")
    assert receive(mine, 7) == receive(mine_too, 7)
    assert {frame["uid"] for frame in receive(theirs, 7)} == {"CD5678"}
    assert len(sim.orders("CD5678")) == len(sim.orders()) == 1
    for ws in (mine, mine_too, theirs):
        ws.close()


def test_an_order_with_nobody_connected_is_booked_and_never_seen(sim: Simulator) -> None:
    sim.place_order("NSE:2885")
    ws = dial(sim)
    sim.push("next")
    assert ws.recv() == "next"
    assert sim.orders()[0]["status"] == "COMPLETE"
    ws.close()


def test_orders_can_be_placed_on_a_stopped_simulator() -> None:
    sim = Simulator(seed=1, **QUIET)
    number = sim.place_order("NSE:2885", fill=False)
    sim.cancel_order(number)
    assert sim.orders()[0]["status"] == "CANCELED"


def test_a_slow_walk_can_be_cut_short(sim: Simulator) -> None:
    ws = dial(sim)
    slow = sim.place_order("NSE:2885", step_delay=0.02)
    assert sim.orders()[0]["status"] == "PENDING"
    assert states(receive(ws, 7))[-1] == ("position", "50")
    assert sim.wait_for(lambda s: s.orders()[0]["status"] == "COMPLETE")
    assert slow == sim.orders()[0]["norenordno"]
    cut = sim.place_order("NSE:2885", step_delay=0.1)
    sim.cancel_order(cut)
    assert states(receive(ws, 2)) == [("PendingNew", "PENDING"), ("Canceled", "CANCELED")]
    ws.settimeout(0.3)
    with pytest.raises(websocket.WebSocketTimeoutException):
        ws.recv()
    ws.close()


def test_the_simulator_trades_by_itself_for_whoever_is_connected() -> None:
    with Simulator(seed=2, rate=0, order_interval=0.01) as sim:
        ws = dial(sim)
        ws.send('{"action":"subscribe","tokens":"NSE:26000|NFO:44278"}')
        assert sim.wait_for(lambda s: bool(s.subscriptions()))
        ends = {"COMPLETE", "REJECTED", "CANCELED"}
        assert sim.wait_for(lambda s: ends <= {order["status"] for order in s.orders()})
        assert "44278" in {order["token"] for order in sim.orders()}
        ws.close()
        assert sim.wait_for(lambda s: s.session_count() == 0)
        placed = len(sim.orders())
        assert not sim.wait_for(lambda s: len(s.orders()) > placed, timeout=0.1)
