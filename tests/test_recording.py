"""What a recorder writes is on the disk, whole or cut off, whatever happens; and the stream never feels it."""

from __future__ import annotations

import errno
import gc
import io
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from firstock_ws import IST, FirstockWS, Recorder, RecordingError, Replay, UsageError
from firstock_ws.recording import writer
from firstock_ws.recording.sink import open_private
from firstock_ws.simulator import Simulator
from tests.recordings import contents, frames_of, play
from tests.support import DEADLINE, KEY, Watched, connect, unmeasured, wait_until

ROOT = Path(__file__).resolve().parent.parent
NIFTY, RELIANCE = "NSE:26000", "NSE:2885"
NAMES = ["day.jsonl", "day.jsonl.zst"]
ClientMaker = Callable[..., FirstockWS]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PAUSE", 0.02)
    monkeypatch.setattr(writer, "RETRY", 0.02)
    monkeypatch.setattr(writer, "IDLE", 0.02)


@pytest.fixture
def client(sim: Simulator, make_client: ClientMaker) -> FirstockWS:
    return make_client(tokens=[NIFTY, RELIANCE])


def tick(sim: Simulator, watched: Watched, count: int = 1) -> None:
    """Move the market, and wait until the callbacks know."""
    seen = len(watched.of("on_quote"))
    sim.tick(count=count)
    watched.wait("on_quote", seen + count * len(sim.subscriptions()))


