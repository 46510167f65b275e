"""Connecting to the simulator: any client gets in with a good key, none with a bad one."""

from __future__ import annotations

import base64
import json
import logging
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import trustme
import websocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from firstock_ws.simulator import Behaviour, Simulator

QUIET: dict[str, Any] = {"rate": 0, "order_interval": None, "ping_interval": None}
SUCCESS = '{"status":"success","message":"Authentication successful"}'
UNAUTHENTICATED = '{"status":"failed","message":"unauthenticated"}'


def query(sim: Simulator, **changes: str) -> str:
    return urlencode({"userId": sim.user_id, "jKey": sim.jkey, "source": "developer-api", **changes})


def dial(sim: Simulator, url: str = "", **options: Any) -> websocket.WebSocket:
    return websocket.create_connection(f"{url or sim.url}?{query(sim)}", timeout=5, **options)


def enter(sim: Simulator) -> websocket.WebSocket:
    ws = dial(sim)
    assert ws.recv() == SUCCESS
    return ws


def frame(text: str, opcode: int = 1) -> bytes:
    """A client's frame, masked with zeros."""
    raw = text.encode()
    head = (
        struct.pack("!BB", 0x80 | opcode, 0x80 | len(raw))
        if len(raw) < 126
        else struct.pack("!BBH", 0x80 | opcode, 0xFE, len(raw))
    )
    return head + b"\0\0\0\0" + raw


def upgrade(sim: Simulator, path: str = "/ws", extra: str = "") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path}?{query(sim)} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        "UPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
        f"sec-websocket-KEY: {key}\r\nSec-Websocket-Version: 13\r\n{extra}\r\n"
    ).encode()


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=5, **QUIET) as simulator:
        yield simulator


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/V2/ws", "/V2/ws/"])
def test_the_first_frame_is_exactly_the_success_frame(sim: Simulator, path: str) -> None:
    with connect(f"ws://127.0.0.1:{sim.port}{path}?{query(sim, more='ignored')}") as ws:
        assert ws.recv() == SUCCESS
        assert sim.session_count() == 1
    assert sim.handshake_paths == [path]
    assert sim.handshakes == 1
    assert (sim.url, sim.url_v2) == (f"ws://127.0.0.1:{sim.port}/ws", f"ws://127.0.0.1:{sim.port}/V2/ws")


def test_an_odd_upgrade_request_is_welcome_and_nothing_is_compressed(sim: Simulator) -> None:
    extra = (
        "Origin: https://firstock.in\r\norigin: http://127.0.0.1\r\naccept-encoding: gzip, deflate, br\r\n"
        "cache-control: no-cache\r\npragma: no-cache\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    )
    with socket.create_connection(("127.0.0.1", sim.port), timeout=5) as plug:
        plug.sendall(upgrade(sim, extra=extra))
        answer = b""
        while SUCCESS.encode() not in answer:
            answer += plug.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in answer.lower()
    assert answer.endswith(bytes([0x81, len(SUCCESS)]) + SUCCESS.encode())


def test_websocket_client_with_the_brokers_own_headers(sim: Simulator) -> None:
    headers = {"origin": "https://firstock.in", "accept-encoding": "gzip", "cache-control": "no-cache"}
    ws = dial(sim, header=headers)
    assert ws.recv() == SUCCESS
    ws.close()
    assert sim.wait_for(lambda s: s.close_codes == [1000])


def test_websocket_app(sim: Simulator) -> None:
    texts: list[str] = []

    def on_message(app: websocket.WebSocketApp, text: str) -> None:
        texts.append(text)
        if text == SUCCESS:
            app.send('{"action":"subscribe","tokens":"NSE:26000"}')
        else:
            app.close()

    app = websocket.WebSocketApp(f"{sim.url_v2}?{query(sim)}", on_message=on_message)
    app.run_forever()
    assert texts[0] == SUCCESS
    assert "NSE:26000" in json.loads(texts[1])


@pytest.mark.parametrize(
    "changes", [{"jKey": "wrong"}, {"jKey": ""}, {"userId": "ZZ9999"}, {"source": "API"}, {"source": ""}]
)
def test_bad_credentials_get_the_failure_frame_and_a_close(sim: Simulator, changes: dict[str, str]) -> None:
    with connect(f"{sim.url}?{query(sim, **changes)}") as ws:
        assert ws.recv() == UNAUTHENTICATED
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert sim.peak_sessions == 0


def test_keys_are_url_decoded() -> None:
    with Simulator(users={"A B&1": "se+c/r=t%"}, **QUIET) as sim:
        ws = enter(sim)
        ws.close()
        assert (sim.user_id, sim.jkey) == ("A B&1", "se+c/r=t%")


def test_no_users_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one user"):
        Simulator(users={})


def test_after_a_failure_the_connection_may_end_with_a_bare_fin(sim: Simulator) -> None:
    sim.behaviour = Behaviour(close_after_failure="fin")
    with connect(f"{sim.url}?{query(sim, jKey='wrong')}") as ws:
        assert ws.recv() == UNAUTHENTICATED
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=5)
    assert closed.value.rcvd is None


