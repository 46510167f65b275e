"""Losing connections and getting them back; giving up where there is no hope."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import itertools
import os
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from firstock_ws import (
    AuthenticationError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    FirstockError,
    FirstockWS,
    RateLimitError,
    SessionLimitError,
    State,
)
from firstock_ws.backoff import Backoff
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, KEY, Watched, closed_port, read_request, tcp_server, wait_until

QUICK = {"reconnect_max_delay": 0.05}


# --- lost connections --------------------------------------------------------------------------------------------

LOSSES: list[tuple[str, Callable[[Simulator], object], int]] = [
    ("1000", lambda sim: sim.drop(1000, "bye"), 1000),
    ("1001", lambda sim: sim.drop(1001), 1001),
    ("1011", lambda sim: sim.drop(1011, "trouble"), 1011),
    ("1012", lambda sim: sim.drop(1012), 1012),
    ("reset", lambda sim: sim.reset(), 1006),
    ("fin", lambda sim: sim.hang_up(), 1006),
]


@pytest.mark.parametrize(("cut", "code"), [loss[1:] for loss in LOSSES], ids=[loss[0] for loss in LOSSES])
@pytest.mark.parametrize("wire", ["url", "url_v2"])
def test_a_lost_connection_comes_back_with_its_subscriptions(
    sim: Simulator, make_client: ClientMaker, cut: Callable[[Simulator], object], code: int, wire: str
) -> None:
    client = make_client(tokens=["NSE:26000", "NSE:2885"], url=getattr(sim, wire), **QUICK)
    client.subscribe_option_greeks("NFO:44278")
    watched = Watched(client)
    client.connect(DEADLINE)
    watched.wait("on_quote", 2)
    sim.refuse(503)
    cut(sim)
    watched.wait("on_reconnect", 2)
    assert client.state in (State.WAITING, State.CONNECTING)
    client.subscribe("NSE:7")
    client.unsubscribe("NSE:26000")
    before = len(sim.actions)
    sim.accept()
    watched.wait("on_connect", 2)
    quotes = watched.wait("on_quote", 4)[2:]
    assert {quote.instrument for quote in quotes} == {"NSE:2885", "NSE:7"}
    assert all(quote.raw.get("i_open_price") and quote.open for quote in quotes), "fresh snapshots"
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:2885", "NSE:7"})
    assert sim.wait_for(lambda sim: sim.greeks_subscriptions() == {"NFO:44278"})
    assert len(sim.actions) == before + 2, "quotes and greeks, each in one go"
    assert sim.peak_sessions == 1
    assert [given[0] for given in watched.of("on_close")] == [code]
    first_error = watched.of("on_error")[0]
    assert isinstance(first_error, ConnectionLostError)
    assert first_error.code == code
    assert watched.of("on_close")[0][1] == first_error.reason
    order = [name for name in watched.names() if name not in ("on_quote", "on_option_greeks")]
    assert order[:4] == ["on_connect", "on_error", "on_close", "on_reconnect"]
    assert order[-1] == "on_connect"
    attempts = [attempt for attempt, _ in watched.of("on_reconnect")]
    assert attempts == list(range(1, len(attempts) + 1))
    assert all(0 <= delay <= 0.05 for _, delay in watched.of("on_reconnect"))
    assert client.stats.connections == 2


def test_nothing_of_before_shines_through_after_a_reconnect(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(**QUICK)
    watched = Watched(client)
    client.connect(DEADLINE)
    sim.push('{"c_exch_seg":"NSE","c_symbol":"999","i_open_price":100,"i_high_price":200}')
    watched.wait("on_quote")
    sim.drop(1001)
    watched.wait("on_connect", 2)
    sim.push('{"c_exch_seg":"NSE","c_symbol":"999","i_high_price":300}')
    quote = watched.wait("on_quote", 2)[1]
    assert (quote.open, quote.high) == (None, 3.0)


def test_a_server_that_is_killed_and_comes_back(make_client: ClientMaker) -> None:
    port = closed_port()
    command = [sys.executable, "-m", "firstock_ws", "simulate", "--port", str(port), "--users", f"AB1234:{KEY}"]
    command += ["--rate", "0", "--orders-every", "0"]

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ws://")
        return process

    server = start()
    client = make_client(url=f"ws://127.0.0.1:{port}/ws", tokens="NSE:26000", **QUICK)
    watched = Watched(client)
    try:
        client.connect(DEADLINE)
        watched.wait("on_quote")
        server.send_signal(signal.SIGKILL)
        watched.wait("on_close")
        watched.wait("on_reconnect", 2)
    finally:
        server.kill()
        server.communicate()
    server = start()
    try:
        watched.wait("on_connect", 2)
        watched.wait("on_quote", 2)
    finally:
        server.terminate()
        server.communicate()
    assert client.stats.connections == 2


def test_a_server_that_says_nothing_any_more_is_found_by_pings(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens="NSE:26000", ping_interval=0.2, ping_timeout=0.2, **QUICK)
    watched = Watched(client)
    client.connect(DEADLINE)
    sim.go_silent()
    code, reason = watched.wait("on_close")[0]
    assert code == 1006
    assert "ping" in reason
    sim.resume()
    watched.wait("on_connect", 2)


def test_a_quiet_server_that_answers_pings_is_left_alone(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(ping_interval=0.05, ping_timeout=2.0)
    watched = Watched(client)
    client.connect(DEADLINE)
    pinged = threading.Event()
    heard = client._feed.counts().frames
    assert not pinged.wait(0.5), "half a second of pings"
    assert client.is_connected
    assert client._feed.counts().frames == heard
    assert watched.of("on_close") == []


def test_half_a_frame_and_then_silence(make_client: ClientMaker) -> None:
    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        sock.sendall(b"\x81\x7e\x10\x00half of it")
        sock.recv(100)

    with tcp_server(serve) as url:
        client = make_client(url=url, io_timeout=0.3, **QUICK)
        watched = Watched(client)
        client.connect(DEADLINE)
        error = watched.wait("on_error")[0]
        assert isinstance(error, ConnectionLostError)
        assert "middle of a frame" in str(error)
        client.close()


def test_a_server_that_does_not_read_what_is_sent(make_client: ClientMaker) -> None:
    release = threading.Event()

    def serve(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        accept_upgrade(sock)
        release.wait(3 * DEADLINE)

    with tcp_server(serve) as url:
        client = make_client(url=url, io_timeout=0.3, **QUICK)
        watched = Watched(client)
        client.connect(DEADLINE)
        client.subscribe([f"NSE:{number:020d}" for number in range(400_000)])
        error = watched.wait("on_error", timeout=3 * DEADLINE)[0]
        assert "does not read" in str(error)
        assert len(client.subscriptions) == 400_000, "nothing is forgotten"
        client.close()
        release.set()


def accept_upgrade(sock: socket.socket, then: str = '{"status":"success","message":"x"}') -> None:
    request = read_request(sock)
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    if found is None:
        raise ConnectionError("the client went away")
    digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    sock.sendall(answer + b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n")
    text = then.encode()
    sock.sendall(bytes([0x81, len(text)]) + text)


# --- tries that fail ---------------------------------------------------------------------------------------------


def first_error(client: FirstockWS) -> FirstockError:
    """Let `client` try until it tells of an error, and check that it means to try again."""
    watched = Watched(client)
    thread = threading.Thread(target=client.run_forever)
    thread.start()
    error: FirstockError = watched.wait("on_error")[0]
    watched.wait("on_reconnect")
    client.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert watched.of("on_close") == []
    assert KEY not in str(error)
    return error


def test_a_name_that_cannot_be_looked_up(make_client: ClientMaker) -> None:
    error = first_error(make_client(url="wss://no-such-host.invalid/ws"))
    assert isinstance(error, ConnectError)
    assert "cannot look up no-such-host.invalid" in str(error)
    assert "cannot look up" in str(first_error(make_client(url=f"ws://{'a' * 70}.invalid/ws")))


def test_a_port_that_refuses(make_client: ClientMaker) -> None:
    error = first_error(make_client(url=f"ws://127.0.0.1:{closed_port()}/ws"))
    assert "connection refused" in str(error)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_server_that_accepts_and_says_nothing(make_client: ClientMaker, scheme: str) -> None:
    with tcp_server(lambda sock: [None for _ in iter(lambda: sock.recv(100), b"")] and None) as url:
        error = first_error(make_client(url=url.replace("ws:", f"{scheme}:"), connect_timeout=0.3))
    assert isinstance(error, ConnectTimeoutError)


def test_a_handshake_that_drips(make_client: ClientMaker) -> None:
    pause = threading.Event()

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        for letter in itertools.cycle(b"HTTP/1.1 101 x"):
            sock.sendall(bytes([letter]))
            pause.wait(0.05)

    with tcp_server(serve) as url:
        error = first_error(make_client(url=url, connect_timeout=0.4))
        assert isinstance(error, ConnectTimeoutError)
        assert "handshake" in str(error)


def test_a_server_that_never_says_whether_the_key_is_good(make_client: ClientMaker) -> None:
    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock, then='{"i_open_price":1}')
        sock.recv(1000)

    with tcp_server(serve) as url:
        client = make_client(url=url, connect_timeout=0.3)
        client.on_message = print
        watched = Watched(client, ("on_error", "on_reconnect"))
        with pytest.raises(ConnectTimeoutError):
            client.connect(timeout=0.6)
        assert any("word on the jKey" in str(error) for error in watched.of("on_error"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret", "login page"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "404"),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n\r\n", "busy or down"),
        (
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "handshake",
        ),
        (b"SSH-2.0-secret\r\n\r\n", "handshake"),
        (b"", "cut"),
    ],
)
def test_answers_to_the_upgrade_that_are_none(make_client: ClientMaker, answer: bytes, words: str) -> None:
    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer)

    with tcp_server(serve) as url:
        error = first_error(make_client(url=url))
    assert isinstance(error, ConnectError)
    assert words in str(error)
    assert "secret" not in str(error)


# websocket-client leaves the socket that it can't use for the redirect to the interpreter.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_redirect_is_refused_and_its_target_hears_nothing(make_client: ClientMaker) -> None:
    heard: list[bytes] = []

    def target(sock: socket.socket) -> None:
        heard.append(sock.recv(1000))

    with tcp_server(target) as target_url:

        def serve(sock: socket.socket) -> None:
            read_request(sock)
            sock.sendall(f"HTTP/1.1 302 Found\r\nLocation: {target_url}\r\nContent-Length: 0\r\n\r\n".encode())

        with tcp_server(serve) as url:
            error = first_error(make_client(url=url))
    assert "redirect" in str(error)
    assert heard in ([], [b""])


def test_retry_after_is_respected(sim: Simulator, make_client: ClientMaker) -> None:
    sim.refuse(429, {"Retry-After": "7"})
    client = make_client()
    watched = Watched(client)
    with pytest.raises(ConnectTimeoutError, match="429"):
        client.connect(timeout=0.5)
    ((attempt, delay),) = watched.of("on_reconnect")
    assert attempt == 1
    assert 7.0 <= delay <= 8.0, "jitter on top: the server asks all clients for the same"
    assert sim.handshakes == 1


@pytest.mark.parametrize("header", ["99999999999", "1e300", "Wed, 21 Oct 9999 07:28:00 GMT"])
def test_a_retry_after_without_end_is_cut_to_an_hour(
    sim: Simulator, make_client: ClientMaker, header: str
) -> None:
    sim.refuse(503, {"Retry-After": header})
    client = make_client()
    watched = Watched(client)
    with pytest.raises(ConnectTimeoutError):
        client.connect(timeout=0.3)
    assert 3600.0 <= watched.of("on_reconnect")[0][1] <= 3601.0


def test_no_thread_to_be_had_is_tried_again(make_client: ClientMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    refused: set[str] = set()

    def refuse_once(thread: threading.Thread) -> None:
        if thread.name.startswith("firstock-ws") and thread.name not in refused:
            refused.add(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    client = make_client(tokens="NSE:26000", **QUICK)
    watched = Watched(client)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="new thread"):
            client.connect(DEADLINE)
    client.connect(DEADLINE)
    watched.wait("on_quote")
    assert any("resources" in str(error) for error in watched.of("on_error"))
    with pytest.raises(RuntimeError, match="new thread"):
        client.close()
    client.close()
    assert client.state is State.STOPPED


def test_giving_up_after_so_many_tries(make_client: ClientMaker) -> None:
    client = make_client(url=f"ws://127.0.0.1:{closed_port()}/ws", reconnect_max_tries=2, **QUICK)
    watched = Watched(client)
    with pytest.raises(ConnectError, match="refused"):
        client.run_forever()
    expected = ["on_error", "on_reconnect", "on_error", "on_reconnect", "on_error", "on_noreconnect"]
    assert watched.names() == expected
    assert client.state is State.FAILED


def test_no_reconnect_when_not_wanted(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(reconnect=False)
    watched = Watched(client)
    client.connect(DEADLINE)
    sim.drop(1011, "out")
    assert isinstance(watched.wait("on_noreconnect")[0], ConnectionLostError)
    assert watched.names() == ["on_connect", "on_error", "on_close", "on_noreconnect"]
    wait_until(lambda: client.state is State.FAILED)
    assert sim.handshakes == 1


def test_waits_grow_with_full_jitter_up_to_the_limit() -> None:
    runs = []
    for _ in range(300):
        backoff = Backoff(max_delay=60.0)
        runs.append([backoff.next_delay() for _ in range(12)])
    columns = list(zip(*runs, strict=True))
    for column, ceiling in zip(columns, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60], strict=True):
        assert 0 <= min(column) <= max(column) <= ceiling
        assert ceiling * 0.35 < statistics.mean(column) < ceiling * 0.65
    backoff.reset()
    assert backoff.next_delay() <= 1


def test_a_short_life_does_not_make_the_waits_short_again(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(reconnect_max_delay=0.2)
    watched = Watched(client)
    client.connect(DEADLINE)
    for turn in range(1, 6):
        sim.drop(1001)
        watched.wait("on_connect", turn + 1)
    supervisor = client._lifecycle.supervisor
    assert supervisor is not None
    assert supervisor._backoff._ceiling == 0.2, "grown to its limit"
    assert {attempt for attempt, _ in watched.of("on_reconnect")} == {1}, "each try succeeded"


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """An address that never answers: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems answer when the queue is full")
def test_a_network_that_swallows_everything(make_client: ClientMaker) -> None:
    with black_hole() as url:
        error = first_error(make_client(url=url, connect_timeout=0.3))
        assert isinstance(error, ConnectError)
        assert "timed out" in str(error) or "connect_timeout" in str(error)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems answer when the queue is full")
