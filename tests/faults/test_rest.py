"""The REST side fails, and nothing of what was sent to it shows anywhere."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme

from firstock_ws import FirstockError, ReconcileError, Session, login, logout
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.invariants import texts_of
from tests.faults.servers import read_request, read_to_end
from tests.support import DEADLINE, KEY, closed_port, connect, wait_until

ECHO = json.dumps(
    {"status": "failed", "code": "401", "name": KEY, "error": {"field": KEY, "message": f"bad {KEY}"}}
)
TROUBLE: dict[str, Callable[[Simulator], object]] = {
    "401": lambda sim: sim.refuse_rest(401, body=ECHO),
    "400": lambda sim: sim.refuse_rest(400, body=ECHO.replace("401", "400")),
    "500": lambda sim: sim.refuse_rest(500, body=KEY),
    "200 of another": lambda sim: sim.refuse_rest(200, body=f"<html>{KEY}"),
    "a book that is none": lambda sim: sim.refuse_rest(200, body=f'{{"status":"success","data":"{KEY}"}}'),
    "redirect": lambda sim: sim.refuse_rest(307, {"Location": f"http://127.0.0.1:1/?jKey={KEY}"}),
    "cut": lambda sim: sim.refuse_rest(None),
    "mute": lambda sim: sim.hush_rest(),
}


@pytest.mark.faults("secrets-rest")
@pytest.mark.parametrize("trouble", TROUBLE)
def test_books_that_cannot_be_read(
    fault: Fault, sim: Simulator, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstock_ws.reconcile.CALL_TIMEOUT", 0.5)
    TROUBLE[trouble](sim)
    number = sim.place_order("NSE:2885")
    client, watched = fault.client(sim, rest_url=sim.rest_url, reconcile_interval=0.3)
    connect(client, sim)
    (error,) = watched.wait("on_error")
    assert isinstance(error, ReconcileError)
    assert client.stats.gap_since is not None
    wait_until(lambda: client.stats.reconcile_failures >= 2)
    assert len(watched.of("on_error")) == 1, "said once"
    sim.accept_rest()
    assert [order.order_number for order in watched.wait("on_order_update")] == [number]
    wait_until(lambda: client.stats.gap_since is None)
    assert client.stats.connections == 1, "the stream did not notice"
    fault.measured("{} log records, none with the key", fault.records_seen)


CALLS: dict[str, Callable[[str], object]] = {
    # The password, the TOTP and the API key are as secret as the key that every test looks for: let them be it.
    "login": lambda url: login("AB1234", KEY, KEY, "vendor", KEY, base_url=url, timeout=0.3),
    "logout": lambda url: logout(Session("AB1234", KEY), base_url=url, timeout=0.3),
}


@pytest.mark.faults("secrets-rest")
@pytest.mark.parametrize(
    ("call", "trouble"),
    [
        (call, trouble)
        for call in CALLS
        for trouble in TROUBLE
        if (call, trouble) != ("logout", "a book that is none")
    ],
)
def test_a_call_that_fails(fault: Fault, sim: Simulator, call: str, trouble: str) -> None:
    TROUBLE[trouble](sim)
    with pytest.raises(FirstockError) as caught:
        CALLS[call](sim.rest_url)
    for text in texts_of(caught.value):
        assert KEY not in text


@pytest.mark.faults("secrets-rest")
def test_rest_where_nobody_listens(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, rest_url=f"http://127.0.0.1:{closed_port()}/V1")
    connect(client, sim)
    watched.wait("on_error")


@pytest.mark.faults("certificate")
@pytest.mark.parametrize(("trusted", "host"), [(True, "127.0.0.1"), (False, "127.0.0.1"), (True, "other.example")])
def test_the_books_are_read_with_the_same_tls(fault: Fault, trusted: bool, host: str) -> None:
    # Two simulators: the stream's certificate is always good, that of REST is what the test is about.
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (authority if trusted else trustme.CA()).issue_cert(host).configure_cert(server)
    good = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(good)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authorities = len(context.get_ca_certs())
    stream, books = fault.simulator(ssl_context=good), fault.simulator(ssl_context=server)
    assert books.rest_url.startswith("https://")
    client, watched = fault.client(stream, rest_url=books.rest_url, ssl_context=context)
    client.connect(DEADLINE)
    if trusted and host == "127.0.0.1":
        wait_until(lambda: client.stats.gap_since is None)
    else:
        assert "TLS failed" in str(watched.wait("on_error")[0])
        assert books.rest_requests == []
    assert len(context.get_ca_certs()) == authorities, "nobody has added to the authorities that the user trusts"


@pytest.mark.faults("secrets-rest")
def test_a_header_that_is_none_and_repeats_the_key(
    fault: Fault, sim: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstock_ws.reconcile.CALL_TIMEOUT", 0.5)

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 500 No\r\nyou sent " + KEY.encode() + b"\r\nContent-Length: 0\r\n\r\n")
        read_to_end(sock)

    server = fault.server(serve)
    client, watched = fault.client(sim, rest_url=server.url.replace("ws:", "http:"))
    connect(client, sim)
    watched.wait("on_error")
    assert "Failed to parse headers" in caplog.text, "urllib3 tells, and would have shown it"


BOMBS = {
    "endless": (b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n", 1000),
    "too long": (b"Content-Length: 99999999\r\n\r\n", b"x" * 65536, 1000),
    "compressed": (
        b"Content-Encoding: gzip\r\nContent-Length: 999\r\n\r\n",
        gzip.compress(b"[" + b"{}," * 99999),
        1,
    ),
}


@pytest.mark.faults("books")
@pytest.mark.parametrize("bomb", BOMBS)
def test_an_answer_that_is_too_large(fault: Fault, sim: Simulator, bomb: str) -> None:
    head, block, times = BOMBS[bomb]

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        for _ in range(times):
            sock.sendall(block)

    server = fault.server(serve)
    client, watched = fault.client(sim, rest_url=server.url.replace("ws:", "http:"))
    connect(client, sim)
    assert "could not be read" in str(watched.wait("on_error")[0])
    fault.close(client)
