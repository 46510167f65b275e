"""Bars attached to a real client, over real sockets."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from firstock_ws import IST, FirstockWS, Quote, UsageError
from firstock_ws.bars import Bar, BarBuilder
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, Gate, Watched, connect, wait_until

SHARE, OTHER, INDEX, FUTURE = "NSE:2885", "NSE:1594", "NSE:26000", "NFO:35000"


def push(sim: Simulator, clock: str, name: str = SHARE, **fields: Any) -> None:
    """Send what the exchange might as of that time of the simulator's day."""
    exchange, token = name.split(":")
    moment = int(datetime.fromisoformat(f"2026-01-02T{clock}+05:30").timestamp())
    values = {"c_exch_seg": exchange, "c_symbol": token, "i_feed_time": moment, "i_last_trade_time": moment}
    sim.push(json.dumps({**values, **fields}))


class Told:
    """Where bars come out.

    Threads: the callback thread writes, the test reads; a list needs no lock for that.
    """

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self.threads: set[str] = set()

    def __call__(self, bar: Bar) -> None:
        self.threads.add(threading.current_thread().name)
        self.bars.append(bar)

    def wait(self, count: int) -> list[Bar]:
        wait_until(lambda: len(self.bars) >= count)
        return self.bars


def is_value(sent: Any) -> bool:
    """Whether a field of the wire says anything: 0 means nothing for prices and times, and is no volume here."""
    return bool(sent) and not (isinstance(sent, (int, float)) and abs(sent) >= 2**63 - 1)