@pytest.mark.parametrize("phase", ["dial", "tls", "handshake", "key", "wait"])
def test_close_in_every_phase_returns_in_time_and_nothing_comes_after(
    sim: Simulator, make_client: ClientMaker, phase: str
) -> None:
    arrived = threading.Event()

    def say_nothing(sock: socket.socket) -> None:
        if phase == "key":
            accept_upgrade(sock, then="{}")
        arrived.set()
        while sock.recv(100):
            pass

    with black_hole() as hole, tcp_server(say_nothing) as silent:
        url = {"dial": hole, "tls": silent.replace("ws:", "wss:"), "wait": sim.url}.get(phase, silent)
        client = make_client(url=url, connect_timeout=30)
        watched = Watched(client)
        if phase == "wait":
            sim.refuse(503, {"Retry-After": "60"})
        thread = threading.Thread(target=client.run_forever)
        thread.start()
        if phase == "wait":
            watched.wait("on_reconnect")
        elif phase == "dial":
            wait_until(lambda: client.state is State.CONNECTING)
        else:
            assert arrived.wait(DEADLINE)
        started = time.monotonic()
        client.close()
        assert time.monotonic() - started < 5, "the promise; an open server has one second to say goodbye"
        thread.join(DEADLINE)
        assert client.state is State.STOPPED
        assert set(watched.names()) <= {"on_error", "on_reconnect"}
        assert sim.session_count() == 0