@pytest.mark.parametrize(("failure", "status"), [("http401", 401), ("http403", 403)])
def test_bad_credentials_may_be_told_over_http(sim: Simulator, failure: Any, status: int) -> None:
    sim.behaviour = replace(sim.behaviour, auth_failure=failure)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"{sim.url}?{query(sim, jKey='wrong')}", timeout=5)
    assert refused.value.status_code == status
    assert refused.value.resp_body == UNAUTHENTICATED.encode()
    enter(sim).close()


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        ("status", '{"status":"failed","message":"Maximum sessions limit (2) reached"}'),
        ("text", "Maximum sessions limit (2) reached"),
        ("error", '{"error":{"message":"Maximum sessions limit (2) reached"}}'),
    ],
)
def test_one_session_too_many(envelope: Any, expected: str) -> None:
    with Simulator(max_sessions=2, behaviour=Behaviour(session_limit_envelope=envelope), **QUIET) as sim:
        sim.set_key("CD5678", "other")
        first, second = enter(sim), enter(sim)
        with connect(f"{sim.url}?{query(sim)}") as third:
            assert third.recv() == expected
            with pytest.raises(ConnectionClosed):
                third.recv(timeout=5)
        with connect(f"{sim.url}?{query(sim, userId='CD5678', jKey='other')}") as theirs:
            assert theirs.recv() == SUCCESS
            assert (sim.session_count(), sim.session_count("CD5678")) == (3, 1)
        first.close()
        assert sim.wait_for(lambda s: s.session_count(s.user_id) == 1)
        enter(sim).close()
        second.close()
        assert sim.peak_sessions == 3


def test_a_vanished_client_counts_until_it_is_forgotten() -> None:
    with Simulator(max_sessions=1, behaviour=Behaviour(forget_sessions_after=0.3), **QUIET) as sim:
        enter(sim).shutdown()
        assert sim.wait_for(lambda s: s.session_count() == 0)
        with connect(f"{sim.url}?{query(sim)}") as ws:
            assert "Maximum sessions limit (1)" in str(ws.recv())
        assert not sim.wait_for(lambda s: False, timeout=0.35)
        enter(sim).close()
        assert sim.wait_for(lambda s: s.session_count() == 0)
        enter(sim).close()


def test_what_comes_before_the_success_frame_is_dropped(sim: Simulator) -> None:
    early, late = '{"action":"subscribe","tokens":"NSE:1"}', '{"action":"subscribe","tokens":"NSE:2"}'
    with socket.create_connection(("127.0.0.1", sim.port), timeout=5) as plug:
        plug.sendall(upgrade(sim) + frame(early))
        answer = b""
        while SUCCESS.encode() not in answer:
            answer += plug.recv(4096)
        plug.sendall(frame(late))
        assert sim.wait_for(lambda s: s.subscriptions() == {"NSE:2"})
        assert (sim.early_actions, sim.actions) == ([early], [late])