def computed(texts: list[str], seconds: int) -> dict[tuple[str, int], dict[str, Any]]:
    """Figures of every interval out of raw frames, in paise: nothing of ours, but what the wire's fields mean."""
    known: dict[str, dict[str, Any]] = defaultdict(dict)
    rows: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for text in texts:
        frame = json.loads(text)
        if "c_symbol" not in frame:
            continue
        name = f"{frame['c_exch_seg']}:{frame['c_symbol']}"
        before = dict(known[name])
        # Floats have binary noise.
        sent = {key: round(value) if isinstance(value, float) else value for key, value in frame.items()}
        known[name].update({key: value for key, value in sent.items() if is_value(value)})
        state = known[name]
        index = not state.get("i_last_trade_time")
        what = ["i_feed_time"] if index else ["i_last_trade_time", "i_volume_traded_today"]
        what.append("i_last_traded_price")
        if [before.get(key) for key in what] != [state.get(key) for key in what]:
            # 9:15 is a multiple of all intervals that are asked for, in UTC too.
            rows[name, state[what[0]] // seconds * seconds].append(dict(state))
    figures = {}
    volumes: dict[str, int] = {}
    for (name, start), states in sorted(rows.items()):
        prices = [state["i_last_traded_price"] for state in states]
        volume = states[-1].get("i_volume_traded_today")
        figures[name, start] = {
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "volume": None if volume is None else volume - volumes.get(name, states[0]["i_volume_traded_today"]),
            "updates": len(states),
        }
        if volume is not None:
            volumes[name] = volume
    return figures


def as_figures(bars: list[Bar]) -> dict[tuple[str, int], dict[str, Any]]:
    return {
        (bar.instrument, int(bar.start.timestamp())): {
            **{name: round(getattr(bar, name) * 100) for name in ("open", "high", "low", "close")},
            "volume": bar.volume,
            "updates": bar.updates,
        }
        for bar in bars
    }


def test_bars_of_a_stream_agree_with_its_raw_frames(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[SHARE, OTHER, INDEX, FUTURE])
    told, texts = Told(), list[str]()
    client.on_message = texts.append
    with BarBuilder("5s", told).attach(client, timer=False) as bars, BarBuilder("1min").attach(client) as minutes:
        connect(client, sim)
        sim.tick(count=600)
        wait_until(lambda: client.stats.quotes_delivered == 4 * 601)
        client.close()
        assert bars.stats.late == 0
    assert len(told.bars) > 100
    assert as_figures(told.bars) == computed(texts, 5)
    assert as_figures(minutes.bars) == computed(texts, 60)
    assert all(bar.open_interest for bar in told.bars if bar.instrument == FUTURE)
    for bar in told.bars:
        assert bar.vwap is None or bar.low - 0.01 <= bar.vwap <= bar.high + 0.01
    assert sum(bar.vwap is not None for bar in told.bars) > 50


def test_silence_is_closed_on_the_callback_thread(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[SHARE])
    told = Told()
    with BarBuilder("1s", told, grace=0.05).attach(client):
        connect(client, sim)
        push(sim, "10:00:00", i_last_traded_price=10000, i_volume_traded_today=99_000_000)
        first = told.wait(2)[1]
        assert (first.start.strftime("%H:%M:%S"), first.close, first.final) == ("10:00:00", 100.0, True)
        # When it was to be expected: nothing but the new bar itself can wake the timer.
        push(sim, "10:00:01", i_last_traded_price=10100, i_volume_traded_today=99_000_005)
        assert [bar.volume for bar in told.wait(3)[2:]] == [5]
        assert told.threads == {"firstock-ws-callbacks"}


def test_silence_is_filled(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[SHARE])
    told = Told()
    with BarBuilder("1s", told, grace=0, fill=True).attach(client):
        connect(client, sim)
        push(sim, "10:00:00", i_last_traded_price=10000, i_volume_traded_today=99_000_000)
        wait_until(lambda: [bar.updates for bar in told.bars].count(0) >= 2)
    assert all(later.start == earlier.end for earlier, later in zip(told.bars[1:], told.bars[2:], strict=False))


def test_bars_due_wait_for_the_quotes_in_the_queue(sim: Simulator, make_client: ClientMaker, gate: Gate) -> None:
    client = make_client(tokens=[SHARE])
    told = Told()
    bars = BarBuilder("1s", told, grace=0.2)
    client.on_quote = lambda quote: gate() if quote.last_price == 100.0 else None
    bars.attach(client)
    connect(client, sim)
    push(sim, "10:00:00", i_last_traded_price=10000, i_volume_traded_today=99_000_000)
    assert gate.entered.wait(DEADLINE)
    push(sim, "10:00:00", i_last_traded_price=10100, i_volume_traded_today=99_000_007)
    wait_until(lambda: client.stats.quotes_waiting == 1)
    wait_until(lambda: (bars.seconds_left() or 0) < -0.2)
    gate.open()
    assert told.wait(2)[1].close == 101.0
    assert bars.stats.late == 0
    bars.close()


def test_a_lost_connection_is_a_gap(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[SHARE])
    told, watched = Told(), Watched(client)
    with BarBuilder("1min", told).attach(client):
        connect(client, sim)
        sim.tick(count=8)
        watched.wait("on_quote", 9)
        before = client.quotes[SHARE].volume
        sim.reset()
        watched.wait("on_close")
        sim.tick(SHARE, count=8)
        watched.wait("on_connect", 2)
        watched.wait("on_quote", 10)
        sim.tick(count=8)
        watched.wait("on_quote", 18)
    after = client.quotes[SHARE].volume
    assert before is not None
    assert after is not None
    first = watched.of("on_quote")[0].volume
    assert [(bar.gap, bar.partial, bar.volume) for bar in told.bars] == [(True, True, after - first)]


def test_bars_are_closed_while_the_connection_is_lost(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[SHARE])
    told, watched = Told(), Watched(client)
    with BarBuilder("1s", told, grace=0.5).attach(client):
        connect(client, sim)
        watched.wait("on_quote")
        push(sim, "10:00:00", i_last_traded_price=10000, i_volume_traded_today=99_000_000)
        watched.wait("on_quote", 2)
        sim.refuse()
        sim.reset()
        assert [bar.gap for bar in told.wait(2)] == [False, True]
        assert told.threads == {"firstock-ws-callbacks"}


def test_to_close_the_client_is_no_gap(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[SHARE])
    told, watched = Told(), Watched(client)
    with BarBuilder("1min", told).attach(client):
        connect(client, sim)
        sim.tick(count=8)
        watched.wait("on_quote", 9)
        client.close()
        watched.wait("on_close")
    assert [(bar.gap, bar.final) for bar in told.bars] == [(False, False)]


def test_callbacks_are_chained_and_given_back(sim: Simulator, make_client: ClientMaker) -> None:
    order: list[str] = []

    class Strategy(FirstockWS):
        def on_quote(self, quote: Quote) -> None:
            current = first.current(SHARE)
            assert current is not None
            order.append("strategy")

    client = make_client(Strategy, tokens=[SHARE])
    watched = Watched(client, ("on_error", "on_close"))
    closed = client.on_close

    def fail(bar: Bar) -> None:
        order.append("first")
        raise ValueError("a fault of the strategy")

    first = BarBuilder("1s", fail, grace=0).attach(client, timer=False)
    second = BarBuilder("1s", lambda bar: order.append("second"), grace=0).attach(client, timer=False)
    with pytest.raises(UsageError, match="attached"):
        first.attach(client)
    connect(client, sim)
    push(sim, "10:00:00", i_last_traded_price=10000, i_volume_traded_today=99_000_000)
    errors = watched.wait("on_error")
    assert [str(error) for error in errors] == ["a fault of the strategy"]
    assert order == ["strategy", "second", "first", "strategy"]
    first.detach()
    push(sim, "10:00:05", i_last_traded_price=10100)
    wait_until(lambda: len(order) == 6)
    assert order[4:] == ["second", "strategy"], "passed by, though it stands in the middle"
    second.detach()
    second.detach()
    push(sim, "10:00:09", i_last_traded_price=10200)
    wait_until(lambda: len(order) == 7)
    assert order[6:] == ["strategy"]
    assert (first.stats.quotes, second.stats.quotes) == (2, 3)
    client.close()
    assert len(watched.wait("on_close")) == 1
    assert client.on_close is not closed, "the first builder's is still there, and does nothing"


def test_detached_alone_it_leaves_the_client_as_it_was(make_client: ClientMaker) -> None:
    client = make_client()
    client.on_close = closed = lambda code, reason: None
    before = dict(vars(client))
    with BarBuilder().attach(client):
        assert client.on_close is not closed
    assert vars(client) == before


def test_a_callback_that_is_set_later_leaves_the_bars_in_front_of_it(
    sim: Simulator, make_client: ClientMaker
) -> None:
    class Strategy(FirstockWS):
        def on_quote(self, quote: Quote) -> None:
            seen.append("subclass")

    seen: list[str] = []
    client = make_client(Strategy, tokens=[SHARE])
    first = BarBuilder("1s").attach(client, timer=False)
    second = BarBuilder("1s").attach(client, timer=False)
    client.on_quote = lambda quote: seen.append("later")
    connect(client, sim)
    push(sim, "10:00:00", i_last_traded_price=10000, i_volume_traded_today=99_000_000)
    wait_until(lambda: len(seen) == 2)
    assert (first.stats.quotes, second.stats.quotes) == (2, 2)
    second.detach()
    push(sim, "10:00:01", i_last_traded_price=10000)
    wait_until(lambda: len(seen) == 3)
    assert (first.stats.quotes, second.stats.quotes) == (3, 2)
    client.on_quote = None  # type: ignore[assignment]
    push(sim, "10:00:02", i_last_traded_price=10000)
    wait_until(lambda: first.stats.quotes == 4)
    client.on_quote = lambda quote: seen.append("last")
    first.detach()
    push(sim, "10:00:03", i_last_traded_price=10000)
    wait_until(lambda: len(seen) == 4)
    assert seen == ["later", "later", "later", "last"]
    assert first.stats.quotes == 4


def timers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "firstock-ws-bars"]