def test_the_second_address_of_a_name_is_tried(
    sim: Simulator, make_client: ClientMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", closed_port()))
    unknown = (12345, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))
    alive = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", sim.port))
    monkeypatch.setattr("firstock_ws.dial.socket.getaddrinfo", lambda *args, **options: [unknown, dead, alive])
    make_client(url="ws://three-addresses.example/ws").connect(DEADLINE)
    monkeypatch.setattr("firstock_ws.dial.socket.getaddrinfo", lambda *args, **options: [unknown])
    assert "not supported" in str(first_error(make_client(url="ws://odd.example/ws")))
    monkeypatch.setattr("firstock_ws.dial.socket.getaddrinfo", lambda *args, **options: [])
    assert "no address" in str(first_error(make_client(url="ws://none.example/ws")))


def test_a_fault_of_ours_is_told_and_ends_the_stream(
    make_client: ClientMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    watched = Watched(client)

    def trip() -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(client._keys, "next", trip)
    with pytest.raises(FirstockError, match="see the log"):
        client.connect(DEADLINE)
    assert watched.names() == ["on_error", "on_noreconnect"]
    assert "RuntimeError: a fault" in caplog.text


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_simulator(authority: trustme.CA, host: str) -> Simulator:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return Simulator(users={"AB1234": KEY}, rate=0, order_interval=None, ssl_context=context)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_with_a_context_of_ones_own(authority: trustme.CA, make_client: ClientMaker) -> None:
    with tls_simulator(authority, "127.0.0.1") as sim:
        assert sim.url.startswith("wss://")
        client = make_client(url=sim.url, tokens="NSE:26000", ssl_context=trusting(authority), **QUICK)
        watched = Watched(client)
        client.connect(DEADLINE)
        watched.wait("on_quote")
        sim.reset()
        watched.wait("on_quote", 2)
        client.close()
        assert sim.close_codes == [1000]


@pytest.mark.parametrize(("trusted", "host"), [(False, "127.0.0.1"), (True, "another.example")])
def test_a_certificate_that_is_not_the_servers(
    authority: trustme.CA, make_client: ClientMaker, trusted: bool, host: str
) -> None:
    with tls_simulator(authority, host) as sim:
        error = first_error(make_client(url=sim.url, ssl_context=trusting(authority) if trusted else None))
        assert isinstance(error, ConnectError)
        assert "certificate of 127.0.0.1 was refused" in str(error)
        assert sim.handshakes == 0


def test_a_server_that_speaks_no_tls(sim: Simulator, make_client: ClientMaker) -> None:
    error = first_error(make_client(url=sim.url.replace("ws:", "wss:")))
    assert "TLS" in str(error)


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["frame", "http401", "http403"])
@pytest.mark.parametrize("end", ["close", "fin"])
def test_a_refused_key_makes_exactly_one_handshake(
    sim: Simulator, make_client: ClientMaker, how: Any, end: Any
) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, auth_failure=how, close_after_failure=end)
    client = make_client(jkey="0" * 64)
    with pytest.raises(AuthenticationError, match="fresh one") as caught:
        client.connect(DEADLINE)
    assert "0000" not in str(caught.value)
    assert sim.handshakes == 1


