"""``login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import io
import json
import logging
import re
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from firstock_ws import IST, AuthenticationError, FirstockWS, Session, cli
from firstock_ws.access import Access, end_of, saved_access
from firstock_ws.cli.ask import ask
from firstock_ws.cli.credentials import six_digits
from firstock_ws.errors import UsageError
from firstock_ws.paths import session_file
from firstock_ws.simulator import Simulator
from tests.cli_support import (
    API_KEY,
    PASSWORD,
    TOTP_SECRET,
    Terminal,
    able_to_log_in,
    at,
    free_of_secrets,
)
from tests.support import KEY, Watched, closed_port

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def broker() -> Iterator[Simulator]:
    """A simulator that knows the password."""
    with Simulator(
        users={"AB1234": KEY}, passwords={"AB1234": PASSWORD}, rate=0, order_interval=None, seed=None
    ) as simulator:
        yield simulator


@pytest.fixture
def _able(home: Path, broker: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in able_to_log_in(broker).items():
        monkeypatch.setenv(name, value)


SINCE_NEVER = '{"user_id": "AB1234", "jkey": "0123456789", "since": "never"}'


def keep(sim: Simulator, since: datetime) -> Path:
    return Access(Session("AB1234", KEY, user_name="A TRADER"), sim.url, sim.rest_url, since).save()


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    out, err = capsys.readouterr()
    free_of_secrets(out, err)
    return out, err


def test_a_whole_day_at_a_terminal(broker: Simulator) -> None:
    with Terminal("login", *at(broker), "--save-profile", "sim") as terminal:
        place = terminal.wait_for("User id: ")
        assert terminal.echoes()
        terminal.type("AB1234\n")
        place = terminal.wait_for("Password: ", place)
        assert not terminal.echoes()
        terminal.type(f"{PASSWORD}\n")
        place = terminal.wait_for("Vendor code: ", place)
        terminal.type("AB1234_API\n")
        # The six digits last: they are good for half a minute.
        for label, answer in (("API key: ", API_KEY), ("secret): ", TOTP_SECRET.lower())):
            place = terminal.wait_for(label, place)
            assert not terminal.echoes()
            terminal.type(f"{answer}\n")
        assert terminal.end() == 0
        assert "Logged in as AB1234 (SIMULATED AB1234)" in terminal.written
    path = session_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert Session.load(path).jkey == broker.jkey
    assert broker.jkey not in terminal.written
    profile = next(path.parents[2].rglob("sim.json"))
    assert json.loads(profile.read_text()) == {
        "user_id": "AB1234",
        "vendor_code": "AB1234_API",
        "url": broker.url,
        "rest_url": broker.rest_url,
    }


def test_a_folder_that_others_can_look_into_is_closed(broker: Simulator) -> None:
    folder = session_file().parent
    folder.mkdir(mode=0o755, parents=True)
    keep(broker, datetime.now(IST))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.usefixtures("_able")
def test_nobody_is_logged_in_whose_session_could_not_be_kept(
    broker: Simulator, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "no folder").write_text("")
    monkeypatch.setattr("firstock_ws.access.session_file", lambda: home / "no folder" / "session.json")
    before = broker.jkey
    assert cli.main(["login", *at(broker)]) == 2
    assert "nobody was logged in" in said(capsys)[1]
    assert broker.jkey == before


@pytest.mark.usefixtures("_able")
def test_a_rest_address_without_its_version(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    rest_url = broker.rest_url.removesuffix("/V1")
    assert cli.main(["login", "--url", broker.url, "--rest-url", rest_url]) == 1
    err = said(capsys)[1]
    assert "ends in /V1" in err
    assert rest_url.removeprefix("http://") in err


def test_ctrl_c_at_a_prompt(broker: Simulator) -> None:
    with Terminal("login", "--user-id", "AB1234", *at(broker)) as terminal:
        terminal.wait_for("Password: ")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.written
    assert not session_file().exists()


@pytest.mark.usefixtures("_able")
def test_login_whoami_logout(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["login", *at(broker)]) == 0
    assert re.search(r"until \d\d \w+ 03:00 IST", said(capsys)[0])
    assert cli.main(["whoami"]) == 0
    out, _ = said(capsys)
    assert "AB1234 (SIMULATED AB1234)" in out
    assert f"127.0.0.1:{broker.port}" in out
    assert "since" in out
    assert cli.main(["logout"]) == 0
    assert "Logged out" in said(capsys)[0]
    assert broker.jkey == ""
    assert not session_file().exists()
    assert cli.main(["whoami"]) == 3
    assert "firstock-ws login" in said(capsys)[1]


@pytest.mark.usefixtures("_able")
def test_a_program_uses_the_session_of_the_command_line(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AuthenticationError, match="firstock-ws login"):
        FirstockWS.from_login()
    assert cli.main(["login", *at(broker)]) == 0
    with FirstockWS.from_login(tokens=["NSE:RELIANCE-EQ"]) as client:
        watched = Watched(client)
        client.connect()
        assert watched.wait("on_quote")[0].symbol == "RELIANCE-EQ"
        # The client goes on with the session of a later login, which ended its own.
        assert cli.main(["login", *at(broker)]) == 0
        broker.reset()
        watched.wait("on_connect", 2)
        # But not with somebody else's.
        monkeypatch.setenv("FIRSTOCK_USER_ID", "XY9876")
        monkeypatch.setenv("FIRSTOCK_JKEY", "0123456789")
        broker.reset()
        assert "somebody else" in str(watched.wait("on_noreconnect")[0])


@pytest.mark.usefixtures("_able")
@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("FIRSTOCK_PASSWORD", "another-word", 3, "Invalid password"),
        ("FIRSTOCK_USER_ID", "XX9999", 3, "Invalid userId"),
        ("FIRSTOCK_TOTP", "12345", 2, "neither six digits nor"),
        ("FIRSTOCK_PASSWORD", "", 2, "FIRSTOCK_PASSWORD"),
        ("FIRSTOCK_VENDOR_CODE", "", 2, "FIRSTOCK_VENDOR_CODE"),
    ],
)
def test_a_login_that_fails(
    name: str,
    value: str,
    code: int,
    words: str,
    broker: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert cli.main(["login", *at(broker)]) == code
    out, err = said(capsys)
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert not session_file().exists()


@pytest.mark.usefixtures("_able")
def test_a_wrong_totp(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps({"status": "failed", "code": "401", "error": {"field": "TOTP", "message": "Invalid 482913"}})
    broker.refuse_rest(401, {"Content-Type": "application/json"}, body)
    monkeypatch.setenv("FIRSTOCK_TOTP", "482913")
    assert cli.main(["login", *at(broker)]) == 3
    _, err = said(capsys)
    assert "login failed: Invalid ***" in err


@pytest.mark.usefixtures("_able")
def test_nothing_leaks_with_debug(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("firstock_ws")
    level, handlers = logger.level, list(logger.handlers)
    try:
        monkeypatch.setenv("FIRSTOCK_PASSWORD", "another-word-2")
        assert cli.main(["login", *at(broker), "--debug"]) == 3
    finally:
        logger.setLevel(level)
        logger.handlers = handlers
    _, err = said(capsys)
    assert "Traceback" in err
    assert "another-word-2" not in err


@pytest.mark.usefixtures("_able")
@pytest.mark.parametrize("options", [["--url", "ws://127.0.0.1:1/ws"], ["--rest-url", "http://127.0.0.1:1/V1"]])
def test_the_key_is_not_for_another_server(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["login", *options]) == 2
    assert "belong together" in said(capsys)[1]


@pytest.mark.usefixtures("_able")
def test_a_profile_with_a_secret_in_it(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["login", *at(broker), "--save-profile", "sim"]) == 0
    profile = next(session_file().parents[2].rglob("sim.json"))
    values = json.loads(profile.read_text())
    profile.write_text(json.dumps(values | {"password": "not-here", "api_key": 5}))
    for name in ("FIRSTOCK_USER_ID", "FIRSTOCK_VENDOR_CODE"):
        monkeypatch.delenv(name)
    said(capsys)
    assert cli.main(["login", "--profile", "sim"]) == 0
    out, err = said(capsys)
    assert "api_key, password: ignored" in err
    assert "not-here" not in out + err
    assert f"127.0.0.1:{broker.port}" in out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("none", None, "--save-profile"), ("../x", None, "letters"), ("bad", "[1", "no JSON object")],
)
def test_a_bad_profile(name: str, content: str | None, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        folder = session_file().parents[2] / "config" / "firstock-ws" / "profiles"
        folder.mkdir(parents=True)
        (folder / f"{name}.json").write_text(content)
    assert cli.main(["login", "--profile", name]) == 2
    assert words in said(capsys)[1]


def test_an_expired_session(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    keep(broker, datetime.now(IST) - timedelta(days=1))
    for command in (["whoami"], ["stream", "NSE:26000"]):
        assert cli.main(command) == 3
        out, err = said(capsys)
        assert out == ""
        assert "03:00 IST" in err
        assert "firstock-ws login" in err
    # It can still be ended and forgotten.
    assert cli.main(["logout"]) == 0
    assert not session_file().exists()


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime(2026, 1, 2, 9, 15, tzinfo=IST), datetime(2026, 1, 3, 3, tzinfo=IST)),
        (datetime(2026, 1, 2, 2, 59, tzinfo=IST), datetime(2026, 1, 2, 3, tzinfo=IST)),
        (datetime(2026, 1, 2, 3, 0, tzinfo=IST), datetime(2026, 1, 3, 3, tzinfo=IST)),
    ],
)
def test_a_session_ends_at_the_next_night(since: datetime, until: datetime) -> None:
    assert end_of(since) == until


def test_a_session_that_the_broker_ended_is_forgotten(
    broker: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(broker, datetime.now(IST))
    broker.expire_key()
    assert cli.main(["logout"]) == 0
    assert "dead already" in said(capsys)[0]
    assert not session_file().exists()


def test_a_session_that_could_not_be_ended_is_kept(broker: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    path = keep(broker, datetime.now(IST))
    broker.refuse_rest(503)
    assert cli.main(["logout"]) == 1
    assert "still logged in" in said(capsys)[1]
    assert path.exists()


def test_a_session_file_that_others_can_read_is_refused(
    broker: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(broker, datetime.now(IST)).chmod(0o644)
    assert cli.main(["whoami"]) == 2
    assert "chmod 600" in said(capsys)[1]


@pytest.mark.parametrize("text", ["{}", '{"user_id": "AB1234", "jkey": "0123456789"}', "[]", SINCE_NEVER])
def test_a_session_file_that_is_none_of_ours(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = session_file()
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o600)
    assert cli.main(["whoami"]) == 2
    assert "log in" in said(capsys)[1]


def test_a_session_from_the_environment(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(broker, datetime.now(IST))
    monkeypatch.setenv("FIRSTOCK_JKEY", KEY)
    assert cli.main(["whoami"]) == 2
    assert "FIRSTOCK_USER_ID is not" in said(capsys)[1]
    monkeypatch.setenv("FIRSTOCK_USER_ID", "AB1234")
    monkeypatch.setenv("FIRSTOCK_URL", broker.url)
    assert cli.main(["whoami"]) == 0
    assert "environment" in said(capsys)[0]
    assert cli.main(["logout"]) == 2
    assert "FIRSTOCK_REST_URL" in said(capsys)[1]
    monkeypatch.setenv("FIRSTOCK_REST_URL", broker.rest_url)
    assert cli.main(["logout"]) == 0
    # The kept one is another one.
    assert saved_access() is not None


def test_an_unreachable_broker(
    broker: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in able_to_log_in(broker).items():
        monkeypatch.setenv(name, value)
    nobody = f"127.0.0.1:{closed_port()}"
    assert cli.main(["login", "--url", f"ws://{nobody}/ws", "--rest-url", f"http://{nobody}/V1"]) == 1
    assert "no connection" in said(capsys)[1]


def test_a_totp_from_a_secret() -> None:
    assert six_digits(" 123 456 ") == "123456"
    # RFC 6238's key, in base32; and 16 letters, which are fewer bits than pyotp likes.
    for secret in ("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ", "gezdgnbvgy3tqojq"):
        assert re.fullmatch(r"\d{6}", six_digits(secret))
    for bad in ("12345", "1234567", "GEZDGNBV", "GEZDGNBVGY3TQOJ1"):
        with pytest.raises(UsageError):
            six_digits(bad)


def test_a_short_secret_gives_the_digits_of_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 59.0
    digest = hmac.new(b"1234567890", int(moment // 30).to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    secret = base64.b32encode(b"1234567890").decode()

    class Fixed(pyotp.TOTP):
        def now(self) -> str:
            return self.at(int(moment))

    monkeypatch.setattr(pyotp, "TOTP", Fixed)
    assert six_digits(secret) == f"{number % 10**6:06}"


def test_a_terminal_that_would_show_a_secret_is_not_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Showing(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Showing("my-Pass-word-1\n"))
    monkeypatch.setattr(getpass, "getpass", getpass.fallback_getpass)
    with pytest.raises(UsageError, match="FIRSTOCK_PASSWORD"):
        ask("Password", "FIRSTOCK_PASSWORD", secret=True)


def test_the_end_of_input_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Ended(""))
    with pytest.raises(UsageError, match="FIRSTOCK_USER_ID"):
        ask("User id", "FIRSTOCK_USER_ID")


def test_a_profile_is_named_before_anything_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["login", "--save-profile", "a/b"]) == 2
    assert "letters" in said(capsys)[1]
