"""The simulator's market: a client that merges by the documented rules always has the true book."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import pytest
import websocket

from firstock_ws.simulator import Behaviour, Simulator

TOKENS = ["NSE:26000", "NSE:26009", "BSE:1", "NSE:2885", "BSE:500470", "NFO:44278", "MCX:7"]
SENTINELS = {s * v for v in (2**63 - 1, 2**63, 9_223_372_036_854_776_000) for s in (1, -1)}
PRICES = {
    "i_last_traded_price",
    "i_average_trade_price",
    "i_open_price",
    "i_high_price",
    "i_low_price",
    "i_closing_price",
    "close_price",
}
FIELDS = PRICES | {
    "c_exch_seg",
    "c_symbol",
    "i_last_trade_quantity",
    "i_last_trade_time",
    "i_net_price_change_from_closing_price",
    "c_net_change_indicator",
    "i_volume_traded_today",
    "i_total_tradevalue",
    "i_total_buy_quantity",
    "i_total_sell_quantity",
    "i_open_interest",
    "i_total_open_interest",
    "i_lower_circuit_limit",
    "i_upper_circuit_limit",
    "i_yearly_low_price",
    "i_yearly_high_price",
    "best_buy",
    "best_sell",
    "i_buy_depth_size",
    "i_sell_depth_size",
    "i_feed_time",
    "c_exch_feed_time",
    "i_seconds_since_boe",
    "i_usecs",
}
IST = timezone(timedelta(hours=5, minutes=30))
QUIET: dict[str, Any] = {"rate": 0, "order_interval": None, "ping_interval": None}
Book = dict[str, dict[str, Any]]


def dial(sim: Simulator, url: str = "") -> websocket.WebSocket:
    query = urlencode({"userId": sim.user_id, "jKey": sim.jkey, "source": "developer-api"})
    ws = websocket.create_connection(f"{url or sim.url}?{query}", timeout=5)
    assert ws.recv() == '{"status":"success","message":"Authentication successful"}'
    return ws


def act(ws: websocket.WebSocket, action: str, *tokens: str) -> None:
    ws.send(json.dumps({"action": action, "tokens": "|".join(tokens)}))


def is_value(value: Any) -> bool:
    return value is not None and not (isinstance(value, int) and value in SENTINELS)


def merge_level(level: dict[str, Any], new: dict[str, Any]) -> None:
    quantity_only = new.get("price") == 0 and new.get("quantity")
    for field, value in new.items():
        if is_value(value) and not (field == "price" and quantity_only):
            level[field] = value


def merge(book: Book, name: str, inner: dict[str, Any]) -> None:
    state = book.setdefault(name, {})
    for field, value in inner.items():
        if field in ("best_buy", "best_sell"):
            levels = state.setdefault(field, [{} for _ in range(5)])
            for level, new in zip(levels, value, strict=False):
                merge_level(level, new)
        elif is_value(value) and not (field in PRICES and value == 0 and state.get(field)):
            state[field] = value


def merge_text(book: Book, text: str) -> list[str]:
    frame = json.loads(text)
    if "c_symbol" in frame:
        frame = {f"{frame['c_exch_seg']}:{frame['c_symbol']}": frame}
    for name, inner in frame.items():
        merge(book, name, inner)
    return list(frame)


def assert_true(sim: Simulator, name: str, state: dict[str, Any], version: int) -> None:
    for field, value in sim.truth(name).items():
        seen = state.get(field)
        if value is None:
            assert seen is None, (name, field)
        elif field in ("best_buy", "best_sell"):
            seen = [level for level in seen or [] if any(level.values())]
            assert seen == [level for level in value if any(level.values())], (name, field)  # type: ignore[union-attr]
        elif field == "c_net_change_indicator":
            assert seen == (value if version == 1 else str(value))
        elif field == "i_seconds_since_boe":
            assert abs(seen - value) <= (600 if version == 1 else 0)
        elif field in PRICES:
            assert seen == pytest.approx(value, rel=1e-12), (name, field)
        elif field not in ("c_exch_seg", "c_symbol"):
            assert seen == value, (name, field)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=5, **QUIET) as simulator:
        yield simulator


@pytest.mark.parametrize("version", [1, 2])
def test_a_client_that_merges_by_the_rules_always_has_the_truth(sim: Simulator, version: int) -> None:
    ws = dial(sim, sim.url if version == 1 else sim.url_v2)
    act(ws, "subscribe", *TOKENS)
    book: Book = {}
    seen = 0
    while seen < len(TOKENS):
        seen += len(merge_text(book, ws.recv()))
    for name in TOKENS:
        assert_true(sim, name, book[name], version)
    for _ in range(300):
        sim.tick()
        for _ in range(len(TOKENS) if version == 1 else 1):
            merge_text(book, ws.recv())
        for name in TOKENS:
            assert_true(sim, name, book[name], version)
    ws.close()


def test_the_documented_oddities_really_come(sim: Simulator) -> None:
    ws = dial(sim, sim.url_v2)
    act(ws, "subscribe", *TOKENS)
    ws.recv()
    sim.tick(*TOKENS, count=400)
    seen: set[str] = set()
    for _ in range(400):
        for name, inner in json.loads(ws.recv()).items():
            index = name in ("NSE:26000", "NSE:26009", "BSE:1")
            if "c_symbol" not in inner:
                seen.add("bare")
            if index and any(inner.get(field) == 0 for field in PRICES):
                seen.add("index zero")
            for field, value in inner.items():
                if isinstance(value, float):
                    seen.add("float")
                    assert field in PRICES
                elif value is None:
                    seen.add("null")
                elif isinstance(value, int) and value in SENTINELS:
                    seen.add("sentinel" if value > 0 else "negative sentinel")
                elif field in ("best_buy", "best_sell"):
                    for level in value:
                        if not level:
                            seen.add("empty level")
                        elif len(level) < 3:
                            seen.add("partial level")
                        elif level["price"] == 0:
                            seen.add("zero price level" if level["quantity"] else "gone level")
    assert seen == {
        "bare",
        "index zero",
        "float",
        "null",
        "sentinel",
        "negative sentinel",
        "empty level",
        "partial level",
        "zero price level",
        "gone level",
    }
    ws.close()


def test_a_snapshot_has_every_field_and_a_delta_only_what_changed(sim: Simulator) -> None:
    ws = dial(sim)
    act(ws, "subscribe", "NFO:44278")
    assert set(json.loads(ws.recv())) == FIELDS
    sim.tick("NFO:44278")
    delta = json.loads(ws.recv())
    assert {"c_exch_seg", "c_symbol"} <= set(delta)
    assert len(delta) < len(FIELDS)
    ws.close()


def test_v1_is_flat_and_v2_is_keyed(sim: Simulator) -> None:
    flat, keyed = dial(sim), dial(sim, sim.url_v2)
    for ws in (flat, keyed):
        act(ws, "subscribe", "NSE:2885", "NSE:26000")
    first, second = json.loads(flat.recv()), json.loads(flat.recv())
    assert [first["c_symbol"], second["c_symbol"]] == ["2885", "26000"]
    assert first["c_net_change_indicator"] in (43, 45)
    both = json.loads(keyed.recv())
    assert list(both) == ["NSE:2885", "NSE:26000"]
    assert both["NSE:2885"]["c_net_change_indicator"] in ("43", "45")
    assert second["i_last_trade_time"] == 0
    sim.tick("NSE:2885")
    exact = sim.truth("NSE:2885")["i_seconds_since_boe"]
    assert isinstance(exact, int)
    assert json.loads(keyed.recv())["NSE:2885"]["i_seconds_since_boe"] == exact
    rounded = json.loads(flat.recv())["i_seconds_since_boe"]
    assert rounded != exact
    assert float(rounded) == float(exact)
    for ws in (flat, keyed):
        ws.close()


def test_full_v2_frames_on_request(sim: Simulator) -> None:
    sim.behaviour = Behaviour(v2_deltas=False)
    ws = dial(sim, sim.url_v2)
    act(ws, "subscribe", "NSE:2885")
    ws.recv()
    sim.tick()
    assert len(json.loads(ws.recv())["NSE:2885"]) >= len(FIELDS) - 2
    ws.close()


def test_times_tell_one_instant_in_three_ways(sim: Simulator) -> None:
    sim.tick("NSE:2885", count=7)
    truth = sim.truth("NSE:2885")
    seconds, nanoseconds = truth["i_feed_time"], truth["i_seconds_since_boe"]
    assert isinstance(seconds, int)
    assert isinstance(nanoseconds, int)
    assert truth["c_exch_feed_time"] == datetime.fromtimestamp(seconds, IST).strftime("%d-%b-%Y %H:%M:%S")
    assert truth["c_exch_feed_time"] == "02-Jan-2026 09:15:01"
    assert divmod(nanoseconds, 10**9) == (seconds, truth["i_usecs"])


def test_without_a_seed_the_clock_is_the_wall_and_the_market_is_new() -> None:
    before = datetime.now(IST).timestamp() - 2
    with Simulator(**QUIET) as one, Simulator(**QUIET) as other:
        one.tick("NSE:2885", count=20)
        other.tick("NSE:2885", count=20)
        feed_time = one.truth("NSE:2885")["i_feed_time"]
        assert isinstance(feed_time, int)
        assert feed_time >= before
        assert one.truth("NSE:2885")["best_buy"] != other.truth("NSE:2885")["best_buy"]


def test_the_market_is_plausible(sim: Simulator) -> None:
    previous: dict[str, Any] = dict(sim.truth("NFO:44278"))
    crossed = 0
    interest = set()
    for _ in range(400):
        sim.tick("NFO:44278")
        now: dict[str, Any] = dict(sim.truth("NFO:44278"))
        assert now["i_volume_traded_today"] >= previous["i_volume_traded_today"]
        assert now["i_high_price"] >= max(now["i_last_traded_price"], previous["i_high_price"])
        assert now["i_low_price"] <= min(now["i_last_traded_price"], previous["i_low_price"])
        assert now["i_lower_circuit_limit"] < now["i_last_traded_price"] < now["i_upper_circuit_limit"]
        assert now["i_last_traded_price"] % 5 == 0
        assert now["close_price"] == now["i_closing_price"] == previous["i_closing_price"]
        assert now["i_low_price"] <= now["i_average_trade_price"] <= now["i_high_price"]
        interest.add(now["i_open_interest"])
        buy = [level["price"] for level in now["best_buy"] if level["quantity"]]
        sell = [level["price"] for level in now["best_sell"] if level["quantity"]]
        assert len(buy) == now["i_buy_depth_size"]
        crossed += buy != sorted(buy, reverse=True) or sell != sorted(sell) or buy[0] >= sell[0]
        previous = now
    assert crossed < 40
    assert len(interest) > 20


def record(seed: int, url: str, frames: int) -> list[str]:
    with Simulator(seed=seed, rate=4000, order_interval=None) as sim:
        ws = dial(sim, getattr(sim, url))
        act(ws, "subscribe", *TOKENS)
        texts = [ws.recv() for _ in range(frames)]
        ws.close()
        return texts


@pytest.mark.parametrize("url", ["url", "url_v2"])
def test_a_seeded_run_repeats_byte_for_byte(url: str) -> None:
    first = record(3, url, 250)
    assert record(3, url, 250) == first
    assert record(4, url, 250) != first


def test_v2_frames_sometimes_hold_several_instruments() -> None:
    sizes = {len(json.loads(text)) for text in record(3, "url_v2", 100)[1:]}
    assert {1, 2, 3} <= sizes


def test_an_instruments_frames_do_not_depend_on_company_or_audience() -> None:
    def frames(*companions: str, audience: bool) -> list[str]:
        with Simulator(seed=9, **QUIET) as sim:
            ws = dial(sim)
            others = [dial(sim, sim.url_v2)] if audience else []
            for other in others:
                act(other, "subscribe", "NSE:2885")
                other.recv()
            act(ws, "subscribe", *companions, "NSE:2885")
            texts = [ws.recv() for _ in range(len(companions) + 1)][-1:]
            for _ in range(40):
                sim.tick(*companions, "NSE:2885")
                texts.append([ws.recv() for _ in range(len(companions) + 1)][-1])
            for one in (ws, *others):
                one.close()
            return texts

    alone = frames(audience=False)
    assert frames("NSE:26000", "BSE:500470", audience=False) == alone
    assert frames("NFO:1", audience=True) == alone


def test_rate_is_kept_and_can_change(sim: Simulator) -> None:
    ws = dial(sim)
    act(ws, "subscribe", "NSE:2885")
    ws.recv()
    ws.settimeout(0.3)
    with pytest.raises(websocket.WebSocketTimeoutException):
        ws.recv()
    ws.settimeout(5)
    sim.rate = 0.01
    sim.rate = 200
    assert sim.rate == 200
    began = datetime.now().timestamp()
    for _ in range(100):
        ws.recv()
    assert 0.3 < datetime.now().timestamp() - began < 2
    ws.close()


def test_subscribing_twice_gives_one_snapshot_and_again_after_unsubscribing(sim: Simulator) -> None:
    ws = dial(sim)
    act(ws, "subscribe", "NSE:2885")
    act(ws, "subscribe", "NSE:2885", "NSE:26000")
    assert json.loads(ws.recv())["c_symbol"] == "2885"
    assert json.loads(ws.recv())["c_symbol"] == "26000"
    act(ws, "unsubscribe", "NSE:2885", "NSE:1")
    assert sim.wait_for(lambda s: s.subscriptions() == {"NSE:26000"})
    sim.tick("NSE:2885", "NSE:26000")
    assert json.loads(ws.recv())["c_symbol"] == "26000"
    act(ws, "subscribe", "NSE:2885")
    assert set(json.loads(ws.recv())) == FIELDS
    assert sim.subscriptions(sim.user_id) == {"NSE:26000", "NSE:2885"}
    assert sim.subscriptions("nobody") == set()
    ws.close()


def test_greeks_come_keyed_and_move_and_stop(sim: Simulator) -> None:
    sim.behaviour = Behaviour(greeks_scale=100.0)
    ws = dial(sim)
    act(ws, "subscribe-option-greeks", "NFO:44278")
    first = json.loads(ws.recv())["NFO:44278"]
    assert set(first) == {"c_exch_seg", "c_symbol", "delta", "gamma", "theta", "vega", "rho", "iv"}
    assert first["gamma"] == pytest.approx(100 * sim.greeks("NFO:44278")["gamma"])
    assert sim.greeks_subscriptions() == {"NFO:44278"}
    sim.behaviour = Behaviour(greeks_form="flat")
    sim.tick()
    assert json.loads(ws.recv()) == {"c_exch_seg": "NFO", "c_symbol": "44278", **sim.greeks("NFO:44278")}
    sim.behaviour = Behaviour()
    sim.rate = 100
    assert json.loads(ws.recv())["NFO:44278"] != first
    act(ws, "unsubscribe-option-greeks", "NFO:44278")
    assert sim.wait_for(lambda s: not s.greeks_subscriptions())
    assert sim.push("end") == 1
    while "end" not in (text := ws.recv()):
        assert "gamma" in text
    ws.close()


def test_many_tokens_in_one_frame(sim: Simulator) -> None:
    ws = dial(sim, sim.url_v2)
    act(ws, "subscribe", *(f"NSE:{number}" for number in range(1, 501)))
    names: set[str] = set()
    while len(names) < 500:
        names |= set(json.loads(ws.recv()))
    assert len(sim.subscriptions()) == 500
    ws.close()