@pytest.mark.parametrize("how", ["frame", "close", "fin"])
def test_a_key_that_dies_in_the_night_stops_a_client_with_a_plain_key(
    sim: Simulator, make_client: ClientMaker, how: Any
) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, expiry=how)
    client = make_client(**QUICK)
    watched = Watched(client)
    client.connect(DEADLINE)
    sim.expire_key()
    error = watched.wait("on_noreconnect")[0]
    assert isinstance(error, AuthenticationError)
    assert sim.handshakes == (1 if how == "frame" else 2)
    assert len(watched.of("on_close")) == 1
    wait_until(lambda: client.state is State.FAILED)
    assert not client.wait_connected(0.1)


@pytest.mark.parametrize("how", ["frame", "close", "http401"])
def test_a_function_brings_a_fresh_key(sim: Simulator, make_client: ClientMaker, how: Any) -> None:
    keys = iter([KEY, "1" * 64, "2" * 64, "2" * 64])
    if how == "http401":
        sim.behaviour = dataclasses.replace(sim.behaviour, auth_failure=how, expiry="close")
    else:
        sim.behaviour = dataclasses.replace(sim.behaviour, expiry=how)
    client = make_client(jkey=lambda: next(keys), tokens="NSE:26000", **QUICK)
    watched = Watched(client)
    client.connect(DEADLINE)
    watched.wait("on_quote")
    sim.expire_key(new_key="2" * 64)
    watched.wait("on_connect", 2)
    watched.wait("on_quote", 2)
    assert watched.of("on_noreconnect") == []
    assert next(keys) == "2" * 64, "called once before each try"


