"""``stream``: lines, JSON and the live table."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from dataclasses import replace
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from firstock_ws import IST, cli
from firstock_ws.cli.board import Board
from firstock_ws.cli.complete import complete_instrument
from firstock_ws.cli.events import LIMIT, Collector, Event
from firstock_ws.cli.lines import in_json, in_words
from firstock_ws.cli.live import show
from firstock_ws.cli.output import Screen
from firstock_ws.cli.view import picture
from firstock_ws.errors import UsageError
from firstock_ws.showable import showable
from firstock_ws.simulator import Simulator
from firstock_ws.symbols import SymbolMaster
from tests.cli_support import COMMAND, SLOW, Terminal, free_of_secrets, logged_in, run
from tests.conftest import ClientMaker
from tests.support import DEADLINE, Watched, closed_port, connect, unmeasured, wait_until

pytestmark = pytest.mark.usefixtures("home")

NIFTY, RELIANCE, OPTION = "NSE:26000", "NSE:2885", "NFO:35000"
ALTERNATE, BACK, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


@pytest.fixture
def broker(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulator that the environment is logged in to."""
    for name, value in logged_in(sim).items():
        monkeypatch.setenv(name, value)
    return sim


class Child:
    """``stream`` with pipes."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "stream", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=unmeasured(),
        )
        # Reading a line has no deadline of its own.
        self._late = threading.Timer(SLOW, self.process.kill)
        self._late.start()

    def line(self, start: str) -> str:
        """Read on to the first line that begins so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise AssertionError(f"no line begins with {start}: {self.process.communicate()}")

    def end(self, number: signal.Signals | None = None) -> tuple[int, str, str]:
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=SLOW)
        free_of_secrets(out, err)
        return self.process.returncode, out, err

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._late.cancel()
        self.process.kill()
        self.process.communicate()


def test_json_lines(broker: Simulator) -> None:
    with Child(NIFTY, RELIANCE, OPTION, "--greeks", "--json") as child:
        quote = json.loads(child.line('{"event": "quote", "instrument": "NSE:2885"'))
        truth = broker.truth(RELIANCE)
        assert quote["last_price"] == truth["i_last_traded_price"] / 100
        assert datetime.fromisoformat(quote["feed_time"]).tzinfo is not None
        assert quote["best_bid"]["quantity"] == truth["best_buy"][0]["quantity"]
        greeks = json.loads(child.line('{"event": "greeks"'))
        assert (greeks["instrument"], greeks["delta"]) == (OPTION, broker.greeks(OPTION)["delta"])
        number = broker.place_order(RELIANCE, quantity=50)
        order = json.loads(child.line('{"event": "order"'))
        assert order["order_number"] == number
        assert json.loads(child.line('{"event": "position"'))["instrument"] == RELIANCE
        broker.drop()
        closed = json.loads(child.line('{"event": "close"'))
        assert datetime.fromisoformat(closed["time"])
        assert json.loads(child.line('{"event": "reconnect"'))["attempt"] == 1
        child.line('{"event": "connect"')
        assert child.end(signal.SIGINT)[0::2] == (130, "")
    assert broker.wait_for(lambda sim: sim.session_count() == 0)


def test_words_in_a_pipe(broker: Simulator) -> None:
    done = run("stream", NIFTY, RELIANCE, "--fields", "last_price,best_bid,feed_time,age", "--seconds", "1")
    assert (done.returncode, done.stderr) == (0, "")
    bid = broker.truth(RELIANCE)["best_buy"][0]
    line = next(line for line in done.stdout.splitlines() if line.startswith(f"quote {RELIANCE} "))
    price = broker.truth(RELIANCE)["i_last_traded_price"] / 100
    best = f"{bid['price'] / 100:.2f}x{bid['quantity']}"
    assert line.startswith(f"quote {RELIANCE} last_price {price:.2f} best_bid {best} feed_time 2026-")
    assert f"quote {NIFTY} " in done.stdout
    assert "best_bid -" in done.stdout
    assert "\x1b" not in done.stdout


def test_names_instead_of_tokens(broker: Simulator) -> None:
    done = run("stream", "nse:reliance-eq", "NSE:NIFTY 50", "--json", "--fields", "last_price", "--seconds", "1")
    assert (done.returncode, done.stderr) == (0, "")
    quotes = [line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "quote"]
    assert {quote["instrument"]: quote["symbol"] for quote in quotes} == {
        RELIANCE: "RELIANCE-EQ",
        NIFTY: "Nifty 50",
    }


