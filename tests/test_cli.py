"""The command line as a user types it: what all commands share, ``simulate`` and ``demo``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import requests
import websocket

from firstock_ws import __version__, cli
from firstock_ws.cli import app
from firstock_ws.cli.demo import NOTICE
from tests.cli_support import COMMAND, SLOW, Terminal, run
from tests.support import AUTHENTICATED, DEADLINE

pytestmark = pytest.mark.usefixtures("home")

COMMANDS = ("login", "logout", "whoami", "stream", "search", "record", "replay", "simulate", "demo", "doctor")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulate_prints_both_urls_serves_and_stops(number: signal.Signals) -> None:
    command = [*COMMAND, "simulate", "--port", "0", "--users", "AB1234:topsecret,X1:k1", "X2:k2", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        urls = process.stdout.readline().split()
        assert [url.split("/", 3)[3] for url in urls] == ["ws", "V2/ws"]
        for url, user, key in [(urls[0], "AB1234", "topsecret"), (urls[1], "X2", "k2")]:
            connection = websocket.create_connection(
                f"{url}?userId={user}&jKey={key}&source=developer-api", timeout=DEADLINE
            )
            assert connection.recv() == AUTHENTICATED
            connection.close()
        notice = process.stdout.readline()
        assert "source=developer-api" in process.stdout.readline()
        rest_url = process.stdout.readline().split()[-1]
        with requests.Session() as http:
            http.trust_env = False
            body = {"userId": "X1", "jKey": "k1"}
            assert http.post(f"{rest_url}/orderBook", json=body, timeout=DEADLINE).status_code == 200
        refused = websocket.create_connection(f"{urls[0]}?userId=AB1234&jKey=topsecret", timeout=DEADLINE)
        assert "unauthenticated" in refused.recv()
        refused.close()
        assert "any six digits" in process.stdout.readline()
        login = process.stdout.readline().split()
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out, err) == (0, "", "refused a client: source is not developer-api\n")
    assert "none of this is real" in notice
    assert "topsecret" not in notice
    assert login == f"firstock-ws login --user-id AB1234 --url {urls[0]} --rest-url {rest_url}".split()


def test_simulate_on_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments in (["--port", port], ["--port", "0", "--rest-port", port]):
            assert cli.main(["simulate", *arguments]) == 1
            assert f"cannot listen on port {port}: " in capsys.readouterr().err


def test_simulate_in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class StopSoon:
        def __init__(self) -> None:
            self.stopped = False

        def wait(self, seconds: float | None) -> bool:
            os.kill(os.getpid(), signal.SIGINT)
            return self.stopped

        def set(self) -> None:
            self.stopped = True

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr("firstock_ws.cli.serving.Flag", StopSoon)
        patch.setattr("firstock_ws.cli.simulate.Simulator", FakeSimulator)
        assert cli.main(["simulate", "--port", "0"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().out.startswith("ws://a ws://b\n")


class FakeSimulator:
    """Stands in for the simulator, whose own threads need the event that the test replaces."""

    url, url_v2, rest_url, user_id = "ws://a", "ws://b", "http://c", "AB1234"

    def __init__(self, **options: Any) -> None:
        assert options["users"] == {"AB1234": "secret"}

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate", "--users", "AB1234"], "USER:KEY"),
        (["simulate", "--users", "A:b", "C"], "USER:KEY"),
        (["simulate", "--port", "99999"], "port"),
        (["simulate", "--rate", "-1"], "0 or more"),
        (["simulate", "--rate", "x"], "--rate"),
        (["demo", "--wire", "v3"], "v3"),
        (["stream", "--nonsense"], "firstock-ws stream --help"),
        (["nonsense"], "nonsense"),
        ([], "firstock-ws --help"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"Example: firstock-ws {command}" in capsys.readouterr().out


def test_the_help_names_all_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert all(f"│ {command} " in out for command in COMMANDS)
    assert "130 Ctrl-C" in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert cli.main(["--debug", "--version"]) == 0
    assert capsys.readouterr().out == f"firstock-ws {__version__}\n" * 2


@pytest.mark.parametrize(
    ("missing", "extra"), [("typer", "cli"), ("rich", "cli"), ("websockets", "demo"), ("zstandard", "record")]
)
def test_without_an_extra_it_says_what_to_install(
    missing: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "parse", lambda arguments: _raise(ModuleNotFoundError("gone", name=f"{missing}.x")))
    assert cli.main(["demo"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f'pip install "firstock-ws[{extra}]"' in err


def _raise(error: Exception) -> Callable[[], int]:
    raise error


def test_without_typer_every_command_says_so() -> None:
    program = "import sys; sys.modules['typer'] = None; from firstock_ws.cli import main; sys.exit(main())"
    for arguments, code in ((["stream"], 2), (["--help"], 2), (["--version"], 0)):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=SLOW
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert ('"firstock-ws[cli]"' in done.stderr) is (code == 2)


def test_a_fault_of_ours_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (KeyError("x"), ModuleNotFoundError("no other", name="other")):
        monkeypatch.setattr(app, "parse", lambda arguments, error=error: _raise(error))
        assert cli.main(["demo"]) == 1
        assert capsys.readouterr().err.startswith(f"firstock-ws: unexpected {type(error).__name__}: ")


@pytest.mark.parametrize("command", [["simulate", "--port", "0"], ["demo", "--seconds", "1"]])
def test_a_pipe_that_is_closed_is_no_error_to_talk_about(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run([*COMMAND, *command], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("wire", ["v1", "v2"])
def test_the_demo_in_a_pipe(wire: str) -> None:
    done = run("demo", "--seconds", "4", "--wire", wire)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == lines[-1] == NOTICE
    assert sum(line.startswith("quote ") for line in lines) > 20
    assert any("COMPLETE" in line for line in lines)
    assert any(line.startswith("position RELIANCE") for line in lines)
    assert any("on purpose" in line for line in lines)
    assert lines.count("connected: authenticated and subscribed") == 2
    assert "  connections 2" in lines
    assert "\x1b" not in done.stdout


def test_the_demo_on_a_terminal() -> None:
    with Terminal("demo", "--seconds", "3") as terminal:
        assert terminal.end() == 0
        shown = terminal.written
    assert "SIMULATED DATA" in shown
    assert "● connected" in shown
    assert "reconnects 1" in shown
    assert "SENSEX" in shown
    assert "connections 2" in shown


def test_ctrl_c_ends_the_demo_with_its_figures() -> None:
    with Terminal("demo", "--seconds", "100") as terminal:
        terminal.wait_for("● connected")
        terminal.type("\x03")
        assert terminal.end() == 0
        assert "stopped by Ctrl-C" in terminal.written
        assert "quotes_received" in terminal.written


def test_importing_the_package_brings_in_no_extra() -> None:
    code = """if True:
        import sys, firstock_ws
        extras = {"rich", "typer", "pyotp", "websockets", "firstock_ws.cli", "firstock_ws.simulator"}
        print(sorted(extras & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