def test_a_function_that_returns_the_refused_key_again_stops(sim: Simulator, make_client: ClientMaker) -> None:
    calls = []
    keys = itertools.cycle(["a" * 64, "b" * 64])

    def same_two() -> str:
        calls.append(next(keys))
        return calls[-1]

    client = make_client(jkey=same_two, **QUICK)
    with pytest.raises(AuthenticationError, match="same one again"):
        client.connect(DEADLINE)
    assert calls == ["a" * 64, "b" * 64, "a" * 64]
    assert sim.handshakes == 2, "one for each key"


@pytest.mark.parametrize("wrong", [None, "", 5])
def test_a_function_that_returns_no_key_stops(sim: Simulator, make_client: ClientMaker, wrong: Any) -> None:
    with pytest.raises(AuthenticationError, match="without a key"):
        make_client(jkey=lambda: wrong).connect(DEADLINE)
    assert sim.handshakes == 0


def test_a_function_that_fails_is_asked_again(sim: Simulator, make_client: ClientMaker) -> None:
    outcomes: Any = iter([OSError(f"no network, {KEY}"), RateLimitError("slow", retry_after=0.1), KEY])

    def key() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    client = make_client(jkey=key, **QUICK)
    watched = Watched(client)
    client.connect(DEADLINE)
    errors = watched.of("on_error")
    assert [type(error) for error in errors] == [ConnectError, RateLimitError]
    assert KEY not in str(errors[0])
    assert isinstance(errors[0].__cause__, OSError)
    assert watched.of("on_reconnect")[1][1] >= 0.1