def test_the_timer_ends_with_the_client_and_begins_again(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[SHARE])
    told = Told()
    bars = BarBuilder("1s", told, grace=0).attach(client)
    assert timers() == []
    for hour in (10, 11):
        connect(client, sim)
        push(sim, f"{hour}:00:00", i_last_traded_price=10000, i_volume_traded_today=99_000_000)
        count = len(told.bars)
        told.wait(count + 1)
        assert len(timers()) == 1
        client.close()
        wait_until(lambda: timers() == [])
    bars.close()


def test_the_timer_ends_when_the_client_gives_up(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[SHARE], reconnect=False)
    watched = Watched(client, ("on_noreconnect",))
    bars = BarBuilder("1min").attach(client)
    connect(client, sim)
    wait_until(lambda: timers() != [])
    sim.reset()
    watched.wait("on_noreconnect")
    wait_until(lambda: timers() == [])
    bars.close()


def test_a_builder_keeps_no_client_alive(sim: Simulator) -> None:
    client = FirstockWS(sim.user_id, sim.jkey, url=sim.url)
    bars = BarBuilder().attach(client)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
    bars.close()


def test_the_exchanges_clock_and_not_this_computers(sim: Simulator, make_client: ClientMaker) -> None:
    """The simulator's day is another one than today."""
    assert abs(time.time() - datetime(2026, 1, 2, tzinfo=IST).timestamp()) > 86_400
    client = make_client(tokens=[SHARE])
    bars = BarBuilder("1day").attach(client)
    connect(client, sim)
    wait_until(lambda: bars.current(SHARE) is not None)
    left = bars.seconds_left()
    assert left is not None
    # From 9:15 to midnight, plus the grace.
    assert 14.7 * 3600 < left <= 14.75 * 3600 + 2
    bars.close()


def test_a_recording_makes_the_bars_that_the_stream_made(
    sim: Simulator, make_client: ClientMaker, tmp_path: Path
) -> None:
    recording = pytest.importorskip("firstock_ws.recording")
    path = tmp_path / "day.jsonl"
    live, replayed, attached = Told(), Told(), Told()
    client = make_client(tokens=[SHARE, INDEX])
    with recording.Recorder(client, path), BarBuilder("5s", live).attach(client):
        connect(client, sim)
        sim.tick(count=300)
        wait_until(lambda: client.stats.quotes_delivered == 2 * 301)
        client.close()
    bars = BarBuilder("5s", replayed)
    recording.replay(path, on_quote=bars.on_quote, speed="max")
    bars.flush()
    other = FirstockWS("REPLAY", lambda: "", reconcile=False)
    with BarBuilder("5s", attached).attach(other):
        recording.replay(path, other, speed="max")
        assert timers() == []
    assert live.bars == replayed.bars == attached.bars
    texts = [record.frame.decode() for record in recording.Replay(path) if record.kind == "frame"]
    assert as_figures(replayed.bars) == computed(texts, 5)
    assert len(replayed.bars) > 20
