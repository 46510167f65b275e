"""Login and logout, against every answer that the broker documents and some that it does not."""

from __future__ import annotations

import json
import logging
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from firstock_ws import (
    AuthenticationError,
    FirstockError,
    RateLimitError,
    ServerError,
    Session,
    UsageError,
    login,
    logout,
)
from firstock_ws.rest.session import API_URL

PASSWORD, API_KEY, TOTP, JKEY = "my-Pass-word-1", "api-key-abcdef", "482913", "f" * 64


def do_login(**more: Any) -> Session:
    return login("AB1234", PASSWORD, TOTP, "AB1234_API", API_KEY, **more)


@pytest.fixture
def http() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def test_a_login(http: responses.RequestsMock) -> None:
    data = {"actid": "AB1234", "userName": "A TRADER", "susertoken": JKEY, "email": "a@b.c"}
    http.post(f"{API_URL}/login", json={"status": "success", "message": "Login successful", "data": data})
    session = do_login()
    assert (session.user_id, session.jkey, session.user_name) == ("AB1234", JKEY, "A TRADER")
    sent = json.loads(http.calls[0].request.body or b"")
    assert sent["userId"] == "AB1234"
    assert sent["TOTP"] == TOTP
    assert sent["vendorCode"] == "AB1234_API"
    assert sent["apiKey"] == API_KEY
    assert len(sent["password"]) == 64
    assert PASSWORD not in json.dumps(sent)
    for shown in (repr(session), str(session), f"{session}"):
        assert JKEY not in shown
        assert "AB1234" in shown


def test_the_password_is_sent_as_its_sha256(http: responses.RequestsMock) -> None:
    http.post(f"{API_URL}/login", json={"status": "success", "data": {"susertoken": JKEY}})
    login("AB1234", "abc", TOTP, "v", API_KEY)
    sent = json.loads(http.calls[0].request.body or b"")
    assert sent["password"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_refusal_says_what_of(http: responses.RequestsMock, status: int) -> None:
    body = {
        "status": "failed",
        "code": "401",
        "name": "INVALID_CREDENTIALS",
        "error": {"field": "password", "message": f"Invalid password {TOTP} {PASSWORD}"},
    }
    http.post(f"{API_URL}/login", json=body, status=status)
    with pytest.raises(AuthenticationError, match="Invalid password") as caught:
        do_login()
    assert (caught.value.field, caught.value.code, caught.value.name) == ("password", "401", "INVALID_CREDENTIALS")
    assert TOTP not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_refusal_in_another_shape(http: responses.RequestsMock) -> None:
    http.post(f"{API_URL}/login", json={"status": "failed", "message": "nope", "error": "x"}, status=400)
    with pytest.raises(AuthenticationError, match="nope") as caught:
        do_login()
    assert (caught.value.field, caught.value.code) == (None, "400")


def test_a_401_without_json_is_a_refusal(http: responses.RequestsMock) -> None:
    http.post(f"{API_URL}/login", body="<html>", status=401)
    with pytest.raises(AuthenticationError):
        do_login()


def test_the_rate_limit(http: responses.RequestsMock) -> None:
    http.post(f"{API_URL}/login", status=429, headers={"Retry-After": "3"})
    with pytest.raises(RateLimitError) as caught:
        do_login()
    assert caught.value.retry_after == 3.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("-1", 0.0), ("nan", None)],
)
def test_odd_retry_after_headers(http: responses.RequestsMock, header: str | None, seconds: float | None) -> None:
    http.post(f"{API_URL}/login", status=429, headers={"Retry-After": header} if header else {})
    with pytest.raises(RateLimitError) as caught:
        do_login()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("status", [500, 503])
def test_faults_of_theirs(http: responses.RequestsMock, status: int) -> None:
    http.post(f"{API_URL}/login", json={"status": "failed"}, status=status)
    with pytest.raises(ServerError) as caught:
        do_login()
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("not json", 200),
        ("", 200),
        ("[1]", 200),
        ("{}", 200),
        ("null", 400),
        ('{"status":"success"}', 200),
        ('{"status":"success","data":[]}', 200),
        ('{"status":"success","data":{"susertoken":" "}}', 200),
        ('{"status":"success","data":{"susertoken":"x"}}', 302),
    ],
)
def test_answers_that_are_not_the_brokers(http: responses.RequestsMock, body: str, status: int) -> None:
    http.post(f"{API_URL}/login", body=body, status=status, headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(ServerError):
        do_login()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (requests.exceptions.ConnectTimeout, "no answer within"),
        (requests.exceptions.ReadTimeout, "no answer within"),
        (requests.exceptions.SSLError, "TLS"),
        (requests.exceptions.ConnectionError, "network"),
        (requests.exceptions.ChunkedEncodingError, "network"),
    ],
)
def test_no_answer_at_all(http: responses.RequestsMock, fault: type[Exception], words: str) -> None:
    http.post(f"{API_URL}/login", body=fault(f"https://x/?password={PASSWORD}"))
    with pytest.raises(ServerError, match=words) as caught:
        do_login()
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error)
        assert not hasattr(error, "request"), "the library's exception holds the body"
        error = error.__cause__ or error.__context__
    assert isinstance(caught.value, FirstockError)


