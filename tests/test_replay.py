"""A replay calls what was called live: the same callbacks, with the same contents, in the same order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from firstock_ws import (
    IST,
    FirstockWS,
    OrderUpdate,
    Quote,
    Recorder,
    RecordingError,
    Replay,
    State,
    UsageError,
    ledger,
    replay,
)
from firstock_ws.recording import playing
from firstock_ws.simulator import Simulator
from tests.recordings import contents, play
from tests.support import DEADLINE, KEY, Watched, connect, wait_until

NIFTY, RELIANCE, OPTION = "NSE:26000", "NSE:2885", "NFO:44278"
SETTLE = 0.1
Step = tuple[Any, ...]

STEPS = st.one_of(
    st.tuples(st.just("tick"), st.integers(1, 4)),
    st.tuples(st.just("tick"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["place", "fill", "cancel", "modify"]), st.integers(0, 3)),
    st.tuples(st.just("lose"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["hold", "release", "read", "odd", "list", "bad field", "refusal"])),
    st.tuples(st.sampled_from(["drop", "reset", "hang_up"])),
    st.tuples(st.sampled_from(["subscribe", "unsubscribe"]), st.sampled_from([NIFTY, RELIANCE, "BSE:1"])),
    st.tuples(st.sampled_from(["greeks", "no greeks"])),
    st.just(("record",)),
)
TOLD: list[Step] = [
    ("tick", 2),
    ("greeks",),
    ("place", 0),
    ("lose", 2),
    ("fill", 0),
    ("read",),
    ("read",),
    ("record",),
]
TOLD += [
    ("unsubscribe", NIFTY),
    ("tick", 3),
    ("hold",),
    ("fill", 0),
    ("read",),
    ("read",),
    ("read",),
    ("release",),
]
TOLD += [
    ("bad field",),
    ("subscribe", NIFTY),
    ("tick", 2),
    ("reset",),
    ("odd",),
    ("tick", 2),
    ("cancel", 0),
    ("list",),
]


class Session:
    """A live session over a simulator, recorded from its beginning, and once more from the middle."""

    def __init__(self, sim: Simulator, folder: Path, url: str) -> None:
        self.sim = sim
        self.folder = folder
        self.client = FirstockWS(
            "AB1234",
            KEY,
            url=url,
            rest_url=sim.rest_url,
            tokens=[NIFTY, RELIANCE],
            reconnect_max_delay=0.02,
            reconcile_interval=0.02,
        )
        self.watched = Watched(self.client)
        self.recorders = [Recorder(self.client, folder / "whole.jsonl.zst").start()]
        self.orders: list[str] = []

    def run(self, plan: list[Step]) -> None:
        try:
            connect(self.client, self.sim)
            for step in plan:
                self.do(step)
            self.sim.lose_updates(0)
            self.sim.release_updates()
            wait_until(lambda: self.client.is_connected)
            self.sim.tick(count=2)
            self.do(("read",))
        finally:
            self.client.close()
            for recorder in self.recorders:
                recorder.close()

    def do(self, step: Step) -> None:
        what, sim, client = step[0], self.sim, self.client
        if what == "tick":
            sim.tick(count=step[1])
        elif what == "place":
            self.orders.append(sim.place_order(RELIANCE, "B", 50, 100.0, fill=False))
        elif what in ("fill", "cancel", "modify"):
            self._change_order(what, step[1])
        elif what == "lose":
            sim.lose_updates(step[1])
        elif what in ("hold", "release"):
            getattr(sim, f"{what}_updates")()
        elif what == "read":
            seen = client.stats.reconciles
            wait_until(lambda: client.stats.reconciles > seen)
        elif what in ("drop", "reset", "hang_up"):
            seen = client.stats.connections
            getattr(sim, what)()
            wait_until(lambda: client.stats.connections > seen)
        elif what in ("subscribe", "unsubscribe"):
            getattr(client, what)(step[1])
        elif what == "greeks":
            client.subscribe_option_greeks(OPTION)
        elif what == "no greeks":
            client.unsubscribe_option_greeks(OPTION)
        elif what == "record":
            name = f"part{len(self.recorders)}.jsonl"
            self.recorders.append(Recorder(client, self.folder / name).start())
        else:
            self._push(what)

    def _push(self, what: str) -> None:
        flat = '{"c_exch_seg":"NSE","c_symbol":"2885",%s}'
        if what == "odd":
            self.sim.push("not json\nat all")
            self.sim.push(b"\xff\xfe", binary=True)
            self.sim.push('{"NSE:2885": {"i_last_traded_price": 123400,\n "i_volume_traded_today": 7}}')
        elif what == "list":
            self.sim.push("[" + flat % '"i_last_traded_price":1.0e5' + ',{"norenordno":"1","qty":"7"},7]')
        elif what == "bad field":
            self.sim.push(flat % '"i_last_traded_price":"many","i_low_price":9')
        else:
            self.sim.push('{"status":"failed","message":"not this one"}')

    def _change_order(self, what: str, number: int) -> None:
        if not self.orders:
            return
        order = self.orders[number % len(self.orders)]
        try:
            if what == "fill":
                self.sim.fill_order(order, 5)
            elif what == "cancel":
                self.sim.cancel_order(order)
            else:
                self.sim.modify_order(order, price=101.0)
        except ValueError:
            assert self.sim.order_history(order)[-1]["status"] in ("COMPLETE", "CANCELED")


@pytest.fixture(scope="module")
def quick_books() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr(ledger, "SETTLE", SETTLE)
    patch.setattr("firstock_ws.reconcile.SETTLE", SETTLE)
    yield
    patch.undo()


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@example(plan=TOLD, v2=False)
@example(plan=TOLD, v2=True)
@given(plan=st.lists(STEPS, min_size=5, max_size=25), v2=st.booleans())
def test_a_replay_calls_what_was_called_live(
    quick_books: None, tmp_path_factory: pytest.TempPathFactory, plan: list[Step], v2: bool
) -> None:
    folder = tmp_path_factory.mktemp("session")
    with Simulator(users={"AB1234": KEY}, rate=0, order_interval=None, seed=1) as sim:
        session = Session(sim, folder, sim.url_v2 if v2 else sim.url)
        session.run(plan)
    live = contents(session.watched.calls)
    whole = folder / "whole.jsonl.zst"
    for fast_path in (True, False):
        watched = play(whole, FirstockWS("AB1234", lambda: "", fast_path=fast_path))
        assert contents(watched.calls) == live
    # The recorders that began in the middle know the end of it.
    for recorder in session.recorders[1:]:
        path = recorder.stats.file
        calls = contents(play(path).calls)
        if next(iter(Replay(path))).values["connected"]:
            assert calls.pop(0) == ("on_connect", [])
        assert calls == live[len(live) - len(calls) :]
        assert "on_quote" in [name for name, _ in calls] or not session.client.subscriptions


class Trader(FirstockWS):
    """A strategy that subscribes on its way, and looks at its own client."""

    def __init__(self, **options: Any) -> None:
        super().__init__("AB1234", options.pop("jkey", lambda: ""), tokens=NIFTY, **options)
        self.seen: list[Any] = []
        self.quoted = 0

    def keeps_up(self, sim: Simulator) -> bool:
        """Whether nothing is under way: what it wants is subscribed, and of what came all is told."""
        subscribed = sim.subscriptions() == self.subscriptions == set(self.quotes)
        return subscribed and self.quoted == self.stats.quotes_received

    def on_connect(self) -> None:
        self.seen.append(("up", self.state if self.state is not State.CONNECTING else State.CONNECTED))

    def on_quote(self, quote: Quote) -> None:
        self.seen.append((quote.to_dict(), sorted(self.subscriptions), quote == self.quotes[quote.instrument]))
        if len(self.seen) == 4:
            self.subscribe(RELIANCE)
        if len(self.seen) == 8:
            self.unsubscribe(NIFTY)
        self.quoted += 1

    def on_order_update(self, order: OrderUpdate) -> None:
        self.seen.append(order.status)

    def on_close(self, code: int, reason: str) -> None:
        self.seen.append((code, reason))


def test_a_strategy_runs_unchanged(sim: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    live = Trader(jkey=KEY, url=sim.url)
    with Recorder(live, path), live:
        connect(live, sim)
        for count in range(1, 14):
            wait_until(lambda: live.keeps_up(sim))
            name, quoted = sorted(live.subscriptions)[-1], live.quoted
            sim.tick(name)
            wait_until(lambda: live.quoted > quoted)  # noqa: B023
            if count == 5:
                sim.place_order(RELIANCE)
        wait_until(lambda: live.seen.count("COMPLETE") == 1)
    played = Trader()
    found = replay(path, played, speed="max")
    assert found.client is played
    assert played.seen == live.seen
    assert len(played.seen) > 15
    assert played.subscriptions == live.subscriptions == {RELIANCE}
    assert played.quotes["NSE:2885"] == live.quotes["NSE:2885"]
    assert set(played.quotes) == set(live.quotes)
    stats, original = played.stats, live.stats
    for name in (
        "frames",
        "connections",
        "quotes_received",
        "quotes_delivered",
        "order_updates",
        "callback_errors",
    ):
        assert getattr(stats, name) == getattr(original, name), name
    assert stats.last_frame_at == original.last_frame_at or (
        stats.last_frame_at is not None
        and original.last_frame_at is not None
        and abs(stats.last_frame_at - original.last_frame_at) < timedelta(seconds=1)
    )


@pytest.fixture
def day(sim: Simulator, tmp_path: Path) -> Path:
    """A recording of three instruments, a V1 session, two of whose frames have greeks."""
    path = tmp_path / "day.jsonl.zst"
    client = FirstockWS("AB1234", KEY, url=sim.url, tokens=[NIFTY, RELIANCE, "BSE:1"], option_greeks_tokens=OPTION)
    watched = Watched(client)
    with Recorder(client, path), client:
        connect(client, sim)
        watched.wait("on_quote", 3)
        watched.wait("on_option_greeks")
        sim.tick(count=10)
        watched.wait("on_quote", 33)
        watched.wait("on_option_greeks", 11)
        sim.place_order(RELIANCE)
        watched.wait("on_position_update", 2)
    return path


@pytest.mark.parametrize("late", [False, True])
def test_trading_symbols_are_those_of_the_recording(sim: Simulator, tmp_path: Path, late: bool) -> None:
    path, name = tmp_path / "day.jsonl", "NSE:RELIANCE-EQ"
    client = FirstockWS("AB1234", KEY, url=sim.url, rest_url=sim.rest_url, tokens=[name] if late else [])
    watched = Watched(client)
    with client:
        client.connect()
        with Recorder(client, path):
            client.subscribe([name, "BSE:1"])
            sim.wait_for(lambda sim: len(sim.subscriptions()) == 2)
            watched.wait("on_quote", 2)
            sim.tick(count=3)
            watched.wait("on_quote", 8)
    player = FirstockWS("AB1234", lambda: "", url="ws://127.0.0.1:9/ws")
    replayed = Watched(player)
    replay(path, player, speed="max")
    symbols = {quote.instrument: quote.symbol for quote in replayed.of("on_quote")}
    assert symbols == {RELIANCE: "RELIANCE-EQ", "BSE:1": None}
    assert player.quotes[name] is player.quotes[RELIANCE]
    picky = FirstockWS("AB1234", lambda: "", url="ws://127.0.0.1:9/ws")
    replay(path, picky, speed="max", on_quote=lambda quote: picky.subscribe(name))
    assert picky.subscriptions == {RELIANCE}
    data = Replay(path).to_frame(name.lower(), ["last_price"])
    assert set(data["instrument"]) == {RELIANCE}
    assert set(data["symbol"]) == {"RELIANCE-EQ"}


def test_a_client_gets_only_what_it_subscribed_to(day: Path) -> None:
    everything = play(day)
    assert {quote.instrument for quote in everything.of("on_quote")} == {NIFTY, RELIANCE, "BSE:1"}
    client = FirstockWS("AB1234", lambda: "", tokens=RELIANCE)
    watched = play(day, client)
    wanted = [quote for quote in everything.of("on_quote") if quote.instrument == RELIANCE]
    assert watched.of("on_quote") == wanted
    assert watched.of("on_option_greeks") == []
    assert len(watched.of("on_order_update")) == len(everything.of("on_order_update")) > 0
    assert set(client.quotes) == {RELIANCE}
    greeks = play(day, FirstockWS("AB1234", lambda: "", option_greeks_tokens=OPTION))
    assert greeks.of("on_quote") == []
    assert greeks.of("on_option_greeks") == everything.of("on_option_greeks") != []


def test_what_is_subscribed_on_the_way_is_whole_at_once(day: Path) -> None:
    client = FirstockWS("AB1234", lambda: "", tokens=NIFTY)
    watched = Watched(client, ("on_order_update",))
    quotes: list[Quote] = []

    def on_quote(quote: Quote) -> None:
        quotes.append(quote)
        if len(quotes) == 5:
            client.subscribe(RELIANCE)

    replay(day, client, speed="max", on_quote=on_quote)
    shares = [quote for quote in quotes if quote.instrument == RELIANCE]
    whole = [quote for quote in play(day).of("on_quote") if quote.instrument == RELIANCE]
    assert 0 < len(shares) < len(whole)
    assert shares == whole[-len(shares) :]
    assert watched.of("on_order_update")


def test_a_client_that_subscribes_when_connected_gets_no_more_than_that(day: Path) -> None:
    client = FirstockWS("AB1234", lambda: "")
    watched = Watched(client)
    replay(day, client, speed="max", on_connect=lambda: client.subscribe("BSE:1"))
    assert {quote.instrument for quote in watched.of("on_quote")} == {"BSE:1"}


def test_one_that_subscribes_when_the_replay_begins_in_the_middle(day: Path) -> None:
    client = FirstockWS("AB1234", lambda: "")
    watched = Watched(client)
    times = [record.time for record in Replay(day) if record.kind == "frame"]
    replay(
        day,
        client,
        speed="max",
        start=times[len(times) // 2],
        on_connect=lambda: client.subscribe("BSE:1"),
    )
    assert {quote.instrument for quote in watched.of("on_quote")} == {"BSE:1"}
    assert set(client.quotes) == {"BSE:1"}


def test_start_and_end(day: Path) -> None:
    recording = Replay(day)
    quotes = [record.time for record in recording if record.kind == "frame"]
    middle = quotes[len(quotes) // 2]
    whole, late = play(day), play(day, start=middle)
    assert late.calls[0][0] == "on_connect"
    count = len(late.of("on_quote"))
    assert 0 < count < len(whole.of("on_quote"))
    assert late.of("on_quote") == whole.of("on_quote")[-count:]
    early = play(day, end=middle - timedelta(microseconds=1))
    assert contents(early.calls + late.calls[1:]) == contents(whole.calls)
    first = play(day, end=recording.started - timedelta(hours=1))
    assert first.calls == []


def test_times_of_the_clock_are_those_of_the_day_in_ist(day: Path) -> None:
    recording = Replay(day)
    whole = play(day)
    clock = recording.started.astimezone(IST).strftime("%H:%M:%S")
    assert contents(play(day, start=clock).calls) == contents(whole.calls)
    assert play(day, end="00:00" if recording.started.hour else "23:59:59").names() in ([], whole.names())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"speed": 0}, ValueError),
        ({"speed": "fast"}, ValueError),
        ({"speed": True}, ValueError),
        ({"start": "9 o'clock"}, ValueError),
        ({"start": "10:00", "end": "09:00"}, ValueError),
        ({"start": 5}, TypeError),
        ({"on_tick": print}, TypeError),
        ({"client": "client"}, TypeError),
    ],
)
def test_bad_arguments_are_refused(day: Path, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        replay(day, **options)


def test_a_time_without_a_zone_is_refused(day: Path) -> None:
    with pytest.raises(ValueError, match="time zone"):
        replay(day, start=Replay(day).started.replace(tzinfo=None))


def test_speed_is_by_arrival_times(day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, waits = [0.0], []

    class Clockwork(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            now[0] += timeout
            return False

    monkeypatch.setattr(playing, "time", SimpleNamespace(monotonic=lambda: now[0]))
    pace, records = playing._Pace(4.0, Clockwork()), list(Replay(day))
    for record in records:
        pace.wait(record)
    assert sum(waits) == pytest.approx((records[-1].clock - records[0].clock) / 1e9 / 4)
    # The next recorder's monotonic clock may be another computer's: the wall clock tells how long it was between.
    pace.wait(records[0]._replace(clock=5, wall=records[-1].wall + 4_000_000_000))
    assert now[0] == pytest.approx((records[-1].clock - records[0].clock) / 1e9 / 4 + 1)


def test_close_in_a_callback_ends_the_replay(day: Path) -> None:
    client = FirstockWS("AB1234", lambda: "")
    watched = Watched(client)
    replay(day, client, speed="max", on_option_greeks=lambda greeks: client.close())
    assert watched.names()[-1] == "on_close"
    assert watched.of("on_close") == [(1000, "closed by the client")]
    assert 0 < len(watched.of("on_quote")) < 33
    assert client.state is State.STOPPED


def test_close_from_another_thread_ends_a_slow_replay(day: Path) -> None:
    client = FirstockWS("AB1234", lambda: "")
    watched = Watched(client)
    thread = threading.Thread(target=lambda: replay(day, client, speed=1e-6))
    thread.start()
    wait_until(lambda: client.state is not State.STOPPED)
    client.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert watched.names() == []


def test_ctrl_c_ends_a_replay_cleanly(day: Path) -> None:
    client = FirstockWS("AB1234", lambda: "")
    watched = Watched(client)

    def interrupt(quote: Quote) -> None:
        raise KeyboardInterrupt

    replay(day, client, speed="max", on_quote=interrupt)
    assert watched.names() == ["on_connect", "on_close"]
    assert client.state is State.STOPPED


def test_what_a_callback_raises_is_told_as_live(day: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(client := FirstockWS("AB1234", lambda: "", tokens=NIFTY))

    def fail(quote: Quote) -> None:
        raise RuntimeError("mine")

    replay(day, client, speed="max", on_quote=fail)
    assert [str(error) for error in watched.of("on_error")] == ["mine"] * client.stats.callback_errors
    assert client.stats.callback_errors == client.stats.quotes_delivered > 0
    assert "the callback on_quote raised RuntimeError" in caplog.text


def test_callbacks_are_called_on_the_calling_thread(day: Path) -> None:
    assert play(day).threads == {threading.current_thread().name}


def test_a_client_that_played_does_not_connect(day: Path, sim: Simulator) -> None:
    client = FirstockWS("AB1234", KEY, url=sim.url)
    refused: list[type[BaseException]] = []

    def try_it() -> None:
        for call in (client.connect, client.run_forever, lambda: replay(day, client)):
            with pytest.raises(UsageError, match="client"):
                call()
            refused.append(UsageError)

    replay(day, client, speed="max", on_connect=try_it)
    assert refused == [UsageError] * 3
    with pytest.raises(UsageError, match="make a new client"):
        client.connect()
    with pytest.raises(UsageError, match="record a live one"):
        Recorder(client, day.with_name("x.jsonl")).start()
    # It may play again, from the start.
    assert contents(play(day, client).calls) == contents(play(day).calls)


def test_a_connected_client_is_not_played_to(
    day: Path, sim: Simulator, make_client: Callable[..., FirstockWS]
) -> None:
    client = make_client()
    connect(client, sim)
    with pytest.raises(UsageError, match="close"):
        replay(day, client)
    assert client.is_connected
    client.close()
    with Recorder(client, day.with_name("other.jsonl")), pytest.raises(UsageError, match="recorder"):
        replay(day, client)
    assert play(day, client).of("on_quote")


@pytest.mark.parametrize("name", ["none.jsonl", "none.jsonl.zst"])
def test_what_is_no_recording_is_said(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(RecordingError, match="can't be read: No such file"):
        Replay(path)
    for content in (b"", b"{}\n", b'{"t":1,"w":2,"afresh":true}\n', b"\x00" * 100, b"no line at all"):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match="no recording"):
            replay(path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_bytes(b'{"t":1,"w":2,"recording":99}\n')
    with pytest.raises(RecordingError, match="pip install -U firstock-ws"):
        Replay(path)


def test_to_frame_agrees_with_the_quotes(day: Path) -> None:
    pandas = pytest.importorskip("pandas")
    quotes: list[Quote] = play(day).of("on_quote")
    data = Replay(day).to_frame()
    assert len(data) == len(quotes) == 33
    assert data.index.name == "time"
    assert str(data.index.tz) == "Asia/Kolkata"
    walls = [record.wall for record in Replay(day) if record.kind == "frame" and b"best_buy" in record.frame]
    assert set(data.index.astype("int64")) >= set(walls[:3])
    for quote, (_, row) in zip(quotes, data.iterrows(), strict=True):
        for name in data.columns:
            side, _, part = name.partition("_")
            if side in ("bid", "ask"):
                level = getattr(quote, f"best_{side}")
                expected = level and getattr(level, part or "price")
            else:
                expected = getattr(quote, name)
            assert (pandas.isna(row[name]) and expected is None) or row[name] == expected, name
    assert str(data["volume"].dtype) == "Int64"
    assert str(data["last_price"].dtype) == "float64"
    assert str(data["instrument"].dtype) == "category"
    assert str(data["feed_time"].dtype) == "datetime64[ns, Asia/Kolkata]"


def test_to_frame_takes_instruments_and_fields(day: Path) -> None:
    pytest.importorskip("pandas")
    data = Replay(day).to_frame(RELIANCE, ["volume", "bid"])
    assert list(data.columns) == ["instrument", "volume", "bid"]
    assert set(data["instrument"]) == {RELIANCE}
    assert len(data) == 11
    assert Replay(day).to_frame("NSE:1").empty
    with pytest.raises(ValueError, match="no field"):
        Replay(day).to_frame(fields=["price"])
    with pytest.raises(ValueError, match="no instrument"):
        Replay(day).to_frame(instruments=["RELIANCE"])


def test_to_frame_in_several_pieces(day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    whole = Replay(day).to_frame()
    monkeypatch.setattr("firstock_ws.recording.frame._ROWS", 7)
    assert Replay(day).to_frame().equals(whole)


_NOTHING_KNOWN = {
    **{"t": 1, "w": 1_767_325_500_000_000_000, "recording": 1, "connected": True, "state": "connected"},
    **{name: [] for name in ("subscriptions", "option_greeks_subscriptions", "fresh", "muted", "reported")},
    **{name: {} for name in ("quotes", "hidden", "symbols")},
}


def _write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    moment = {"t": 2, "w": _NOTHING_KNOWN["w"]}
    path.write_text("".join(json.dumps({**moment, **line}) + "\n" for line in (_NOTHING_KNOWN, *lines)))
    return path


def test_a_recording_calls_nothing_but_callbacks(tmp_path: Path) -> None:
    class Strategy(FirstockWS):
        bought = 0

        def buy(self, count: int) -> None:
            self.bought += count

    path = _write_lines(tmp_path / "evil.jsonl", {"event": "buy", "args": [1_000], "state": "connected"})
    client = Strategy("AB1234", lambda: "")
    assert replay(path, client, speed="max").torn
    assert client.bought == 0


@pytest.mark.parametrize(
    "line",
    [
        {"event": "on_reconnect", "args": [1, 1.0], "state": "nonsense"},
        {"event": "on_reconnect", "state": "connected"},
        {"event": "on_error", "args": [{"x": 1}], "state": "connected"},
        {"book": "order", "entry": []},
        {"wanted": "subscribe"},
        {"lost": 5},
    ],
)
def test_a_line_that_makes_no_sense_is_said(tmp_path: Path, line: dict[str, Any]) -> None:
    path = _write_lines(tmp_path / "odd.jsonl", line)
    with pytest.raises(RecordingError, match="makes no sense"):
        play(path)


def test_half_a_beginning_in_the_middle_ends_the_recording(tmp_path: Path) -> None:
    path = _write_lines(tmp_path / "half.jsonl", {"recording": 1})
    assert Replay(path).torn
    assert play(path).names() == ["on_connect"]


def test_a_newer_version_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = _write_lines(tmp_path / "new.jsonl", {"recording": 99})
    with pytest.raises(RecordingError, match="pip install -U firstock-ws"):
        play(path)