def test_a_function_whose_login_is_refused_stops(make_client: ClientMaker) -> None:
    calls = []

    def key() -> str:
        calls.append(1)
        raise AuthenticationError("wrong password", field="password")

    with pytest.raises(AuthenticationError, match="wrong password"):
        make_client(jkey=key, **QUICK).connect(DEADLINE)
    assert len(calls) == 1, "a second wrong password may lock the account"


def test_close_inside_the_function_that_brings_the_key(sim: Simulator, make_client: ClientMaker) -> None:
    holder: list[FirstockWS] = []

    def key() -> str:
        holder[0].close()
        return KEY

    holder.append(make_client(jkey=key))
    holder[0].run_forever()
    assert holder[0].state is State.STOPPED
    assert sim.handshakes == 0


# --- the session limit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("envelope", ["status", "text", "error"])
def test_the_session_limit_in_any_envelope(sim: Simulator, make_client: ClientMaker, envelope: Any) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, session_limit_envelope=envelope)
    for _ in range(3):
        make_client().connect(DEADLINE)
    client = make_client()
    watched = Watched(client, ("on_noreconnect",))
    with pytest.raises(SessionLimitError):
        client.connect(DEADLINE)
    assert sim.handshakes == 4
    assert client.stats.unknown_frames == 0
    assert len(watched.of("on_noreconnect")) == 1


