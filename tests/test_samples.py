"""The samples, each run unchanged as a user would run it, against the simulator."""

from __future__ import annotations

import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from firstock_ws.simulator import Simulator
from tests.support import unmeasured

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples"
NOTEBOOK = SAMPLES / "notebook.ipynb"
OTHERS = {"run_for_weeks.py", "test_strategy.py"}
"""Samples that take other settings; tests/test_long_samples.py has them."""
SCRIPTS = sorted(path.name for path in SAMPLES.glob("*.py") if path.name not in OTHERS)
USER_ID = "AB1234"
KEY = secrets.token_hex(32)
PATIENCE = 20.0
"""Seconds that a line or an exit may take on a busy machine; none takes one on an idle one."""

needs_sigint = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send Ctrl-C to one process alone")


def environment(**settings: str) -> dict[str, str]:
    """The environment for a sample: this process's own, without settings of a real account in it."""
    inherited = {name: value for name, value in unmeasured().items() if not name.startswith(("FIRSTOCK_", "XDG_"))}
    # The package need not be installed for its tests, and a script's sys.path begins at its own folder.
    path = os.pathsep.join(filter(None, (str(ROOT), inherited.get("PYTHONPATH"))))
    return {**inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **settings}


class Sample:
    """A sample in a process of its own. Two threads read its output, so that no full pipe holds it up."""

    def __init__(self, folder: Path, name: str, *arguments: str, **settings: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(SAMPLES / name), *arguments],
            cwd=folder,
            env=environment(HOME=str(folder), **settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.lines: list[str] = []
        self._new_lines: queue.Queue[str | None] = queue.Queue()
        self._errors: queue.Queue[str | None] = queue.Queue()
        pipes = ((self._process.stdout, self._new_lines), (self._process.stderr, self._errors))
        self._readers = [threading.Thread(target=self._read, args=pipe, daemon=True) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe: IO[str], lines: queue.Queue[str | None]) -> None:
        for line in pipe:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for a line of output, newer than those expected before, that `pattern` matches as a whole."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._new_lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                pytest.fail(f"no line {pattern!r} in {self.lines}; stderr: {list(self._errors.queue)}")
            self.lines.append(line)
            found = re.fullmatch(pattern, line)
            if found:
                return found

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Wait for the sample to end; return its exit code and what it wrote to stderr."""
        code = self._process.wait(PATIENCE)
        self.lines += self._rest(self._new_lines)
        errors = "\n".join(self._rest(self._errors))
        assert KEY not in "\n".join(self.lines)
        assert KEY not in errors
        return code, errors

    @staticmethod
    def _rest(lines: queue.Queue[str | None]) -> list[str]:
        return list(iter(lambda: lines.get(timeout=PATIENCE), None))

    def dispose(self) -> None:
        """Leave nothing behind, whatever went wrong."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(users={USER_ID: KEY}, seed=11, rate=0, order_interval=None) as simulator:
        yield simulator


@pytest.fixture
def start(sim: Simulator, tmp_path: Path) -> Iterator[Callable[..., Sample]]:
    """A function that starts a sample against the simulator; `url` and the like replace settings."""
    samples: list[Sample] = []

    def start_sample(name: str, *arguments: str, **settings: str) -> Sample:
        settings = {"FIRSTOCK_URL": sim.url, "FIRSTOCK_USER_ID": USER_ID, "FIRSTOCK_JKEY": KEY, **settings}
        settings["FIRSTOCK_WS_CACHE_DIR"] = os.environ["FIRSTOCK_WS_CACHE_DIR"]
        samples.append(Sample(tmp_path, name, *arguments, **settings))
        return samples[-1]

    yield start_sample
    for sample in samples:
        sample.dispose()


def price(sim: Simulator, instrument: str) -> str:
    """The true last price in rupees, as Python prints it."""
    paise = sim.truth(instrument)["i_last_traded_price"]
    assert isinstance(paise, int)
    return str(paise / 100)


def move(sim: Simulator, instrument: str, paise: int) -> str:
    """Send a last price for `instrument` that is `paise` off the true one; return it as Python prints it."""
    exchange, token = instrument.split(":")
    last = sim.truth(instrument)["i_last_traded_price"]
    assert isinstance(last, int)
    sim.push(json.dumps({"c_exch_seg": exchange, "c_symbol": token, "i_last_traded_price": last + paise}))
    return str((last + paise) / 100)


def test_every_sample_that_connects_can_be_given_the_rest_address() -> None:
    for path in SAMPLES.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count('environ.get("FIRSTOCK_URL")') == text.count('environ.get("FIRSTOCK_REST_URL")'), (
            path.name
        )


@needs_sigint
@pytest.mark.parametrize("url", ["url", "url_v2"])
def test_quickstart_prints_quotes_orders_and_positions(
    sim: Simulator, start: Callable[..., Sample], url: str
) -> None:
    sample = start("quickstart.py", FIRSTOCK_URL=getattr(sim, url))
    sample.expect(rf"quote NSE:26000 {price(sim, 'NSE:26000')} change -?[0-9.]+")
    sample.expect(rf"quote NSE:2885 {price(sim, 'NSE:2885')} change -?[0-9.]+")
    before = price(sim, "NSE:2885")
    while price(sim, "NSE:2885") == before:
        sim.tick("NSE:2885")
    sample.expect(rf"quote NSE:2885 {price(sim, 'NSE:2885')} change -?[0-9.]+")
    number = sim.place_order("NSE:2885", "B", 50, 2424.05)
    for status in ("PENDING", "ORDER ACK", "OPEN", "OPEN"):
        sample.expect(f"order {number} BUY 50 RELIANCE-EQ {status}")
    sample.expect("position NSE:2885 25 realised -?0.0")
    sample.expect(f"order {number} BUY 50 RELIANCE-EQ COMPLETE")
    sample.expect("position NSE:2885 50 realised -?0.0")
    sample.interrupt()
    assert sample.end() == (0, "")
    assert sim.wait_for(lambda s: s.close_codes == [1000])


@needs_sigint
def test_subclassing_watches_more_once_the_index_moves(sim: Simulator, start: Callable[..., Sample]) -> None:
    sample = start("subclassing.py")
    sample.expect("connected, watching NSE:26000")
    assert sim.wait_for(lambda s: s.subscriptions() == {"NSE:26000"})
    first = price(sim, "NSE:26000")
    move(sim, "NSE:26000", 99)
    higher = move(sim, "NSE:26000", 105)
    sample.expect(f"NSE:26000 moved \\+105 paise: {first} -> {higher}")
    assert sim.wait_for(lambda s: s.subscriptions() == {"NSE:26000", "NSE:2885", "NSE:1594"})
    share = price(sim, "NSE:1594")
    lower = move(sim, "NSE:1594", -100)
    sample.expect(f"NSE:1594 moved -100 paise: {share} -> {lower}")
    assert not any("moved +99" in line for line in sample.lines)
    number = sim.place_order("NSE:2885")
    sample.expect(f"order {number} is OPEN")
    sample.expect(f"order {number} is COMPLETE")
    sim.push("not json")
    sample.expect("trouble: a frame was not understood: .+")
    sample.interrupt()
    assert sample.end() == (0, "")
    assert sample.lines[-1].startswith("connection ended: 1000")


@needs_sigint
def test_bars_prints_each_when_it_is_over(sim: Simulator, start: Callable[..., Sample]) -> None:
    sample = start("bars.py", "--interval", "5s")
    assert sim.wait_for(lambda s: s.subscriptions() == {"NSE:26000", "NSE:2885"})
    # Steps of a quarter of a second, from 9:15:00 on; a bar waits two seconds for late quotes.
    sim.tick(count=30)
    prices = " ".join([r"\d+\.\d\d"] * 4)
    first = sample.expect(
        f"09:15:00 (NSE:26000) {prices} .partial.|09:15:00 (NSE:2885) {prices} volume [0-9]+ .partial."
    )
    sample.expect(f"09:15:00 {'NSE:2885' if first[1] else 'NSE:26000'} .*")
    sample.interrupt()
    assert sample.end() == (0, "")
    last = [line for line in sample.lines if line.startswith("09:15:05 ")]
    assert sorted(line.split()[1] for line in last) == ["NSE:26000", "NSE:2885"]
    assert all(re.fullmatch(rf"\S+ \S+ {prices}( volume [0-9]+)? .not over.", line) for line in last)
    assert any(f" {float(price(sim, 'NSE:2885')):.2f} volume" in line for line in last)


def test_bars_says_which_intervals_there_are(start: Callable[..., Sample]) -> None:
    code, errors = start("bars.py", "--interval", "1m").end()
    assert code == 2
    assert re.fullmatch("no interval for bars: '1m'; give .*", errors)


@needs_sigint
def test_order_monitor_keeps_a_table_through_a_lost_connection(
    sim: Simulator, start: Callable[..., Sample]
) -> None:
    sample = start("order_monitor.py", FIRSTOCK_REST_URL=sim.rest_url)
    sample.expect("connected")
    slow = sim.place_order("NSE:2885", "B", 50, 100.0, fill=False)
    sample.expect(f"  {slow} BUY 50 RELIANCE-EQ at 100.0: OPEN")
    sim.fill_order(slow, 20, 99.0)
    sample.expect(f"fill {slow}: 20 at 99.0, 20 of 50 at 99.0 on average")
    sample.expect(f"  {slow} BUY 30 RELIANCE-EQ at 100.0: OPEN")
    sample.expect("position RELIANCE-EQ: 20, realised -?0.0")

    sim.refuse(503)
    sim.reset()
    sample.expect("connection ended: 1006 .+")
    sample.expect(r"not connected, try 1 in \d\.\d s: the table may be out of date")
    sim.fill_order(slow, 10, 99.0)
    sim.accept()
    sample.expect("connected")
    sample.expect(rf"fill {slow}: 10 \(from the order book\), 30 of 50 at 99.0 on average")

    sim.fill_order(slow, 20, 104.0)
    sample.expect(f"fill {slow}: 20 at 104.0, 50 of 50 at 101.0 on average")
    sample.expect(f"ended {slow}: COMPLETE ?")
    sample.expect("open orders: 0")
    refused = sim.place_order("NSE:2885", fill=False)
    sim.reject_order(refused, "RED:Margin Shortfall")
    sample.expect(f"ended {refused}: REJECTED RED:Margin Shortfall")
    sample.interrupt()
    assert sample.end() == (0, "")
    assert sim.actions == []


def test_order_monitor_gives_up_when_the_key_dies(sim: Simulator, start: Callable[..., Sample]) -> None:
    sample = start("order_monitor.py")
    sample.expect("connected")
    sim.expire_key()
    sample.expect("connection ended: .+")
    code, errors = sample.end()
    assert code == 1
    assert re.fullmatch("Gave up: the broker refused the jKey.*log in .*", errors)


def test_existing_loop_ends_by_itself(sim: Simulator, start: Callable[..., Sample]) -> None:
    sample = start("existing_loop.py", "--seconds", "2.5")
    sample.expect(rf"NSE:26000 {price(sim, 'NSE:26000')} at 2026-01-02 09:15:00\+05:30")
    higher = move(sim, "NSE:2885", 1000)
    sample.expect(rf"NSE:2885 {higher} at 2026-01-02 09:15:00\+05:30")
    assert sample.end() == (0, "")
    # The success frame, two snapshots, and the push.
    assert sample.lines[-1] == "1 connection(s), 3 quotes, 4 frames"
    assert sim.wait_for(lambda s: s.close_codes == [1000])


@needs_sigint
def test_existing_loop_goes_on_without_a_connection_and_ends_at_ctrl_c(
    sim: Simulator, start: Callable[..., Sample]
) -> None:
    sample = start("existing_loop.py")
    sample.expect("NSE:26000 .+")
    sample.expect("NSE:2885 .+")
    sim.refuse()
    sim.reset()
    sample.expect("not connected: these are the last known prices")
    sample.expect(f"NSE:26000 {price(sim, 'NSE:26000')} at .+")
    # The last line of a round: Ctrl-C now comes while the sample sleeps, and not amid a line.
    sample.expect("NSE:2885 .+")
    sample.interrupt()
    code, errors = sample.end()
    assert code == 0
    # It listens to nothing: what goes wrong is on stderr, each thing once.
    shown = [line.partition(";")[0] for line in errors.splitlines()]
    assert shown[0] == "firstock_ws: connection lost: connection reset by peer"
    assert len(shown) == len(set(shown))
    assert sample.lines[-2:] == ["stopped by Ctrl-C", "1 connection(s), 2 quotes, 3 frames"]


def test_option_chain_shows_the_strikes_around_the_money(sim: Simulator, start: Callable[..., Sample]) -> None:
    sample = start("option_chain.py", "--seconds", "2.5", FIRSTOCK_REST_URL=sim.rest_url)
    # The simulator's index stands at 25,148.65.
    sample.expect(rf"NIFTY {price(sim, 'NSE:26000')}, options of 2026-01-06")
    rows = [row.split(",") for row in sim.symbol_file("NFO").splitlines()]
    tokens = {row[4]: row[1] for row in rows}
    assert sim.wait_for(lambda s: len(s.subscriptions()) == 15)
    sample.expect(r"NIFTY .+")
    for strike in range(25_000, 25_301, 50):
        call, put = (price(sim, f"NFO:{tokens[f'NIFTY06JAN26{kind}{strike}']}") for kind in "CP")
        sample.expect(rf" *{call} +{strike}\.0 +{put}")
    assert sample.end() == (0, "")


def test_option_chain_without_symbol_files_says_why(sim: Simulator, start: Callable[..., Sample]) -> None:
    sim.refuse_rest(503)
    sample = start("option_chain.py", FIRSTOCK_REST_URL=sim.rest_url)
    code, errors = sample.end()
    assert code == 1
    assert re.fullmatch("Gave up: no symbols of NFO: .*HTTP 503.*", errors)


@pytest.mark.parametrize("missing", ["FIRSTOCK_USER_ID", "FIRSTOCK_JKEY"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_missing_settings_end_in_one_line(start: Callable[..., Sample], name: str, missing: str) -> None:
    sample = start(name, **{missing: ""})
    code, errors = sample.end()
    assert code == 2
    assert errors.count("\n") == 0
    expected = "FIRSTOCK_USER_ID is not" if missing == "FIRSTOCK_USER_ID" else "log in with: firstock-ws login"
    assert expected in errors
    assert sample.lines == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_refused_key_ends_in_one_line(sim: Simulator, start: Callable[..., Sample], name: str) -> None:
    sim.set_key(USER_ID, "another")
    sample = start(name)
    code, errors = sample.end()
    assert code == 1
    assert re.fullmatch("(Gave up|No connection): the broker refused the jKey.*log in .*", errors)


@needs_sigint
def test_a_recorded_day_runs_through_the_strategy(
    sim: Simulator, start: Callable[..., Sample], tmp_path: Path
) -> None:
    path = tmp_path / "day.jsonl.zst"
    recorder = start("record_day.py", str(path))
    recorder.expect(f"recording to {re.escape(str(path))}")
    strategy = start("replay_strategy.py")
    strategy.expect("connected, watching NSE:1594, NSE:2885")
    assert sim.wait_for(lambda s: s.session_count() == 2 and len(s.actions) == 2)
    for name in ("NSE:2885", "NSE:1594", "NSE:2885"):
        last = sim.truth(name)["i_last_traded_price"]
        assert isinstance(last, int)
        move(sim, name, last // 100)
        move(sim, name, 0)
        strategy.expect(rf".+ {name} -0.99 % to .+")
    number = sim.place_order("NSE:2885")
    strategy.expect(f"order {number} is COMPLETE")
    sim.drop()
    recorder.expect("not connected, try 1 in .+ s")
    strategy.expect("connected, watching NSE:1594, NSE:2885")
    for sample in (recorder, strategy):
        sample.interrupt()
        assert sample.end() == (0, "")
    assert re.fullmatch(r"\d+ frames recorded, 0 dropped, \d+ bytes in .+", recorder.lines[-1])
    again = start("replay_strategy.py", str(path))
    assert again.end() == (0, "")
    told = [line for line in strategy.lines if " % to " in line or line.startswith("order ")]
    assert [line for line in again.lines if " % to " in line or line.startswith("order ")] == told
    assert again.lines[-1].endswith(" 6 moves")


def test_recording_ends_by_itself(sim: Simulator, start: Callable[..., Sample], tmp_path: Path) -> None:
    sample = start("record_day.py", str(tmp_path / "day.jsonl"), SECONDS="0.2")
    assert sample.end() == (0, "")
    assert (tmp_path / "day.jsonl").stat().st_size > 0


def test_what_is_no_recording_ends_in_one_line(start: Callable[..., Sample], tmp_path: Path) -> None:
    code, errors = start("replay_strategy.py", str(tmp_path / "none.jsonl")).end()
    assert code == 1
    assert errors.startswith("Gave up: the recording ")
    assert "\n" not in errors


def test_the_notebook_is_stored_without_results() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    for cell in cells:
        assert (cell["outputs"], cell["execution_count"], cell["metadata"]) == ([], None, {})


def execute(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> dict[str, str]:
    """Run the notebook from top to bottom in `folder`; return what each code cell showed, by its id."""
    # Not at the top: the quick run leaves the notebook out, and need not have what executes it.
    import nbclient
    import nbformat

    variables = environment(
        **settings,
        FIRSTOCK_WS_CACHE_DIR=str(folder / "cache"),
        IPYTHONDIR=str(folder / "ipython"),
        JUPYTER_CONFIG_DIR=str(folder / "config"),
        JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )
    for name in set(os.environ) - set(variables):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # Annotated, since nbformat.read is not.
    read: Any = nbformat.read
    notebook = read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=30, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    shown = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not [output for output in cell.outputs if output.get("name") == "stderr"]
            shown[cell.id] = "".join(
                output["text"] if output.output_type == "stream" else output["data"]["text/plain"]
                for output in cell.outputs
            )
    return shown


@pytest.mark.slow
def test_the_notebook_runs_on_its_own_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = execute(tmp_path, monkeypatch)
    assert shown["settings"].startswith("SIMULATED DATA")
    assert "state=connected" in shown["connect"]
    names = {"NSE:26000": None, "NSE:26009": None, "NSE:2885": "RELIANCE-EQ", "NSE:1594": "INFY-EQ"}
    for instrument, symbol in names.items():
        assert re.search(rf"^{instrument} +\d+\.\d+ +-?\d+\.\d+", shown["quotes"], re.MULTILINE)
        row = rf"^{symbol or instrument} +[\d,]+\.\d\d +([-+]\d+\.\d\d|0\.00) "
        assert re.search(row, shown["table"], re.MULTILINE)
    assert re.search(r"NSE:2885 +\d+ +\d+\.\d+ +\d+\.\d+", shown["recording"])
    # The table went on while the cells after it ran.
    assert "closed: these are the last known quotes" in shown["table"]
    orders = shown["orders"].splitlines()
    assert orders[0].endswith("PENDING, 0 filled, average price None")
    assert re.search(r"COMPLETE, 50 filled, average price \d+\.\d+$", orders[-1])
    assert "'connections': 1" in shown["stats"]
    assert "'callback_errors': 0" in shown["stats"]
    assert "state=stopped" in shown["close"]


@pytest.mark.slow
def test_the_notebook_runs_against_a_server_given(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()

    def trade() -> None:
        if sim.wait_for(lambda s: s.session_count() == 1, timeout=60) and not done.is_set():
            sim.place_order("NSE:2885", quantity=30, price=2424.05)

    trader = threading.Thread(target=trade)
    trader.start()
    try:
        settings = {"FIRSTOCK_URL": sim.url, "FIRSTOCK_REST_URL": sim.rest_url}
        shown = execute(tmp_path, monkeypatch, **settings, FIRSTOCK_USER_ID=USER_ID, FIRSTOCK_JKEY=KEY)
    finally:
        done.set()
        trader.join(PATIENCE)
    assert shown["settings"] == ""
    assert re.search(rf"^NSE:26000 +{price(sim, 'NSE:26000')}", shown["quotes"], re.MULTILINE)
    assert "BUY 30 RELIANCE-EQ: COMPLETE, 30 filled, average price 2424.05" in shown["orders"]
    assert "'order_updates': 5" in shown["stats"]
    assert sim.wait_for(lambda s: s.close_codes == [1000])
    assert KEY not in "".join(shown.values())
