"""The benchmarks: the flood is what it says, clients get all of it, and the page tells what was found.

No figure is held against anything here: a test machine is no place to measure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
import websocket

from benchmarks.flood import GREETING
from benchmarks.frames import STAMP_BASE
from benchmarks.goals import GOALS
from benchmarks.loads import LOADS
from benchmarks.peers import PEERS
from benchmarks.report import page, ratio_text, table
from benchmarks.results import Results
from benchmarks.run import ROOT, Bench, Case, RunError, environment
from benchmarks.sections import SECTIONS
from tests.support import DEADLINE

Flood = Callable[..., websocket.WebSocket]


@pytest.fixture
def flood() -> Iterator[Flood]:
    """Starts a flood server, and returns a connection to it that has subscribed."""
    servers: list[subprocess.Popen[str]] = []
    connections: list[websocket.WebSocket] = []

    def start(*options: str) -> websocket.WebSocket:
        command = [sys.executable, "-m", "benchmarks.flood", *options]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment())
        servers.append(server)
        assert server.stdout is not None
        port = int(server.stdout.readline().split()[0])
        connection = websocket.create_connection(f"ws://127.0.0.1:{port}/ws", timeout=DEADLINE)
        connections.append(connection)
        connection.send("anything")
        return connection

    yield start
    for connection in connections:
        connection.close()
    for server in servers:
        server.communicate(timeout=DEADLINE)


def test_the_flood_is_the_load_in_order_and_again(flood: Flood) -> None:
    frames = LOADS["v2-3"].build(6).cycle
    count = len(frames) + 5
    connection = flood("--load", "v2-3", "--instruments", "6", "--frames", str(count), "--greet")
    assert connection.recv().encode() == GREETING
    received = [connection.recv().encode() for _ in range(count)]
    assert received == [*frames, *frames[:5]]


def test_deltas_come_after_a_snapshot_of_each_instrument(flood: Flood) -> None:
    connection = flood("--load", "delta", "--instruments", "3", "--frames", "6")
    received = [json.loads(connection.recv()) for _ in range(6)]
    assert ["best_buy" in fields for fields in received] == [True] * 3 + [False] * 3
    assert [fields["c_symbol"] for fields in received] == ["1000", "1001", "1002"] * 2


def test_paced_frames_tell_when_they_were_sent(flood: Flood) -> None:
    began = time.monotonic_ns()
    connection = flood("--load", "v1", "--instruments", "3", "--frames", "20", "--rate", "200")
    stamps = [json.loads(connection.recv())["i_volume_traded_today"] - STAMP_BASE for _ in range(20)]
    assert stamps == sorted(stamps)
    assert began < stamps[0]
    assert stamps[-1] < time.monotonic_ns()


def test_the_flood_answers_pings(flood: Flood) -> None:
    connection = flood("--load", "v1", "--instruments", "1", "--frames", "1")
    connection.recv()
    connection.ping("there?")
    assert connection.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"there?")


@pytest.mark.parametrize("peer", ["ours", "app", "floor"])
@pytest.mark.parametrize(
    "case",
    [
        Case("plain", "", "v1", frames=300, instruments=20, seconds=DEADLINE),
        Case("several", "", "v2-3", frames=100, instruments=20, seconds=DEADLINE),
        Case("paced", "", "v1", frames=200, instruments=20, rate=1_000, latency=True, seconds=DEADLINE),
        Case("tls", "", "v1", frames=300, instruments=20, tls=True, seconds=DEADLINE),
    ],
    ids=lambda case: case.name,
)
def test_a_client_gets_all_that_was_sent(peer: str, case: Case, tmp_path: Path) -> None:
    if missing := PEERS[peer].missing():
        pytest.skip(f"{', '.join(missing)} not installed")
    if case.latency and peer == "floor":
        pytest.skip("it does not look at stamps")
    figures = Bench(tmp_path).run(Case(**{**vars(case), "peer": peer}))
    assert figures["quotes"] == case.frames * LOADS[case.load].quotes
    assert ("p99" in figures) == case.latency


def test_a_run_that_fails_says_why_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    # It waits for a greeting that this server does not send.
    monkeypatch.setitem(PEERS, "ours", PEERS["ours"]._replace(greeted=False))
    with pytest.raises(RunError, match=r"^late: 0 of 10 quotes after 1 s$"):
        bench.run(Case("late", "ours", "v1", frames=10, instruments=1, seconds=1.0))
    monkeypatch.setitem(PEERS, "ours", PEERS["ours"]._replace(needs=("no_such_module",)))
    with pytest.raises(RunError, match=r"^alone is left out: no_such_module not installed$"):
        bench.run(Case("alone", "ours", "v1", frames=10))


def test_the_page_has_medians_spread_ratios_and_goals() -> None:
    results = Results()
    for number, (ours, broker, floor) in enumerate([(10.0, 400.0, 8.0), (11.0, 385.0, 4.0), (30.0, 420.0, 5.0)]):
        for row, cpu in (("ours", ours), ("broker", broker), ("floor", floor)):
            results.add("v1", row, number, {"cpu_frame": cpu, "frames_s": 1e6 / cpu})
    results.note("v1", "picows is left out: picows not installed.")
    text = page("python -m benchmarks --only v1", 3, SECTIONS[:1], results, date(2026, 1, 2))
    lines = text.splitlines()
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")] for line in lines if "|" in line
    }
    assert cells["ours"][2:4] == ["11.0", "10.0 to 30.0"]
    assert cells["broker"][6:8] == ["35.00x", "ours at most 1/35 of this: 1/35, met"]
    assert cells["floor"][7] == "ours at most 2.00x of this: 2.75x, NOT met"
    assert "picows is left out: picows not installed." in lines
    assert "1 of the 2 goals that were measured are met." in lines
    assert "python -m benchmarks --only v1" in lines
    assert "2026-01-02" in text
    assert str(ROOT) not in text


def test_what_was_not_measured_is_not_called_met() -> None:
    results = Results()
    results.add("v1", "broker", 0, {"cpu_frame": 400.0})
    assert "of this: not measured" in table(SECTIONS[0], results)


@pytest.mark.parametrize(("ratio", "text"), [(1 / 35, "1/35"), (0.3, "1/3.3"), (0.5, "0.50x"), (4.1, "4.10x")])
def test_ratios_are_written_as_people_say_them(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text


def test_every_goal_has_its_rows() -> None:
    rows = {section.name: section.rows for section in SECTIONS}
    for goal in GOALS:
        assert goal.row in rows[goal.section]
        assert goal.against is None or goal.against in rows[goal.section]


def test_the_command_lists_its_sections_and_refuses_others() -> None:
    command = [sys.executable, "-m", "benchmarks"]
    listed = subprocess.run(
        [*command, "--list"], capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=DEADLINE
    )
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [section.name for section in SECTIONS]
    refused = subprocess.run(
        [*command, "--only", "v3"], capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=DEADLINE
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("no such section: v3")
