"""A callback that fails in a program which listens to nothing: the first thing that goes wrong for a newcomer."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firstock_ws import ConnectError, Quote, Recorder, replay
from firstock_ws.bars import BarBuilder
from firstock_ws.simulator import Simulator
from firstock_ws.unheard import MOST, Unheard, is_heard
from tests.conftest import ClientMaker
from tests.support import KEY, closed_port, connect, wait_until

NIFTY, RELIANCE = "NSE:26000", "NSE:2885"


def nobody_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make logging what it is in a program that has not set it up.

    No fixture: before the test itself begins, pytest would see it, and listen to that logger too.
    """
    monkeypatch.setattr(logging.getLogger("firstock_ws"), "propagate", False)


def mistaken(quote: Quote) -> None:
    raise ValueError(f"a mistake of mine, with {KEY} in its text")


def fail_twice(
    client: ClientMaker, sim: Simulator, fail: Callable[[Quote], None] = mistaken, **options: object
) -> None:
    made = client(tokens=[NIFTY, RELIANCE], on_quote=fail, **options)
    connect(made, sim)
    wait_until(lambda: made.stats.callback_errors >= 2)
    made.close()


def test_what_fails_is_shown_once(
    make_client: ClientMaker,
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nobody_logs(monkeypatch)
    fail_twice(make_client, sim)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("Traceback") == 1
    assert "the callback on_quote raised; set on_error" in err
    assert "ValueError: a mistake of mine, with *** in its text" in err
    assert KEY not in err


def test_who_listens_to_on_error_is_told_there_alone(
    make_client: ClientMaker,
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nobody_logs(monkeypatch)
    told: list[BaseException] = []
    fail_twice(make_client, sim, on_error=told.append)
    assert {type(error) for error in told} == {ValueError}
    assert capsys.readouterr() == ("", "")


def test_on_error_that_fails_is_shown(
    make_client: ClientMaker,
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nobody_logs(monkeypatch)

    def also_mistaken(error: BaseException) -> None:
        raise TypeError("another")

    fail_twice(make_client, sim, on_error=also_mistaken)
    err = capsys.readouterr().err
    assert err.count("the callback on_error raised") == 1
    assert "TypeError: another" in err


def test_who_logs_finds_it_in_the_log(
    make_client: ClientMaker,
    sim: Simulator,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    fail_twice(make_client, sim)
    assert capsys.readouterr().err == ""
    assert caplog.text.count("Traceback") >= 2


def test_a_replay_shows_it_too(
    make_client: ClientMaker,
    sim: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nobody_logs(monkeypatch)
    path = tmp_path / "day.jsonl"
    live = make_client(tokens=[NIFTY])
    with Recorder(live, path):
        connect(live, sim)
        wait_until(lambda: live.stats.quotes_received)
        live.close()
    replay(path, make_client(on_quote=mistaken), speed="max")
    assert capsys.readouterr().err.count("Traceback") == 1


def test_a_log_that_is_turned_off_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_logs(monkeypatch)
    logger = logging.getLogger("firstock_ws.dispatch")
    assert not is_heard(logger)
    logging.disable()
    try:
        assert is_heard(logger)
    finally:
        logging.disable(logging.NOTSET)


def test_there_is_an_end_to_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    nobody_logs(monkeypatch)
    shown = Unheard(logging.getLogger("firstock_ws.dispatch"))
    for number in range(2 * MOST):
        shown.show(f"on_{number}", ValueError(str(number)))
    assert capsys.readouterr().err.count("ValueError") == MOST
    monkeypatch.setattr(logging, "lastResort", None)
    Unheard(logging.getLogger("firstock_ws.dispatch")).show("on_quote", ValueError())
    assert capsys.readouterr().err == ""


def test_mistakes_on_the_same_line_of_two_files_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody_logs(monkeypatch)
    shown = Unheard(logging.getLogger("firstock_ws.dispatch"))
    for name in ("one", "two", "one"):
        code = compile("raise ValueError", str(tmp_path / name), "exec")
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - it is made here
            exec(code)
        shown.show("on_quote", caught.value)
    assert capsys.readouterr().err.count("Traceback") == 2


def test_a_closed_stderr_costs_nothing(
    make_client: ClientMaker, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_logs(monkeypatch)
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    raised: list[Quote] = []

    def fail(quote: Quote) -> None:
        raised.append(quote)
        raise ValueError

    client = make_client(tokens=[NIFTY, RELIANCE], on_quote=fail)
    connect(client, sim)
    wait_until(lambda: len(raised) == 2)
    client.close()
    assert client.stats.callback_errors == 2


def test_a_server_that_is_not_there_is_shown_once(
    make_client: ClientMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody_logs(monkeypatch)
    client = make_client(url=f"ws://127.0.0.1:{closed_port()}/ws", reconnect_max_tries=2, reconnect_max_delay=0.01)
    # Its hooks in on_close and on_reconnect are not the user's ears.
    BarBuilder().attach(client)
    with pytest.raises(ConnectError, match="refused"):
        client.connect()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "connection refused" in err
    assert "trying again (set on_error" in err
