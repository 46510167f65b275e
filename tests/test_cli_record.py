"""``record`` and ``replay``."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from pathlib import Path

import pytest
import zstandard

from firstock_ws import FirstockWS, Replay, cli
from firstock_ws.simulator import Simulator
from tests.cli_support import COMMAND, SLOW, Terminal, free_of_secrets, logged_in, run
from tests.support import DEADLINE, KEY, Watched, unmeasured

pytestmark = pytest.mark.usefixtures("home")

NIFTY, RELIANCE, OPTION = "NSE:26000", "NSE:2885", "NFO:35000"


@pytest.fixture
def broker(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulator that the environment is logged in to."""
    for name, value in logged_in(sim).items():
        monkeypatch.setenv(name, value)
    return sim


@pytest.fixture
def recording(broker: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A recording of an order and some quotes."""
    path = tmp_path / "day.jsonl.zst"
    broker.place_order(RELIANCE, quantity=50)
    assert cli.main(["record", str(path), NIFTY, RELIANCE, OPTION, "--greeks", "--seconds", "1"]) == 0
    out, err = capsys.readouterr()
    assert "none dropped" in out
    assert str(path) in out
    assert "connected" in err
    free_of_secrets(out, err, path.read_bytes().decode(errors="replace"))
    return path


def test_a_recording_holds_what_came(recording: Path, broker: Simulator) -> None:
    assert Replay(recording).instruments == {NIFTY, RELIANCE, OPTION}
    assert stat.S_IMODE(recording.stat().st_mode) == 0o600
    # The order came from the book.
    assert broker.wait_for(lambda sim: sim.session_count() == 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_costs_nothing_of_a_recording(number: signal.Signals, broker: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    pipe = subprocess.PIPE
    command = [*COMMAND, "record", str(path), NIFTY]
    child = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=unmeasured())
    try:
        # Not as soon as the broker knows: a connection that is cut before the client counts it has no on_close.
        assert child.stderr is not None
        assert "connected" in child.stderr.readline()
        child.send_signal(number)
        out, _ = child.communicate(timeout=SLOW)
    finally:
        child.kill()
    assert child.returncode == (130 if number is signal.SIGINT else -number)
    assert "recorded" in out
    assert list(Replay(path))[-1].values["event"] == "on_close"


def test_a_recording_that_is_there_is_gone_on_with(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = recording.stat().st_size
    assert cli.main(["record", str(recording), NIFTY, "--seconds", "0.5"]) == 0
    assert f"added to {recording}" in capsys.readouterr().out
    assert recording.stat().st_size > before


def test_a_replay_as_json(recording: Path, broker: Simulator) -> None:
    broker.stop()
    done = run("replay", str(recording), "--speed", "max", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    quotes = {event["instrument"]: event for event in events if event["event"] == "quote"}
    assert quotes[RELIANCE]["last_price"] == broker.truth(RELIANCE)["i_last_traded_price"] / 100
    kinds = {event["event"] for event in events}
    assert kinds == {"quote", "greeks", "order", "position", "connect", "close"}
    closed = next(event for event in events if event["event"] == "close")
    started, ended = Replay(recording).started.isoformat(), Replay(recording).ended.isoformat()
    assert started <= closed["time"] <= ended


def test_a_replay_in_words(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(recording), "--speed", "100", "--fields", "last_price"]) == 0
    out = capsys.readouterr().out
    assert f"quote {RELIANCE} last_price " in out
    assert "change" not in out


def test_a_recording_that_was_cut_off_is_said_to_be(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording.write_bytes(recording.read_bytes()[:-10])
    assert cli.main(["replay", str(recording), "--speed", "max"]) == 0
    assert "ends early" in capsys.readouterr().err


def test_a_recording_that_is_damaged_is_said_to_be(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = list(Replay(recording))
    plain = recording.with_name("plain.jsonl")
    with zstandard.open(recording, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    plain.write_bytes(b"".join([*lines[: len(records) // 2], b'{"garbage\n', *lines[len(records) // 2 :]]))
    assert cli.main(["replay", str(plain), "--speed", "max"]) == 1
    out, err = capsys.readouterr()
    assert "the recording has a gap" in out
    assert f"line {len(records) // 2 + 1} is damaged" in err


def test_a_replay_from_a_time_on(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(recording), "--speed", "max", "--end", "00:00:00"]) == 0
    out, err = capsys.readouterr()
    assert "quote" not in out
    assert "nothing came at that time: the recording is of " in err


def test_a_replay_on_a_terminal(recording: Path) -> None:
    with Terminal("replay", str(recording), "--speed", "10") as terminal:
        assert terminal.end() == 0
        left = terminal.written.rpartition("\x1b[?1049l")[2]
    assert "Recording of " in left
    assert RELIANCE in left
    assert "ended" in left


def test_ctrl_c_ends_a_replay(recording: Path) -> None:
    # Slow enough to be cut short, fast enough for a connection that took its second to come.
    with Terminal("replay", str(recording), "--speed", "0.02") as terminal:
        terminal.wait_for("● connected")
        terminal.type("\x03")
        assert terminal.end() == 130


def test_ctrl_c_ends_a_recording_that_can_be_read(broker: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    with Terminal("record", str(path), NIFTY) as terminal:
        terminal.wait_for(" 2 frames, ", terminal.wait_for("connected: "))
        broker.drop()
        terminal.wait_for("try 1 to reconnect")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "recorded" in terminal.written
    names = [record.values["event"] for record in Replay(path) if record.kind == "event"]
    assert names[0] == "on_connect"
    assert "on_close" in names


def test_a_key_that_dies_ends_a_recording(broker: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    with Terminal("record", str(path), NIFTY) as terminal:
        terminal.wait_for("connected: ")
        broker.expire_key()
        assert terminal.end() == 3
        assert "gave up" in terminal.written
    assert KEY not in path.read_text()


def test_a_recording_is_served(recording: Path) -> None:
    command = [*COMMAND, "replay", str(recording), "--port", "0", "--speed", "max"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            client = FirstockWS("X", "any-key-will-do", url=url, tokens=[RELIANCE], reconcile=False)
            watched = Watched(client)
            with client:
                client.connect(DEADLINE)
                assert watched.wait("on_quote")[0].instrument == RELIANCE
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=SLOW)
        finally:
            process.kill()
    assert process.returncode == 0
    free_of_secrets(err)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["record", "day.csv"], 2, ".jsonl"),
        (["record", "DAY/day.jsonl", NIFTY], 1, "recorded to"),
        (["replay", "nowhere.jsonl"], 1, "nowhere.jsonl"),
        (["replay", "DAY", "--speed", "0"], 2, "--speed"),
        (["replay", "DAY", "--speed", "fast"], 2, "--speed"),
        (["replay", "DAY", "--start", "soon"], 2, "09:30"),
        (["replay", "DAY", "--port", "0", "--json"], 2, "--port"),
        (["replay", "DAY", "--port", "70000"], 2, "65535"),
        (["replay", "DAY", "--fields", "price"], 2, "price"),
    ],
)
def test_what_makes_no_sense(
    arguments: list[str], code: int, words: str, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([word.replace("DAY", str(recording)) for word in arguments]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
