"""``doctor``, in good and bad conditions."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import trustme

from firstock_ws import IST, Session, cli
from firstock_ws.access import Access
from firstock_ws.cli import network
from firstock_ws.cli.checks import check_market
from firstock_ws.simulator import Simulator
from firstock_ws.symbols import SymbolMaster
from firstock_ws.symbols.store import default_folder
from tests.cli_support import free_of_secrets, logged_in, run
from tests.support import KEY, closed_port

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def broker() -> Iterator[Simulator]:
    """A simulator on the wall clock."""
    with Simulator(users={"AB1234": KEY}, rate=0, order_interval=None) as simulator:
        yield simulator


@pytest.fixture
def _session(broker: Simulator, home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in logged_in(broker).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(network, "PATIENCE", 1.0)


class Report:
    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = cli.main(["doctor", "--json", *arguments])
        out, err = capsys.readouterr()
        free_of_secrets(out, err)
        assert err == ""
        self.whole = json.loads(out)
        self.checks: dict[str, dict[str, Any]] = {check["name"]: check for check in self.whole["checks"]}

    def status(self, name: str) -> str:
        return str(self.checks[name]["status"])

    def failed(self) -> list[str]:
        assert self.whole["ok"] is (self.code == 0)
        return [name for name, check in self.checks.items() if check["status"] == "fail"]


@pytest.mark.usefixtures("_session")
def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(capsys)
    assert (report.code, report.failed()) == (0, [])
    for name in (
        "session",
        "key",
        "stream",
        "sessions",
        "first quote",
        "rest",
        "clock",
        "stream tcp",
    ):
        assert report.status(name) == "ok", report.checks[name]
    fast = importlib.util.find_spec("msgspec") and os.environ.get("FIRSTOCK_WS_FAST_PATH") != "0"
    assert report.status("fast path") == ("ok" if fast else "warn")
    assert report.checks["stream tls"]["detail"] == "not used"


@pytest.mark.usefixtures("_session")
def test_in_words(capsys: pytest.CaptureFixture[str], broker: Simulator) -> None:
    assert cli.main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert all(line.split()[0] in ("ok", "warn") for line in out.splitlines())
    assert "ok   key         accepted over REST" in out


def test_no_session(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(capsys, "--url", broker.url, "--rest-url", broker.rest_url)
    assert report.code == 0
    assert report.status("session") == "warn"
    assert "firstock-ws login" in report.checks["session"]["advice"]
    assert report.status("rest") == "ok"
    assert not {"key", "stream", "sessions"} & set(report.checks)
    assert report.status("not tried") == "warn"
    assert broker.rest_requests == ["orderBook"]


def test_a_rest_address_that_leads_nowhere(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(capsys, "--url", broker.url, "--rest-url", broker.rest_url.replace("/V1", "/nowhere"))
    assert report.failed() == ["rest"]
    assert "--rest-url" in report.checks["rest"]["advice"]


@pytest.mark.usefixtures("_session")
def test_a_dead_key(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    broker.expire_key()
    report = Report(capsys)
    assert (report.code, report.failed()) == (1, ["key"])
    assert "login" in report.checks["key"]["advice"]


@pytest.mark.usefixtures("_session")
def test_a_dead_key_where_rest_is_not_known(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FIRSTOCK_REST_URL")
    broker.expire_key()
    report = Report(capsys)
    assert report.failed() == ["stream"]
    assert "login" in report.checks["stream"]["advice"]


def test_an_expired_session(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    yesterday = datetime.now(IST) - timedelta(days=1)
    Access(Session("AB1234", KEY), broker.url, broker.rest_url, yesterday).save()
    report = Report(capsys)
    assert report.failed() == ["session"]
    # A key is not shown to another server either.
    assert "stream" not in report.checks
    assert "key" not in report.checks


def test_the_key_goes_to_no_other_server(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    Access(Session("AB1234", KEY), "ws://127.0.0.1:1/ws", "http://127.0.0.1:1/V1", datetime.now(IST)).save()
    report = Report(capsys, "--url", broker.url, "--rest-url", broker.rest_url)
    assert not {"key", "stream"} & set(report.checks)
    assert broker.handshakes == 0


@pytest.mark.usefixtures("_session")
def test_three_sessions_are_open(capsys: pytest.CaptureFixture[str], broker: Simulator, monkeypatch: Any) -> None:
    with Simulator(users={"AB1234": KEY}, rate=0, order_interval=None, max_sessions=0) as full:
        monkeypatch.setenv("FIRSTOCK_URL", full.url)
        report = Report(capsys)
    assert report.failed() == ["sessions"]
    assert "close one" in report.checks["sessions"]["advice"]


@pytest.mark.usefixtures("_session")
def test_no_quote_comes(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(network, "FIRST_QUOTE", "ZZZ:1")
    report = Report(capsys)
    assert report.status("first quote") in ("warn", "ok")


@pytest.mark.usefixtures("_session")
def test_rest_has_a_fault(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    broker.refuse_rest(503)
    report = Report(capsys)
    assert report.failed() == ["rest"]
    # The stream is looked at all the same.
    assert report.status("stream") == "ok"


@pytest.mark.usefixtures("_session")
def test_rest_says_nothing(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    broker.hush_rest()
    assert Report(capsys).failed() == ["rest"]


@pytest.mark.usefixtures("_session")
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv("FIRSTOCK_URL", f"ws://{nobody}/ws")
    monkeypatch.setenv("FIRSTOCK_REST_URL", f"http://{nobody}/V1")
    report = Report(capsys)
    assert report.failed() == ["stream tcp", "rest tcp"]
    assert "refused" in report.checks["stream tcp"]["detail"]


def test_offline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def down(*args: object, **options: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", down)
    report = Report(capsys)
    assert report.failed() == ["stream dns", "rest dns"]
    assert "network" in report.checks["stream dns"]["advice"]


def test_a_look_up_that_never_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    over = threading.Event()
    monkeypatch.setattr(network, "PATIENCE", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: over.wait() or [])
    try:
        report = Report(capsys)
    finally:
        over.set()
    assert "no answer" in report.checks["stream dns"]["detail"]


@pytest.mark.parametrize(("offset", "status"), [(-3600, "fail"), (10, "warn"), (0, "ok")])
@pytest.mark.usefixtures("_session")
def test_the_clock(
    offset: float, status: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = network._clock
    monkeypatch.setattr(network, "_clock", lambda epoch, took: real(int(epoch - offset), took))
    assert Report(capsys).status("clock") == status


def test_tls(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    with Simulator(rate=0, order_interval=None, ssl_context=server) as broker:
        options = ("--url", broker.url, "--rest-url", broker.rest_url)
        report = Report(capsys, *options)
        assert report.failed() == ["stream tls", "rest tls"]
        assert "certificate was refused" in report.checks["stream tls"]["detail"]
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        monkeypatch.setattr(network, "default_context", lambda: trusting)
        report = Report(capsys, *options)
        assert report.status("stream tls") == "ok"
        assert "days" in report.checks["stream tls"]["detail"]
        soon = time.time() + 3 * 86_400
        monkeypatch.setattr(network.ssl, "cert_time_to_seconds", lambda text: soon)
        assert Report(capsys, *options).status("stream tls") == "warn"


def test_no_tls_where_there_should_be(capsys: pytest.CaptureFixture[str], broker: Simulator) -> None:
    options = ("--url", broker.url.replace("ws:", "wss:"), "--rest-url", broker.rest_url)
    assert "handshake" in Report(capsys, *options).checks["stream tls"]["detail"]


def test_libraries_and_the_fast_path(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--url", broker.url, "--rest-url", broker.rest_url)
    monkeypatch.setenv("FIRSTOCK_WS_FAST_PATH", "0")
    monkeypatch.setattr("firstock_ws.cli.checks._version", lambda name: "1.9.0")
    report = Report(capsys, *options)
    assert report.failed() == ["libraries"]
    assert report.status("fast path") == "warn"
    monkeypatch.delenv("FIRSTOCK_WS_FAST_PATH")
    monkeypatch.setattr("firstock_ws.cli.checks.importlib.util.find_spec", lambda name: None)
    assert "firstock-ws[fast]" in Report(capsys, *options).checks["fast path"]["advice"]
    monkeypatch.setattr("firstock_ws.connection.library.fits", lambda: False)
    assert Report(capsys, *options).status("fast path") == "warn"


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (datetime(2026, 1, 2, 9, 14, tzinfo=IST), "closed"),
        (datetime(2026, 1, 2, 9, 15, tzinfo=IST), "open"),
        (datetime(2026, 1, 2, 15, 30, tzinfo=IST), "closed"),
        (datetime(2026, 1, 3, 11, 0, tzinfo=IST), "closed"),
    ],
)
def test_market_hours(moment: datetime, words: str) -> None:
    assert check_market(moment).detail.startswith(words)


def test_an_address_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--url", "nonsense", "--rest-url", "http://127.0.0.1/V1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_session_file_that_others_can_read(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    Access(Session("AB1234", KEY), broker.url, broker.rest_url, datetime.now(IST)).save().chmod(0o644)
    report = Report(capsys, "--url", broker.url, "--rest-url", broker.rest_url)
    assert report.failed() == ["session"]
    assert "chmod 600" in report.checks["session"]["detail"]


def test_in_a_process_of_its_own(broker: Simulator) -> None:
    done = run("doctor", environment=logged_in(broker))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_age_of_symbol_files(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--url", broker.url, "--rest-url", broker.rest_url)
    assert "no file kept" in Report(capsys, *options).checks["symbols"]["detail"]
    SymbolMaster(broker.rest_url).load("NSE", "NFO")
    found = Report(capsys, *options).checks["symbols"]
    assert found["status"] == "ok"
    assert found["detail"].startswith("NSE, NFO, the oldest of ")
    monkeypatch.setattr("firstock_ws.symbols.source.next_due", lambda checked_at: 0.0)
    assert Report(capsys, *options).status("symbols") == "warn"
    next(default_folder().rglob("NFO.csv")).write_text("cut short")
    assert "NFO damaged" in Report(capsys, *options).checks["symbols"]["detail"]