def record(client: FirstockWS, sim: Simulator, path: Path, count: int = 3) -> Watched:
    """Record a session of `count` ticks."""
    watched = Watched(client)
    with Recorder(client, path):
        connect(client, sim)
        watched.wait("on_quote", len(client.subscriptions))
        tick(sim, watched, count)
        client.close()
    return watched


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_is_in_the_file(sim: Simulator, client: FirstockWS, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    watched = Watched(client)
    with Recorder(client, path) as recorder:
        connect(client, sim)
        watched.wait("on_quote", 2)
        tick(sim, watched, 5)
        sim.push("not json")
        sim.push(b"\x00\xff", binary=True)
        sim.push(b'{"text that is no UTF-8": "\xff"}')
        watched.wait("on_error", 3)
        client.close()
    stats = recorder.stats
    assert stats.frames == client.stats.frames == len(frames_of(path))
    assert stats.bytes == client.stats.bytes == sum(map(len, frames_of(path)))
    assert (stats.dropped, stats.waiting, stats.error, stats.file) == (0, 0, None, path)
    assert stats.written == path.stat().st_size
    assert [frame for frame in frames_of(path) if frame[:1] == b"\x00"] == [b"\x00\xff"]
    assert contents(play(path).calls) == contents(watched.calls)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or os.name == "nt"
    if name.endswith("l"):
        assert all(isinstance(json.loads(line), dict) for line in path.read_bytes().splitlines())
    recorder.close()
    with pytest.raises(UsageError, match="make a new one"):
        recorder.start()


def test_the_times_are_those_of_the_arrival(sim: Simulator, client: FirstockWS, tmp_path: Path) -> None:
    before = datetime.now(IST)
    record(client, sim, tmp_path / "day.jsonl")
    recording = Replay(tmp_path / "day.jsonl")
    times = [entry.time for entry in recording]
    assert before <= times[0] == recording.started
    assert times == sorted(times)
    assert times[-1] == recording.ended <= datetime.now(IST)
    clocks = [entry.clock for entry in recording]
    assert clocks == sorted(clocks)


def test_it_begins_in_the_middle_with_what_is_known(sim: Simulator, client: FirstockWS, tmp_path: Path) -> None:
    watched = Watched(client)
    connect(client, sim)
    watched.wait("on_quote", 2)
    tick(sim, watched, 2)
    client.unsubscribe(RELIANCE)
    assert sim.wait_for(lambda sim: sim.subscriptions() == {NIFTY})
    first = len(watched.calls)
    with Recorder(client, tmp_path / "day.jsonl"):
        tick(sim, watched, 2)
        client.close()
    played = play(tmp_path / "day.jsonl")
    assert played.calls[0] == ("on_connect", ())
    assert contents(played.calls[1:]) == contents(watched.calls[first:])
    assert len(played.of("on_quote")) >= 2
    assert Replay(tmp_path / "day.jsonl").instruments == {NIFTY}


def test_what_is_said_once_a_connection_is_not_said_again(
    sim: Simulator, client: FirstockWS, tmp_path: Path
) -> None:
    bad = '{"c_exch_seg":"NSE","c_symbol":"2885","i_last_traded_price":"many"}'
    watched = Watched(client)
    connect(client, sim)
    sim.push(bad)
    watched.wait("on_error")
    with Recorder(client, tmp_path / "day.jsonl"):
        sim.push(bad)
        tick(sim, watched)
        client.close()
    assert len(watched.of("on_error")) == 1
    assert play(tmp_path / "day.jsonl").of("on_error") == []


class Slow:
    """A tap that keeps the reading thread where it tells of something, until let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def begin(self) -> None:
        if threading.current_thread().name == "firstock-ws-io":
            self.entered.set()
            assert self.let_go.wait(DEADLINE)

    def _nothing(self, *args: object) -> None:
        pass

    frames = binary = afresh = event = book = wanted = _nothing


def test_taps_are_told_of_one_thing_at_a_time(sim: Simulator, client: FirstockWS) -> None:
    watched = Watched(client)
    connect(client, sim)
    watched.wait("on_quote", 2)
    tap = Slow()
    client._taps.add(tap)
    sim.tick(NIFTY)
    assert tap.entered.wait(DEADLINE)
    # The reading thread is in the middle of a frame: nobody else gets in between.
    other = threading.Thread(target=lambda: client.unsubscribe(NIFTY))
    other.start()
    other.join(0.2)
    assert other.is_alive()
    assert NIFTY in client.subscriptions
    tap.let_go.set()
    other.join(DEADLINE)
    assert NIFTY not in client.subscriptions
    assert len(watched.wait("on_quote", 3)) == 3
    client._taps.remove(tap)


def test_many_instruments(sim: Simulator, make_client: ClientMaker, tmp_path: Path) -> None:
    tokens = [f"NSE:{number}" for number in range(1, 1001)]
    client = make_client(tokens=tokens, url=sim.url_v2)
    watched = Watched(client, ("on_quote",))
    connect(client, sim)
    watched.wait("on_quote", 1000)
    with Recorder(client, tmp_path / "day.jsonl.zst"):
        tick(sim, watched, 2)
        client.close()
    wanted = watched.of("on_quote")[1000:]
    assert play(tmp_path / "day.jsonl.zst").of("on_quote") == wanted
    assert Replay(tmp_path / "day.jsonl.zst").instruments == set(tokens)


def test_several_recorders_at_once(sim: Simulator, client: FirstockWS, tmp_path: Path) -> None:
    with Recorder(client, tmp_path / "outer.jsonl"):
        record(client, sim, tmp_path / "inner.jsonl.zst")
    assert frames_of(tmp_path / "outer.jsonl") == frames_of(tmp_path / "inner.jsonl.zst") != []
    assert client._taps.now == ()


def test_two_recorders_do_not_share_a_file(client: FirstockWS, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Recorder(client, tmp_path / "day.jsonl"), pytest.raises(RecordingError, match="another recorder"):
        Recorder(client, tmp_path / "day.jsonl").start()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_keeps_no_file_of_its_parents(sim: Simulator, client: FirstockWS, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    recorder = Recorder(client, path).start()
    go_on, let_go = os.pipe()
    with warnings.catch_warnings():
        # That threads run is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # As the end of its block in the child would.
        recorder.close()
        os.close(let_go)
        os.read(go_on, 1)
        os._exit(0)
    try:
        connect(client, sim)
        recorder.close()
        # The child lives; the file is free all the same, and the child has written nothing to it.
        with Recorder(client, path):
            pass
        assert [record.kind for record in Replay(path)].count("recording") == 2
    finally:
        os.close(let_go)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("name", NAMES)
def test_no_key_gets_into_a_file(sim: Simulator, client: FirstockWS, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    watched = Watched(client)
    with Recorder(client, path):
        connect(client, sim)
        sim.push(f"a frame with {KEY} in it")
        sim.push(f'{{"c_exch_seg":"NSE","c_symbol":"2885","i_low_price":5,"jKey":"{KEY}"}}')
        sim.push(KEY.encode() + b"\xff", binary=True)
        sim.push(KEY.encode() + b"\xff")
        sim.push(f'{{"status":"failed","message":"no, {KEY}"}}')
        sim.push(f'{{"norenordno":"1","status":"OPEN","remarks":"{KEY}"}}')
        watched.wait("on_order_update")
        sim.drop(4000, f"key {KEY}")
        watched.wait("on_close")
    for entry in Replay(path):
        assert KEY.encode() not in entry.frame
        assert KEY not in repr(entry)
    if name == "day.jsonl":
        assert KEY not in path.read_text()
    assert play(path).of("on_order_update")[0].remarks == "***"


# --- what is on the disk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_torn_tail_is_cut_off_wherever_it_is_torn(
    sim: Simulator, client: FirstockWS, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / name
    watched = Watched(client)
    with Recorder(client, path) as recorder:
        connect(client, sim)
        watched.wait("on_quote", 2)
        wait_until(lambda: recorder.stats.frames == client.stats.frames)
        size = path.stat().st_size
        tick(sim, watched, 2)
        client.close()
    whole, everything = path.read_bytes(), list(Replay(path))
    torn = tmp_path / f"torn.{name}"
    counts = []
    for cut in range(size, len(whole) + 1):
        torn.write_bytes(whole[:cut])
        recording = Replay(torn)
        records = list(recording)
        assert records == everything[: len(records)]
        counts.append(len(records))
        # Between two chunks, too: a second one begins where the writer's time came while this was recorded.
        whole_chunks = cut == size or whole[cut:].startswith(b"\x28\xb5\x2f\xfd")
        clean = cut == len(whole) or (whole[cut - 1 : cut] == b"\n" if name == "day.jsonl" else whole_chunks)
        assert recording.torn == (not clean and cut != size)
    assert counts == sorted(counts)
    assert counts[-1] == len(everything)
    assert "ends early" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_after_a_crash_the_file_is_gone_on_with(
    sim: Simulator, make_client: ClientMaker, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / name
    first = record(make_client(tokens=NIFTY), sim, path)
    whole = path.read_bytes()
    for torn in (whole, whole + whole[:30], whole + b"\x00" * 50, whole + whole[:3]):
        path.write_bytes(torn)
        second = record(make_client(tokens=NIFTY), sim, path)
        assert contents(play(path).calls) == contents(first.calls + second.calls)
        assert not Replay(path).torn
    assert "cut off" in caplog.text
    path.write_bytes(path.read_bytes() + bytes(50))
    rubbish = Replay(path)
    assert (rubbish.torn, rubbish.damage) == (True, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_end_is_cut_off_too(sim: Simulator, make_client: ClientMaker, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'{"t"' if name == "day.jsonl" else b"\x28\xb5\x2f")
    first = record(make_client(tokens=NIFTY), sim, path)
    whole = bytearray(path.read_bytes())
    if name != "day.jsonl":
        # A power cut can leave the right length and the wrong content.
        whole[-6:] = b"\x00" * 6
    path.write_bytes(whole)
    second = record(make_client(tokens=NIFTY), sim, path)
    calls = contents(play(path).calls)
    assert calls[-len(second.calls) :] == contents(second.calls)
    assert len(calls) <= len(first.calls) + len(second.calls)


@pytest.mark.parametrize("name", NAMES)
def test_another_file_is_left_alone(client: FirstockWS, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for content in (b"my notes, of many a line\n" * 3, b'{"a": 1}\n', b"x"):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match=r"something else|no recording"):
            Recorder(client, path).start()
        assert path.read_bytes() == content


CHILD = """
import sys
from firstock_ws import FirstockWS, Recorder
url, key, path = sys.argv[1:]
client = FirstockWS("AB1234", key, url=url, tokens=["NSE:26000", "NSE:2885"])
recorder = Recorder(client, path).start()
client.connect()
print("recording", flush=True)
sys.stdin.readline()
while True:
    if client.stats.frames == recorder.stats.frames:
        print("written", recorder.stats.frames, flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def child(sim: Simulator, tmp_path: Path) -> Iterator[Callable[[Path], Any]]:
    started: list[subprocess.Popen[str]] = []

    def start(path: Path) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, sim.url, KEY, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "recording\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(DEADLINE)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
@pytest.mark.parametrize("name", NAMES)
def test_kill_9_costs_no_more_than_what_was_not_yet_written(
    sim: Simulator, child: Callable[[Path], Any], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    for turn in range(3):
        process = child(path)
        assert sim.wait_for(lambda sim: len(sim.subscriptions()) == 2)
        sim.tick(count=20)
        process.stdin.write("\n")
        process.stdin.flush()
        written = int(process.stdout.readline().split()[1])
        assert written > 20
        # In the middle of more, which it is writing.
        sim.rate = 3000
        size = path.stat().st_size
        wait_until(lambda: path.stat().st_size > size)  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE)
        sim.rate = 0
        assert sim.wait_for(lambda sim: not sim.subscriptions())
        records = list(Replay(path))
        starts = [index for index, entry in enumerate(records) if entry.kind == "recording"]
        assert len(starts) == turn + 1
        frames = [entry for entry in records[starts[-1] :] if entry.kind == "frame"]
        assert len(frames) >= written
    assert play(path).of("on_connect") == [()] * 3


# --- rotation ----------------------------------------------------------------------------------------------------


class Calendar:
    """A wall clock that stands still until told otherwise."""

    def __init__(self, year: int, month: int, day: int, hour: int, minute: int) -> None:
        self.now = datetime(year, month, day, hour, minute, tzinfo=IST)

    def __call__(self) -> int:
        return int(self.now.timestamp()) * 1_000_000_000


def test_a_clock_that_was_wrong_costs_no_more_than_a_file(
    sim: Simulator, client: FirstockWS, tmp_path: Path
) -> None:
    calendar = Calendar(2026, 1, 5, 12, 0)
    watched = Watched(client)
    with Recorder(client, tmp_path / "day.jsonl", clock=calendar) as recorder:
        connect(client, sim)
        watched.wait("on_quote", 2)
        calendar.now = datetime(2027, 1, 5, 12, 0, tzinfo=IST)
        tick(sim, watched, 2)
        calendar.now = datetime(2026, 1, 5, 12, 1, tzinfo=IST)
        tick(sim, watched, 2)
        client.close()
    assert recorder.stats.file.name == "day.jsonl"
    assert len(frames_of(tmp_path / "day-2027-01-05.jsonl")) < len(frames_of(tmp_path / "day.jsonl"))
    assert contents(play(tmp_path / "day.jsonl").calls)[-2:] == contents(watched.calls)[-2:]


def test_each_day_has_its_file_and_each_file_is_whole(sim: Simulator, client: FirstockWS, tmp_path: Path) -> None:
    calendar = Calendar(2026, 1, 5, 23, 59)
    watched = Watched(client)
    marks = []
    with Recorder(client, tmp_path / "day.jsonl.zst", clock=calendar) as recorder:
        connect(client, sim)
        watched.wait("on_quote", 2)
        tick(sim, watched, 2)
        for day in (6, 7):
            marks.append(len(watched.calls))
            calendar.now = datetime(2026, 1, day, 0, 0, 1, tzinfo=IST)
            tick(sim, watched, 2)
            sim.place_order(RELIANCE)
            watched.wait("on_position_update", 2 * len(marks))
        client.close()
    assert recorder.stats.file.name == "day-2026-01-07.jsonl.zst"
    names = ["day.jsonl.zst", "day-2026-01-06.jsonl.zst", "day-2026-01-07.jsonl.zst"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    pieces = [play(tmp_path / name).calls for name in names]
    for name in names:
        assert [entry.kind for entry in Replay(tmp_path / name)].count("recording") == 1
    assert [piece[0] for piece in pieces[1:]] == [("on_connect", ())] * 2
    wanted = [watched.calls[: marks[0]], watched.calls[marks[0] : marks[1]], watched.calls[marks[1] :]]
    assert [contents(piece) for piece in (pieces[0], pieces[1][1:], pieces[2][1:])] == [*map(contents, wanted)]
    assert sum(len(frames_of(tmp_path / name)) for name in names) == client.stats.frames == recorder.stats.frames


def test_the_day_is_that_of_india(sim: Simulator, client: FirstockWS, tmp_path: Path) -> None:
    calendar = Calendar(2026, 1, 5, 23, 59)
    with Recorder(client, tmp_path / "%Y/%m/at-%d.jsonl", clock=calendar):
        client.subscribe("BSE:1")
        calendar.now = datetime(2026, 1, 6, 0, 0, tzinfo=IST)
        client.unsubscribe("BSE:1")
        # A clock that is put back does not begin yesterday's file again.
        calendar.now = datetime(2026, 1, 5, 23, 59, 59, tzinfo=IST)
        client.subscribe("BSE:1")
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jsonl"))
    assert files == [str(Path("2026/01/at-05.jsonl")), str(Path("2026/01/at-06.jsonl"))]
    assert [entry.kind for entry in Replay(tmp_path / files[1])] == ["recording", "wanted", "wanted"]


def test_fields_that_do_not_tell_the_day_get_the_date_too(client: FirstockWS, tmp_path: Path) -> None:
    calendar = Calendar(2026, 1, 5, 23, 59)
    with Recorder(client, tmp_path / "of-%Y.jsonl", clock=calendar):
        calendar.now = datetime(2026, 1, 6, 0, 0, tzinfo=IST)
        client.subscribe("BSE:1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of-2026-2026-01-06.jsonl", "of-2026.jsonl"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("head", [False, True], ids=["inside", "at a beginning"])
def test_what_was_begun_after_damage_is_read(
    sim: Simulator,
    make_client: ClientMaker,
    tmp_path: Path,
    name: str,
    head: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / name
    record(make_client(tokens=NIFTY), sim, path)
    first = path.stat().st_size
    record(make_client(tokens=NIFTY), sim, path)
    good = path.read_bytes()
    # As after a power cut, in the first recording or in the first bytes of the second.
    at = first if head else good.index(b"\n" if name == NAMES[0] else b"", first // 2) + 1
    path.write_bytes(good[:at] + bytes(40) + good[at + 40 :])
    third = record(make_client(tokens=NIFTY), sim, path)
    replayed = play(path)
    told = [call for call in contents(replayed.calls) if call[0] != "on_error"]
    assert told[-len(contents(third.calls)) :] == contents(third.calls)
    assert [str(error) for error in replayed.of("on_error") if "has a gap" in str(error)]
    recording = Replay(path)
    assert recording.damage is not None
    assert not recording.torn
    assert "has a gap" in caplog.text
    assert "cut off" not in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="an open file can't be removed there")
def test_a_file_that_is_removed_is_noticed_and_made_anew(
    sim: Simulator, client: FirstockWS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY", 0.0)
    path = tmp_path / "day.jsonl"
    watched = Watched(client)
    with Recorder(client, path) as recorder:
        connect(client, sim)
        tick(sim, watched, 3)
        wait_until(lambda: path.exists() and path.stat().st_size)
        path.unlink()

        def back() -> bool:
            sim.tick()
            return path.exists() and path.stat().st_size > 0

        wait_until(back)
        assert "removed" in str(watched.wait("on_error")[0])
        wait_until(lambda: recorder.stats.error is None)
    client.close()
    assert Replay(path).frames


# --- trouble with the disk ---------------------------------------------------------------------------------------


class Disk:
    """Opens files that block, or fail, when told to."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.blocked = threading.Event()
        self.failure: OSError | None = None

    def __call__(self, path: Path) -> BinaryIO:
        if self.failure is not None:
            raise self.failure
        disk = self

        class File(io.FileIO):
            def write(self, data: Any) -> int:
                if not disk.open.is_set():
                    disk.blocked.set()
                    assert disk.open.wait(6 * DEADLINE)
                if disk.failure is not None:
                    # As a full disk does it: a part still fits.
                    super().write(bytes(data)[:10])
                    raise disk.failure
                return super().write(data) or 0

        open_private(path).close()
        return File(path, "r+")  # type: ignore[return-value]


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.open.set()


@pytest.mark.parametrize("limits", [{"max_frames": 50}, {"max_bytes": 50_000}])
def test_a_disk_that_stalls_costs_frames_and_nothing_else(
    sim: Simulator,
    client: FirstockWS,
    tmp_path: Path,
    disk: Disk,
    limits: dict[str, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "day.jsonl"
    watched = Watched(client)
    with Recorder(client, path, opener=disk, **limits) as recorder:
        connect(client, sim)
        watched.wait("on_quote", 2)
        wait_until(lambda: recorder.stats.frames == client.stats.frames)
        disk.open.clear()
        tick(sim, watched)
        assert disk.blocked.wait(DEADLINE)
        # The stream goes on, and what is held for the disk is bounded.
        tick(sim, watched, 200)
        stats = recorder.stats
        assert stats.waiting <= 200
        assert stats.dropped > 100
        disk.open.set()
        wait_until(lambda: recorder.stats.waiting == 0)
        before = len(watched.calls)
        tick(sim, watched, 2)
        client.close()
    stats = recorder.stats
    assert stats.frames + stats.dropped == client.stats.frames
    assert watched.of("on_error") == []
    lost = [entry.values["lost"] for entry in Replay(path) if entry.kind == "lost"]
    assert sum(entry["frames"] for entry in lost) == stats.dropped
    assert Replay(path).gaps == len(lost) >= 1
    played = play(path)
    # After the gap everything is whole again.
    assert contents(played.calls)[-3:] == contents(watched.calls)[-3:]
    after = contents(watched.calls[before:])
    assert contents(played.calls)[-len(after) :] == after
    assert "frames are missing here" in caplog.text
    assert "the disk is too slow" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_told_once_and_recording_goes_on_when_there_is_room(
    sim: Simulator, client: FirstockWS, tmp_path: Path, disk: Disk, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / name
    watched = Watched(client)
    with Recorder(client, path, opener=disk) as recorder:
        connect(client, sim)
        watched.wait("on_quote", 2)
        wait_until(lambda: recorder.stats.frames == client.stats.frames)
        for _ in range(2):
            size = path.stat().st_size
            disk.failure = OSError(errno.ENOSPC, "No space left on device")
            tick(sim, watched, 2)
            wait_until(lambda: recorder.stats.error is not None)
            assert path.stat().st_size == size
            disk.failure = None
            wait_until(lambda: tick(sim, watched) or recorder.stats.error is None)
        assert "recording again" in caplog.text
        watched.wait("on_error")
        client.close()
    errors = watched.of("on_error")
    assert [type(error) for error in errors] == [RecordingError]
    assert "No space left on device" in str(errors[0])
    stats = recorder.stats
    assert stats.dropped >= 8
    assert stats.frames + stats.dropped == client.stats.frames
    assert Replay(path).gaps >= 2
    assert not Replay(path).torn
    quotes = watched.of("on_quote")
    assert play(path).of("on_quote")[-1] == quotes[-1]


def test_no_room_at_all_hurts_nobody(sim: Simulator, client: FirstockWS, tmp_path: Path, disk: Disk) -> None:
    watched = Watched(client)
    recorder = Recorder(client, tmp_path / "day.jsonl", opener=disk).start()
    disk.failure = OSError(errno.EDQUOT, "Disk quota exceeded")
    connect(client, sim)
    watched.wait("on_quote", 2)
    tick(sim, watched, 5)
    watched.wait("on_error")
    client.close()
    recorder.close()
    assert recorder.stats.frames == 0
    assert recorder.stats.dropped == client.stats.frames
    assert recorder.stats.error == "Disk quota exceeded"


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="another call is used")
def test_a_disk_that_does_not_keep_what_it_took_is_told_of(
    sim: Simulator, client: FirstockWS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    watched = Watched(client)
    monkeypatch.setattr(os, "fdatasync", fail)
    with Recorder(client, tmp_path / "day.jsonl"):
        connect(client, sim)
        assert "Input/output error" in str(watched.wait("on_error")[0])
        client.close()


def test_the_next_day_can_not_be_opened(sim: Simulator, client: FirstockWS, tmp_path: Path, disk: Disk) -> None:
    calendar = Calendar(2026, 1, 5, 23, 59)
    watched = Watched(client)
    with Recorder(client, tmp_path / "day.jsonl", clock=calendar, opener=disk) as recorder:
        connect(client, sim)
        watched.wait("on_quote", 2)
        wait_until(lambda: recorder.stats.frames == client.stats.frames)
        disk.failure = PermissionError(errno.EACCES, "Permission denied")
        calendar.now = datetime(2026, 1, 6, 0, 0, tzinfo=IST)
        tick(sim, watched)
        assert "Permission denied" in str(watched.wait("on_error")[0])
        disk.failure = None
        wait_until(lambda: tick(sim, watched) or recorder.stats.error is None)
        client.close()
    assert Replay(tmp_path / "day-2026-01-06.jsonl").gaps == 1
    assert play(tmp_path / "day-2026-01-06.jsonl").of("on_quote")[-1] == watched.of("on_quote")[-1]


def test_a_place_that_can_not_be_written_to_is_said_at_once(client: FirstockWS, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="can't be recorded to"):
        Recorder(client, tmp_path / "file" / "day.jsonl").start()
    assert client._taps.now == ()


def test_close_gives_up_on_a_dead_disk(
    sim: Simulator,
    client: FirstockWS,
    tmp_path: Path,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("firstock_ws.recording.recorder.CLOSE_LIMIT", 0.05)
    recorder = Recorder(client, tmp_path / "day.jsonl", opener=disk)
    disk.open.clear()
    recorder.start()
    assert disk.blocked.wait(DEADLINE)
    recorder.close()
    recorder.close()
    assert "the end of the recording may be lost" in caplog.text
    disk.open.set()
    wait_until(lambda: recorder.stats.written > 0)
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "firstock-ws-recorder"])


# --- arguments, and what is not installed ------------------------------------------------------------------------


def test_bad_arguments_are_refused(client: FirstockWS, tmp_path: Path) -> None:
    for path in ("day.txt", "day", "day.json", "day.zst"):
        with pytest.raises(ValueError, match="must end in"):
            Recorder(client, tmp_path / path)
    with pytest.raises(ValueError, match="at least 1"):
        Recorder(client, tmp_path / "day.jsonl", max_frames=0)


def test_without_zstandard_it_says_what_to_install(
    client: FirstockWS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(RecordingError, match=r'pip install "firstock-ws\[record\]"'):
        Recorder(client, tmp_path / "day.jsonl.zst")
    with pytest.raises(RecordingError, match=r'pip install "firstock-ws\[record\]"'):
        Replay(tmp_path / "day.jsonl.zst")
    with Recorder(client, tmp_path / "day.jsonl"):
        pass
    assert Replay(tmp_path / "day.jsonl").frames == 0


def test_a_program_that_forgets_to_close_loses_nothing(sim: Simulator, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom firstock_ws import FirstockWS, Recorder\n"
        "client = FirstockWS('AB1234', sys.argv[2], url=sys.argv[1])\n"
        "Recorder(client, sys.argv[3]).start()\nclient.connect()\n"
    )
    path = tmp_path / "day.jsonl.zst"
    command = [sys.executable, "-c", program, sim.url, KEY, str(path)]
    subprocess.run(command, check=True, timeout=6 * DEADLINE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert len(frames_of(path)) == 1
    assert play(path).names()[:1] == ["on_connect"]


def test_the_import_is_lazy() -> None:
    program = "import firstock_ws, sys; print([m for m in sys.modules if 'recording' in m or 'zstandard' in m])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]"


_FOREVER = """
import sys
from firstock_ws import FirstockWS, Recorder
client = FirstockWS("AB1234", sys.argv[1], url=sys.argv[2], tokens=["NSE:26000"])
client.on_connect = lambda: print("up", flush=True)
with Recorder(client, sys.argv[3]), client:
    client.run_forever()
"""


def test_sigterm_in_run_forever_costs_nothing(sim: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    program = [sys.executable, "-c", _FOREVER, KEY, sim.url, str(path)]
    child = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=unmeasured())
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.terminate()
        child.communicate(timeout=6 * DEADLINE)
        assert child.returncode == -signal.SIGTERM
    finally:
        child.kill()
    records = list(Replay(path))
    assert records[-1].values["event"] == "on_close"


def test_a_recorder_ends_with_its_client(sim: Simulator, make_client: ClientMaker, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"

    def forget() -> None:
        client = FirstockWS(sim.user_id, KEY, url=sim.url, tokens=[NIFTY])
        Recorder(client, path).start()
        connect(client, sim)
        client.close()

    forget()
    gc.collect()
    wait_until(lambda: "firstock-ws-recorder" not in [thread.name for thread in threading.enumerate()])
    record(make_client(tokens=[NIFTY]), sim, path)
    assert Replay(path).gaps == 0
    assert play(path).names().count("on_connect") == 2