def test_the_session_limit_in_a_close_reason_and_in_a_refused_upgrade(make_client: ClientMaker) -> None:
    text = b"Maximum sessions limit (3) reached"

    def close(sock: socket.socket) -> None:
        accept_upgrade(sock, then="{}")
        sock.sendall(bytes([0x88, 2 + len(text)]) + (1008).to_bytes(2, "big") + text)
        sock.recv(1000)

    def refuse(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 429 No\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

    for serve in (close, refuse):
        with tcp_server(serve) as url, pytest.raises(SessionLimitError):
            make_client(url=url).connect(DEADLINE)


def test_odd_close_frames(make_client: ClientMaker) -> None:
    frames = iter([b"\x88\x00", b"\x88\x02\x0f\xa0", b"\x88\x04\x03\xf3\xff\xfe"])

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        sock.sendall(next(frames, b""))
        sock.recv(1000)

    with tcp_server(serve) as url:
        client = make_client(url=url, **QUICK)
        watched = Watched(client)
        client.connect(DEADLINE)
        codes = [code for code, _ in watched.wait("on_close", 3)]
        client.close()
    assert codes[:2] == [1005, 4000]
    assert codes[2] in (1002, 1006, 1011)


def test_the_session_limit_while_reconnecting_is_waited_out(sim: Simulator, make_client: ClientMaker) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, forget_sessions_after=0.5)
    clients = [make_client(tokens="NSE:26000", **QUICK) for _ in range(3)]
    watched = [Watched(client) for client in clients]
    for client, watcher in zip(clients, watched, strict=True):
        client.connect(DEADLINE)
        watcher.wait("on_quote")
    for client in clients:
        cut_the_cable(client)
    for watcher in watched:
        watcher.wait("on_connect", 2)
        watcher.wait("on_quote", 2)
    errors = [error for watcher in watched for error in watcher.of("on_error")]
    assert any(isinstance(error, SessionLimitError) for error in errors)
    assert not any(watcher.of("on_noreconnect") for watcher in watched)


def cut_the_cable(client: FirstockWS) -> None:
    """End the connection at the client's side without a close frame, as a lost network does."""
    supervisor = client._lifecycle.supervisor
    assert supervisor is not None
    connection = supervisor._connection
    assert connection is not None
    connection.abort()


# --- Ctrl-C and exit ---------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from firstock_ws import FirstockWS
client = FirstockWS("AB1234", sys.argv[2], url=sys.argv[1])
client.on_connect = lambda: print("up", flush=True)
client.on_close = lambda code, reason: print("closed", code, flush=True)
{run}
print("returned", client.state.value, flush=True)
"""


def run_script(url: str, run: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(run=run), url, KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_closes_and_returns(sim: Simulator, times: int) -> None:
    # The last callback reads a line from the test: all signals but the first come while it closes.
    last = (
        "client.on_close = lambda *a: (print('closing', flush=True), input(), print('closed', a[0], flush=True))"
    )
    with run_script(sim.url, f"{last}; client.run_forever()") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "closing\n"
        pause = threading.Event()
        for _ in range(times - 1):
            process.send_signal(signal.SIGINT)
            pause.wait(0.2)
        out, err = process.communicate("\n", timeout=DEADLINE)
    assert (out, err, process.returncode) == ("closed 1000\nreturned stopped\n", "", 0)
    assert sim.wait_for(lambda sim: sim.close_codes == [1000])


def test_ctrl_c_while_connecting_leaves_nothing(sim: Simulator) -> None:
    sim.go_silent()
    run = "\n".join(
        (
            "import threading",
            "try:",
            "    print('up', flush=True)",
            "    client.connect(None)",
            "except KeyboardInterrupt:",
            "    print([thread.name for thread in threading.enumerate()])",
        )
    )
    with run_script(sim.url, run) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert (out, err, process.returncode) == ("['MainThread']\nreturned stopped\n", "", 0)


def test_close_in_a_signal_handler(sim: Simulator) -> None:
    run = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: client.close())\nclient.run_forever()"
    with run_script(sim.url, run) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    assert (out, err, process.returncode) == ("closed 1000\nreturned stopped\n", "", 0)


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(0)", 0), ("sys.exit(3)", 3), ("", 0)])
def test_a_program_that_ends_without_close_says_goodbye(sim: Simulator, ending: str, code: int) -> None:
    with run_script(sim.url, f"client.connect(10); {ending}") as process:
        out, err = process.communicate(timeout=DEADLINE)
    assert (err, process.returncode) == ("", code)
    assert "closed 1000" in out
    assert sim.wait_for(lambda sim: sim.close_codes == [1000])