def test_a_name_that_nothing_has(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stream", "NSE:RELIANC-EQ"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "did you mean 'NSE:RELIANCE-EQ'" in err


def test_search(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["search", "reliance"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == [
        *("NSE:RELIANCE-EQ", "NSE:2885", "RELIANCE", "INDUSTRIES", "LTD", "lot", "1", "tick", "0.05")
    ]
    assert cli.main(["search", "nifty", "25000", "--exchange", "nfo", "--limit", "2", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 2
    assert {symbol["strike"] for symbol in found} == {25_000}
    assert cli.main(["search", "no such thing at all"]) == 1
    assert "no symbol fits" in capsys.readouterr().err
    assert cli.main(["search", "nifty", "--exchange", "MOON"]) == 2
    assert "MOON" in capsys.readouterr().err


def test_the_shell_completes_what_is_known(broker: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstock_ws.protocol.API_URL", broker.rest_url)
    assert complete_instrument("N") == ["NSE:", "NFO:"]
    assert complete_instrument("NSE:RELI") == []
    SymbolMaster(broker.rest_url).load("NSE", "Indices")
    assert "NSE:RELIANCE-EQ" in complete_instrument("nse:reli")
    assert "NSE:Nifty 50" in complete_instrument("NSE:NIFTY 5")
    assert len(complete_instrument("NSE:")) <= 50
    monkeypatch.setenv("_FIRSTOCK_WS_COMPLETE", "complete_bash")
    assert complete_instrument("N") == []


def test_chosen_fields_as_json(broker: Simulator) -> None:
    done = run("stream", RELIANCE, "--json", "--fields", "last_price, age", "--seconds", "1")
    quote = next(line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "quote")
    assert set(quote) == {"event", "instrument", "symbol", "last_price", "age"}
    assert isinstance(quote["age"], float)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["26000"], 2, "26000"),
        ([NIFTY, "--fields", "last_prize"], 2, "last_price"),
        ([NIFTY, "--greeks"], 2, "NFO"),
        ([NIFTY, "--seconds", "-1"], 2, "0 or more"),
    ],
)
def test_what_makes_no_sense(
    arguments: list[str], code: int, words: str, broker: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["stream", *arguments]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_a_key_that_is_refused(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    broker.expire_key()
    assert cli.main(["stream", NIFTY]) == 3
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    free_of_secrets(err)
    assert err.endswith("log in again: firstock-ws login\n")
    assert "jkey=" not in err, "advice for programs"


def test_a_key_that_dies_meanwhile(broker: Simulator) -> None:
    with Child(NIFTY) as child:
        child.line("quote ")
        broker.expire_key()
        code, out, err = child.end()
    assert code == 3
    assert "gave up: " in out
    assert err.count("\n") == 1


def test_nobody_there(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRSTOCK_URL", f"ws://127.0.0.1:{closed_port()}/ws")
    monkeypatch.setattr("firstock_ws.cli.live.CONNECT_TIMEOUT", 0.2)
    assert cli.main(["stream", NIFTY]) == 1
    assert "refused" in capsys.readouterr().err


def test_a_closed_pipe_ends_it_at_once_without_a_word(broker: Simulator) -> None:
    with Child(NIFTY, "--json") as child:
        child.line('{"event": "quote"')
        assert child.process.stdout is not None
        # Nothing more comes that could be written.
        child.process.stdout.close()
        assert child.process.wait(SLOW) == 1
        assert child.process.stderr is not None
        assert child.process.stderr.read() == ""
    assert broker.wait_for(lambda sim: sim.session_count() == 0)


def test_the_table(broker: Simulator) -> None:
    with Terminal("stream", RELIANCE, NIFTY, "BSE:1") as terminal:
        terminal.wait_for("● connected")
        assert broker.wait_for(lambda sim: sim.session_count() == 1)
        broker.place_order(RELIANCE, quantity=50)
        for words in ("COMPLETE", "Orders", "Positions"):
            terminal.wait_for(words)
        place = terminal.wait_for("reconnects 0")
        broker.drop()
        place = terminal.wait_for("reconnects 1", place)
        # No higher than the terminal, whatever its size becomes.
        terminal.resize(50, 10)
        place = terminal.wait_for("last quote", terminal.wait_for("…", place))
        terminal.type("\x03")
        assert terminal.end() == 130
        shown = terminal.written
    assert ALTERNATE in shown
    assert BACK in shown[place:]
    assert CURSOR in shown[place:]
    left = shown.rpartition(BACK)[2]
    assert "● ended" in left
    assert "Traceback" not in shown
    assert broker.wait_for(lambda sim: sim.session_count() == 0)


def test_sigterm_leaves_the_terminal_as_it_was(broker: Simulator) -> None:
    with Terminal("stream", NIFTY) as terminal:
        terminal.wait_for("● connected")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == -signal.SIGTERM
        assert BACK in terminal.written
    assert broker.wait_for(lambda sim: sim.session_count() == 0)


@pytest.mark.parametrize("moment", ["start", "stop"])
def test_ctrl_c_while_the_table_comes_or_goes_leaves_the_terminal_as_it_was(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=80, height=24)

    def press(live: Live, *args: Any, **options: Any) -> None:
        # Before rich has taken note of it, or after it has forgotten.
        written.write(ALTERNATE)
        raise KeyboardInterrupt

    monkeypatch.setattr(Live, moment, press)
    collector = Collector(newest_only=True)
    with pytest.raises(KeyboardInterrupt):
        show(collector, Screen(Board("a table"), console), seconds=0, over=lambda: False)
    assert written.getvalue().rpartition(ALTERNATE)[2].endswith(BACK + CURSOR)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color(no_color: str, broker: Simulator) -> None:
    with Terminal("stream", NIFTY, environment={"NO_COLOR": no_color}) as terminal:
        terminal.wait_for("last quote")
        terminal.type("\x03")
        terminal.end()
        colours = re.findall(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", terminal.written)
    assert bool(colours) is not bool(no_color)


def test_a_terminal_without_the_signs_shows_others(broker: Simulator) -> None:
    with Terminal("stream", NIFTY, environment={"PYTHONIOENCODING": "latin-1"}) as terminal:
        terminal.wait_for("? connected")
        terminal.type("\x03")
        assert terminal.end() == 130


def test_a_terminal_that_can_do_nothing_gets_lines(broker: Simulator) -> None:
    with Terminal("stream", NIFTY, environment={"TERM": "dumb"}) as terminal:
        terminal.wait_for(f"quote {NIFTY} last_price")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert ALTERNATE not in terminal.written


def test_debug_on_a_terminal_shows_the_log_and_no_secret(broker: Simulator) -> None:
    with Terminal("stream", NIFTY, "--debug") as terminal:
        terminal.wait_for(f"quote {NIFTY} last_price")
        broker.reset()
        terminal.wait_for("WARNING firstock_ws.")
        terminal.type("\x03")
        assert terminal.end() == 130


# --- the view ----------------------------------------------------------------------------------------------


@pytest.fixture
def full_board(sim: Simulator, make_client: ClientMaker) -> Board:
    """A board with something of everything."""
    wanted = [f"NSE:{1000 + number}" for number in range(30)]
    client = make_client(tokens=[*wanted, OPTION], option_greeks_tokens=[OPTION], rest_url=sim.rest_url)
    collector = Collector(newest_only=True)
    for name, callback in collector.callbacks().items():
        setattr(client, name, callback)
    connect(client, sim)
    for _ in range(10):
        sim.place_order(RELIANCE, quantity=5)
    board = Board("AB1234 at 127.0.0.1", ["nse:9999999|" + wanted[-1], *reversed(wanted)])

    def full() -> bool:
        board.apply(collector.take(0))
        return len(board.quotes) == 31 and len(board.orders) == 10 and bool(board.greeks and board.positions)

    wait_until(full)
    return board


@pytest.mark.parametrize("columns", [30, 60, 80, 200])
@pytest.mark.parametrize("rows", [5, 10, 16, 24, 50, 100])
@pytest.mark.parametrize("fields", [None, ["last_price", "bids", "best_ask"]], ids=["usual", "book"])
def test_the_view_fits_any_terminal(columns: int, rows: int, fields: list[str] | None, full_board: Board) -> None:
    console = Console(file=StringIO(), width=columns, height=rows, force_terminal=True, legacy_windows=False)
    lines = console.render_lines(picture(full_board, console, fields), pad=False)
    text = ["".join(segment.text for segment in line) for line in lines]
    assert len(text) <= rows
    assert max(map(len, text)) <= columns
    assert text[-1].startswith("● connected"), text
    assert any("NSE:1029" in line for line in text) or (rows < 10 if fields is None else rows < 24 or columns < 60)


def test_the_view_shows_everything_where_there_is_room(full_board: Board) -> None:
    console = Console(file=StringIO(), width=120, height=100, force_terminal=True)
    console.print(picture(full_board, console))
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert shown.index("NSE:1029") < shown.index("NSE:1000") < shown.index(OPTION)
    assert "no quote yet: NSE:9999999" in shown
    assert "NSE:9999999, " not in shown
    assert "make the terminal higher" not in shown
    for words in ("Greeks", "Orders", "Positions", "COMPLETE", "delta", "volume"):
        assert words in shown


# --- the way there -----------------------------------------------------------------------------------------


def test_callbacks_are_held_up_while_nobody_reads_and_let_go_at_the_end() -> None:
    collector = Collector(newest_only=False)
    put = collector.callbacks()["on_error"]
    writer = threading.Thread(target=lambda: [put(ValueError(str(number))) for number in range(LIMIT + 5)])
    writer.start()
    wait_until(lambda: len(collector._events) == LIMIT)
    assert len(collector.take(0)) == LIMIT
    writer.join(DEADLINE)
    assert [str(event.data) for event in collector.take(DEADLINE)] == [str(LIMIT + number) for number in range(5)]
    writer = threading.Thread(target=lambda: [put(ValueError()) for _ in range(LIMIT + 1)])
    writer.start()
    wait_until(lambda: len(collector._events) == LIMIT)
    collector.close()
    writer.join(DEADLINE)
    assert not writer.is_alive()


def test_only_the_newest_quote_is_kept_for_the_table(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens=[NIFTY])
    collector = Collector(newest_only=True)
    watched = Watched(client, ("on_quote",))
    connect(client, sim)
    sim.tick(NIFTY, count=5)
    quotes = watched.wait("on_quote", 6)
    for quote in quotes:
        collector.callbacks()["on_quote"](quote)
    assert [event.data for event in collector.take(0)] == quotes[-1:]


@pytest.mark.parametrize(
    ("kind", "data", "words", "values"),
    [
        ("close", (1006, "gone"), "connection closed: 1006 gone", {"code": 1006, "reason": "gone"}),
        ("reconnect", (2, 1.26), "try 2 to reconnect in 1.3 s", {"attempt": 2, "delay": 1.26}),
        (
            "noreconnect",
            UsageError("no"),
            "gave up: no",
            {"error": "UsageError", "message": "no"},
        ),
        ("error", ValueError("bad"), "error: bad", {"error": "ValueError", "message": "bad"}),
        ("note", "hello", "hello", {"text": "hello"}),
        ("connect", None, "connected: authenticated and subscribed", {}),
    ],
)
def test_events_in_words_and_as_json(kind: str, data: Any, words: str, values: dict[str, Any]) -> None:
    event = Event(kind, datetime(2026, 1, 2, 9, 15, tzinfo=IST), data)
    assert in_words(event, ()) == words
    expected = {"event": kind, "time": "2026-01-02T09:15:00+05:30", **values}
    assert json.loads(in_json(event, None)) == expected


def test_a_value_looks_the_same_in_json_however_it_was_chosen(full_board: Board) -> None:
    event = Event("quote", datetime(2026, 1, 2, 9, 15, tzinfo=IST), full_board.quotes["NSE:1029"])
    fields = ["last_price", "best_bid", "asks", "feed_time"]
    whole, chosen = json.loads(in_json(event, None)), json.loads(in_json(event, fields))
    assert whole["asks"]
    assert whole["best_bid"]["price"]
    assert {name: chosen[name] for name in fields} == {name: whole[name] for name in fields}


@pytest.mark.parametrize(
    "evil", ["\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "\r\n", "\u2028", "\u202e", "[/red]", "[red]"]
)
def test_the_brokers_words_do_not_steer_the_terminal(
    evil: str, sim: Simulator, make_client: ClientMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    evil += "."
    client = make_client()
    watched = Watched(client)
    connect(client, sim)
    sim.place_order(RELIANCE, quantity=5)
    order = replace(watched.wait("on_order_update")[0], rejection_reason=evil, trading_symbol=evil, side=evil)
    position = replace(watched.wait("on_position_update")[0], trading_symbol=evil, product=evil)
    at = datetime(2026, 1, 2, 9, 15, tzinfo=IST)
    events = [
        Event("order", at, order),
        Event("position", at, position),
        Event("close", at, (1000, evil)),
        Event("error", at, ValueError(evil)),
    ]
    for event in events:
        words = in_words(event, ())
        assert words.isprintable()
        assert showable(evil) in words
    board = Board(evil)
    board.apply(events)
    console = Console(file=StringIO(), width=200, height=60, force_terminal=True)
    console.print(picture(board, console))
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert shown.count(showable(evil)) >= 6
    assert evil.isprintable() or evil not in shown
    assert "\r" not in shown
    assert cli._report(ValueError(f"a {evil} b")) == cli.FAILED
    assert capsys.readouterr().err.removesuffix("\n").isprintable()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_standard_streams(closed: str, broker: Simulator) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "stream", RELIANCE, "--seconds", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SLOW)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("quote" in done.stdout) == (" >&-" not in f" {closed}")
