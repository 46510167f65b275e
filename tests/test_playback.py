"""A server that plays a recording, to our client and to any other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import connect as dial

from firstock_ws import FirstockWS, Recorder, RecordingError
from firstock_ws.feed.feed import frame_reader
from firstock_ws.simulator import Playback, Simulator
from firstock_ws.simulator.audience import Audience
from tests.recordings import frames_of, play
from tests.support import DEADLINE, KEY, Watched, connect, wait_until

NIFTY, RELIANCE, OPTION = "NSE:26000", "NSE:2885", "NFO:44278"
QUERY = "?userId=anyone&jKey=anything&source=developer-api"


def session(sim: Simulator, path: Path, url: str) -> Path:
    client = FirstockWS("AB1234", KEY, url=url, tokens=[NIFTY, RELIANCE], option_greeks_tokens=OPTION)
    watched = Watched(client)
    with Recorder(client, path), client:
        connect(client, sim)
        watched.wait("on_quote", 2)
        sim.tick(NIFTY, RELIANCE, count=10)
        sim.tick()
        sim.push("not json")
        sim.push(b"\x01\x02", binary=True)
        sim.place_order(RELIANCE)
        watched.wait("on_position_update", 2)
        watched.wait("on_quote", 24)
        watched.wait("on_option_greeks", 2)
    return path


@pytest.fixture(params=["v1", "v2"])
def day(request: pytest.FixtureRequest, sim: Simulator, tmp_path: Path) -> Path:
    return session(sim, tmp_path / "day.jsonl", sim.url if request.param == "v1" else sim.url_v2)


@pytest.fixture
def playback(day: Path) -> Iterator[Playback]:
    with Playback(day, "max") as playback:
        yield playback


def listen(url: str, *actions: dict[str, str], after: int = 0) -> tuple[list[str | bytes], int | None]:
    """Return all that a plain client gets, and the close code; it speaks when it has `after` frames."""

    async def run() -> tuple[list[str | bytes], int | None]:
        got: list[str | bytes] = []
        async with dial(url + QUERY) as socket:
            try:
                while True:
                    got.append(await asyncio.wait_for(socket.recv(), DEADLINE))
                    if len(got) == after + 1:
                        for action in actions:
                            await socket.send(json.dumps(action))
            except websockets.ConnectionClosed as closed:
                return got, closed.rcvd.code if closed.rcvd else None

    return asyncio.run(run())


def subscribe(tokens: str, action: str = "subscribe") -> dict[str, str]:
    return {"action": action, "tokens": tokens}


def test_a_client_that_asks_for_nothing_gets_everything(playback: Playback, day: Path) -> None:
    for url in (playback.url, playback.url_v2):
        got, code = listen(url)
        assert code == 1000
        assert json.loads(got[0])["status"] == "success"
        texts = [data.encode() if isinstance(data, str) else data for data in got]
        assert texts == frames_of(day)


def test_only_what_is_subscribed_is_sent(playback: Playback, day: Path) -> None:
    got, code = listen(playback.url, subscribe(RELIANCE))
    assert code == 1000
    frames = [json.loads(data) for data in got[1:] if isinstance(data, str)]
    assert len(frames) == len([data for data in got[1:] if isinstance(data, str)])
    market = [frame for frame in frames if "norenordno" not in frame and "brkname" not in frame]
    flat = [part for frame in market for part in ([frame] if "c_symbol" in frame else frame.values())]
    names = {name for frame in market for name in ([RELIANCE] if frame.get("c_symbol") == "2885" else frame)}
    assert names == {RELIANCE}
    assert len(flat) == 12
    assert sum("norenordno" in frame for frame in frames) == len(play(day).of("on_order_update")) > 0
    assert sum("brkname" in frame for frame in frames) == 2


def test_our_client_sees_what_was_recorded(playback: Playback, day: Path) -> None:
    client = FirstockWS(
        "ANY", "thing", url=playback.url, tokens=RELIANCE, option_greeks_tokens=OPTION, reconnect=False
    )
    watched = Watched(client)
    client.connect(DEADLINE)
    assert watched.wait("on_close") == [(1000, "the recording is over")]
    client.close()
    recorded = play(day)
    wanted = [quote for quote in recorded.of("on_quote") if quote.instrument == RELIANCE]
    assert watched.of("on_quote") == wanted
    assert watched.of("on_option_greeks") == recorded.of("on_option_greeks")
    assert watched.of("on_order_update") == recorded.of("on_order_update")
    assert watched.of("on_position_update") == recorded.of("on_position_update")


def test_what_was_withheld_begins_with_a_snapshot(day: Path) -> None:
    read_frame, audience = frame_reader(), Audience()
    audience.act("subscribe", NIFTY)
    frames = [frame for frame in frames_of(day)[1:] if frame[:1] == b"{"]
    sent: list[bytes] = []
    for frame in frames[:12]:
        sent += audience.missed() + audience.cut(frame, read_frame(frame))
    audience.act("subscribe", RELIANCE)
    snapshots = audience.missed()
    assert len(snapshots) == 1
    fields = json.loads(snapshots[0])
    assert (fields["c_exch_seg"], fields["c_symbol"]) == ("NSE", "2885")
    assert {"i_last_traded_price", "i_closing_price", "best_buy", "i_volume_traded_today"} <= set(fields)
    assert audience.missed() == []


def test_a_recording_that_begins_in_the_middle(sim: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    client = FirstockWS("AB1234", KEY, url=sim.url, tokens=[NIFTY, RELIANCE])
    watched = Watched(client)
    with client:
        connect(client, sim)
        watched.wait("on_quote", 2)
        with Recorder(client, path):
            sim.tick(count=3)
            watched.wait("on_quote", 8)
    with Playback(path, "max") as playback:
        other = FirstockWS("ANY", "thing", url=playback.url, tokens=RELIANCE, reconnect=False)
        seen = Watched(other)
        other.connect(DEADLINE)
        seen.wait("on_close")
        other.close()
    wanted = [quote for quote in watched.of("on_quote") if quote.instrument == RELIANCE]
    assert seen.of("on_quote") == wanted


def test_several_clients_get_it_each_from_the_start(playback: Playback) -> None:
    async def both() -> list[list[Any]]:
        return await asyncio.gather(*(asyncio.to_thread(listen, playback.url) for _ in range(3)))

    first, second, third = asyncio.run(both())
    assert first == second == third


def test_actions_that_are_none_are_ignored(playback: Playback, day: Path) -> None:
    got, code = listen(playback.url, {"action": "dance"}, {"action": "dance", "tokens": NIFTY}, {"tokens": "x"})
    assert code == 1000
    assert len(got) == len(frames_of(day))


def test_unsubscribing_ends_it(playback: Playback) -> None:
    got, _ = listen(playback.url, subscribe(NIFTY), subscribe(NIFTY, "unsubscribe"))
    text = " ".join(data for data in got if isinstance(data, str))
    assert '"c_symbol":"26000"' not in text
    assert "norenordno" in text
    greeks, _ = listen(playback.url, subscribe(OPTION, "subscribe-option-greeks"))
    assert any("gamma" in data for data in greeks if isinstance(data, str))


def test_other_paths_are_refused_and_bad_arguments_too(playback: Playback, day: Path, tmp_path: Path) -> None:
    with pytest.raises(websockets.InvalidStatus, match="404"):
        listen(playback.url.replace("/ws", "/other"))
    for speed in (0, -1, "fast", True):
        with pytest.raises((ValueError, TypeError)):
            Playback(day, speed)  # type: ignore[arg-type]
    with pytest.raises(RecordingError):
        Playback(tmp_path / "none.jsonl")
    with pytest.raises(RuntimeError, match="no port"):
        _ = Playback(day).url


def test_it_stops_in_the_middle_and_starts_again(day: Path) -> None:
    playback = Playback(day, speed=1e-9)
    with playback:
        client = FirstockWS("ANY", "thing", url=playback.url, reconnect=False)
        client.connect(DEADLINE)
        playback.stop()
        wait_until(lambda: not client.is_connected)
        client.close()
        port = playback.port
        playback.start()
        assert playback.start() is playback
        assert playback.port == port
    playback.stop()