def test_a_connection_that_drops_and_one_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        base_url = f"http://127.0.0.1:{server.getsockname()[1]}/V1"

        def drop_one() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=drop_one)
        thread.start()
        with pytest.raises(ServerError, match="no connection"):
            do_login(base_url=base_url)
        thread.join()
        with pytest.raises(ServerError, match="no answer within"):
            do_login(base_url=base_url, timeout=0.2)


@pytest.mark.parametrize("empty", ["", "  ", None])
@pytest.mark.parametrize("position", range(5))
def test_empty_arguments_are_refused_before_anything_is_sent(empty: Any, position: int) -> None:
    arguments = ["AB1234", PASSWORD, TOTP, "v", API_KEY]
    name = ("user_id", "password", "totp", "vendor_code", "api_key")[position]
    arguments[position] = empty
    with pytest.raises(ValueError, match=name) as caught:
        login(*arguments)
    assert PASSWORD not in str(caught.value)


def test_logout(http: responses.RequestsMock) -> None:
    http.post(f"{API_URL}/logout", json={"status": "success", "message": "Successfully logged out"})
    logout(Session(user_id="AB1234", jkey=JKEY))
    assert json.loads(http.calls[0].request.body or b"") == {"userId": "AB1234", "jKey": JKEY}


def test_logout_of_something_else() -> None:
    with pytest.raises(TypeError, match="the Session that login returned"):
        logout("AB1234")  # type: ignore[arg-type]


def test_logout_with_a_dead_key(http: responses.RequestsMock) -> None:
    body = {"status": "failed", "code": "401", "name": "INVALID_JKEY", "error": {"field": "jKey", "message": JKEY}}
    http.post(f"{API_URL}/logout", json=body, status=401)
    with pytest.raises(AuthenticationError) as caught:
        logout(Session(user_id="AB1234", jkey=JKEY))
    assert caught.value.name == "INVALID_JKEY"
    assert JKEY not in str(caught.value)


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture, http: responses.RequestsMock) -> None:
    http.post(f"{API_URL}/login", json={"status": "success", "data": {"susertoken": JKEY}})
    with caplog.at_level(logging.DEBUG):
        do_login()
    assert not any(secret in caplog.text for secret in (PASSWORD, API_KEY, TOTP, JKEY))


def test_a_session_on_disk_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    session = Session("AB1234", JKEY, user_name="A TRADER")
    path.write_text("of before")
    path.chmod(0o644)
    session.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Session.load(path) == session
    assert [entry.name for entry in tmp_path.iterdir()] == ["session.json"]
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(UsageError, match="chmod 600") as caught:
            Session.load(path)
        assert JKEY not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"user_id": 1, "jkey": 5}', '{"user_id": "A", "jkey": " "}', "{"]
)
def test_a_file_that_holds_no_session(tmp_path: Path, text: str) -> None:
    path = tmp_path / "session.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="no session"):
        Session.load(path)


def test_a_session_that_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        Session("AB1234", JKEY).save(tmp_path / "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_the_key_of_a_loaded_session_is_hidden_from_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = "0123456789abcdef-of-a-loaded-session"
    Session("AB1234", key).save(tmp_path / "s")
    loaded = Session.load(tmp_path / "s")
    logging.getLogger("websocket").error("dialling %s", loaded.jkey)
    assert key not in caplog.text
    assert "dialling ***" in caplog.text


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"[" * 100_000, b'{"user_id":"A","jkey":["x"]}', b'{"user_id":5,"jkey":"x"}']
)
def test_odd_files_hold_no_session_and_tell_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "session.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="no session") as caught:
        Session.load(path)
    assert caught.value.__context__ is None


def test_many_may_save_at_once(tmp_path: Path) -> None:
    session = Session("AB1234", JKEY)
    failures: list[BaseException] = []

    def save() -> None:
        try:
            for _ in range(50):
                session.save(tmp_path / "session.json")
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=save) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Session.load(tmp_path / "session.json") == session
    assert len(list(tmp_path.iterdir())) == 1