def test_early_frames_are_dropped_without_any_delay_too() -> None:
    sim = Simulator(behaviour=Behaviour(auth_delay=0), **QUIET)
    with sim, socket.create_connection(("127.0.0.1", sim.port), timeout=5) as plug:
        plug.sendall(upgrade(sim) + frame('{"action":"subscribe","tokens":"NSE:1"}'))
        assert sim.wait_for(lambda s: s.session_count() == 1 and len(s.early_actions) == 1)
        assert sim.subscriptions() == set()


@pytest.mark.parametrize("send", ["send", "send_binary", "send_bytes"])
def test_actions_count_in_text_and_in_binary(sim: Simulator, send: str) -> None:
    ws = enter(sim)
    getattr(ws, send)(b'{"action": "subscribe", "tokens": "NSE:2885"}')
    assert json.loads(ws.recv())["c_symbol"] == "2885"
    ws.close()


def test_malformed_actions_are_ignored_and_the_session_lives_on(sim: Simulator) -> None:
    ws = enter(sim)
    rubbish = [
        "",
        "hello",
        "null",
        "[]",
        '"subscribe"',
        "{}",
        '{"action":"subscribe"}',
        '{"action":"subscribe","tokens":7}',
        '{"action":["subscribe"],"tokens":"NSE:1"}',
        '{"action":"shout","tokens":"NSE:1"}',
        '{"action":"subscribe","tokens":"2885||NSE:|:1|NSE 1"}',
    ]
    for text in rubbish:
        ws.send(text)
    ws.send(b"\xff\xfe", websocket.ABNF.OPCODE_BINARY)
    ws.send('{"action":"subscribe","tokens":"junk|NSE:2885|NSE:2885"}')
    assert json.loads(ws.recv())["c_symbol"] == "2885"
    assert sim.subscriptions() == {"NSE:2885"}
    assert sim.actions[: len(rubbish)] == rubbish
    ws.ping("hello")
    assert ws.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"hello")
    ws.close()


def test_plain_http_is_answered_and_is_no_handshake(sim: Simulator) -> None:
    for path, status in (("/ws", "426"), ("/elsewhere", "404")):
        with socket.create_connection(("127.0.0.1", sim.port), timeout=5) as plug:
            plug.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert plug.recv(4096).split()[1] == status.encode()
    assert sim.handshakes == 0


def test_tls() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with Simulator(ssl_context=server, **QUIET) as sim:
        assert sim.url.startswith("wss://127.0.0.1:")
        with connect(f"{sim.url}?{query(sim)}", ssl=client) as ws:
            assert ws.recv() == SUCCESS
            sim.hang_up()
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)
        with connect(f"{sim.url}?{query(sim)}", ssl=client) as ws:
            assert ws.recv() == SUCCESS
            sim.reset()
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)


def test_the_key_is_never_logged(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    # What the client libraries log is their own affair.
    logging.getLogger("websockets.client").setLevel(logging.INFO)
    enter(sim).close()
    with connect(f"{sim.url}?{query(sim, jKey='a-wrong-secret')}") as ws:
        ws.recv()
    with pytest.raises(OSError, match="426"):
        urlopen(f"http://127.0.0.1:{sim.port}/ws?{query(sim)}", timeout=5)
    with socket.create_connection(("127.0.0.1", sim.port), timeout=5) as plug:
        plug.sendall(f"GET /ws?{query(sim)} HTTP/9.9\r\n\r\n".encode())
        assert plug.recv(100) == b""
    # The library may log after it has closed a connection: all is said when it has stopped.
    sim.stop()
    assert "secret" not in caplog.text
    assert "jKey" not in caplog.text
    assert "secret" not in "".join(sim.handshake_paths)
    assert "secret" not in repr(sim)
