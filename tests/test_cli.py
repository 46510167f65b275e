"""The command line as a user types it."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
import requests
import websocket
from firstock_ws.demo import NOTICE, run_demo
from rich.console import Console

from firstock_ws import __version__, cli
from tests.support import AUTHENTICATED, DEADLINE

COMMAND = [sys.executable, "-m", "firstock_ws"]


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
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out, err) == (0, "", "refused a client: source is not developer-api\n")
    assert "none of this is real" in notice
    assert "topsecret" not in notice


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

        def wait(self, seconds: float) -> bool:
            os.kill(os.getpid(), signal.SIGINT)
            return self.stopped

        def set(self) -> None:
            self.stopped = True

    monkeypatch.setattr("firstock_ws.cli.threading.Event", StopSoon)
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr("firstock_ws.simulator.Simulator", FakeSimulator)
        assert cli.main(["simulate", "--port", "0"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().out.startswith("ws://a ws://b\n")


class FakeSimulator:
    """Stands in for the simulator, whose own threads need the event that the test replaces."""

    url, url_v2, rest_url = "ws://a", "ws://b", "http://c"

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
        (["simulate", "--port", "99999"], "port"),
        (["simulate", "--rate", "-1"], "0 or more"),
        (["simulate", "--rate", "x"], "0 or more"),
        (["demo", "--wire", "v3"], "v3"),
        ([], "COMMAND"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("simulate", "demo"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert f"example: firstock-ws {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> Any:
        def run(arguments: Any) -> int:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return run

    monkeypatch.setattr(cli, "_demo", missing("rich.console"))
    assert cli.main(["demo"]) == 2
    assert "firstock-ws[demo]" in capsys.readouterr().err
    monkeypatch.setattr(cli, "_demo", missing("something_else"))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["demo"])


@pytest.mark.parametrize("command", [["simulate", "--port", "0"], ["demo", "--seconds", "1"]])
def test_a_pipe_that_is_closed_is_no_error_to_talk_about(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run([*COMMAND, *command], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("wire", ["v1", "v2"])
def test_the_demo_in_a_pipe(wire: str) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "--seconds", "4", "--wire", wire], capture_output=True, text=True, timeout=60
    )
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
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    assert run_demo(seconds=1.5, wire="v1", console=screen) == 0
    assert isinstance(screen.file, io.StringIO)
    shown = screen.file.getvalue()
    assert "SIMULATED DATA" in shown
    assert "State: connected" in shown
    assert "Nifty Bank" in shown
    assert "connections" in shown


def test_importing_the_package_brings_in_no_extra() -> None:
    code = """if True:
        import sys, firstock_ws
        extras = {"rich", "websockets", "firstock_ws.cli", "firstock_ws.demo", "firstock_ws.simulator"}
        print(sorted(extras & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
