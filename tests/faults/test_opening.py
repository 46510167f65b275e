"""Connections that can't be opened: by the network, by TLS, by what answers."""

from __future__ import annotations

import itertools
import socket
import ssl
import sys
import threading
import time

import pytest
import trustme

from firstock_ws import AuthenticationError, ConnectError, ConnectTimeoutError, State
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.servers import accept_upgrade, black_hole, read_request, read_to_end
from tests.support import DEADLINE, KEY, closed_port, fail_once, wait_until

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems answer in other ways")

# --- nothing to connect to ---------------------------------------------------------------------------------------

# No packet leaves for a broadcast address: the kernel itself says that it can't be reached.
UNREACHABLE = {
    "refused": ("ws://127.0.0.1:{port}/ws", "connection refused"),
    "name": ("wss://no-such-host.invalid/ws", "cannot look up no-such-host.invalid"),
    "long-name": (f"ws://{'a' * 70}.invalid/ws", "cannot look up"),
    "network": ("ws://255.255.255.255:{port}/ws", "unreachable"),
}


@pytest.mark.faults("refused")
@pytest.mark.parametrize(("url", "words"), [pytest.param(*case, id=name) for name, case in UNREACHABLE.items()])
def test_nothing_there_is_told_once_a_try(fault: Fault, url: str, words: str) -> None:
    if words == "unreachable" and not sys.platform.startswith("linux"):
        words = "cannot connect"
    client, watched = fault.client(url.format(port=closed_port()))
    thread = threading.Thread(target=client.run_forever)
    thread.start()
    tries = watched.wait("on_reconnect", 6)
    took = fault.close(client)
    thread.join()
    errors, tries = watched.of("on_error"), watched.of("on_reconnect")
    assert all(isinstance(error, ConnectError) and words in str(error) for error in errors)
    assert watched.names() == ["on_error", "on_reconnect"] * len(errors)
    assert [attempt for attempt, _ in tries] == list(range(1, len(tries) + 1))
    delays = [delay for _, delay in tries]
    assert len(set(delays)) == len(delays), "random"
    assert max(delays) <= 0.05
    assert took < 5
    fault.measured("{} tries in a row, one on_error for each", len(errors))
    fault.measured("close() {} s", took)


# --- nobody answers ----------------------------------------------------------------------------------------------


@pytest.mark.faults("opening")
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_server_that_accepts_and_says_nothing(fault: Fault, scheme: str) -> None:
    server = fault.server(read_to_end)
    client, watched = fault.client(server.url.replace("ws:", f"{scheme}:"), connect_timeout=0.3)
    started = time.monotonic()
    assert isinstance(fail_once(client, watched), ConnectTimeoutError)
    what = "TLS" if scheme == "wss" else "TCP"
    fault.measured(f"silent {what}: given up after {{}} s (connect_timeout 0.3 s)", time.monotonic() - started)


@linux
@pytest.mark.faults("opening")
def test_a_network_that_swallows_everything(fault: Fault) -> None:
    with black_hole() as url:
        client, watched = fault.client(url, connect_timeout=0.3)
        started = time.monotonic()
        error = fail_once(client, watched)
    assert isinstance(error, ConnectError)
    assert "timed out" in str(error) or "connect_timeout" in str(error)
    fault.measured("swallowed: {} s (0.3 s)", time.monotonic() - started)


@pytest.mark.faults("opening")
def test_a_handshake_that_drips(fault: Fault) -> None:
    pause = threading.Event()

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        for letter in itertools.cycle(b"HTTP/1.1 101 x"):
            sock.sendall(bytes([letter]))
            pause.wait(0.05)

    client, watched = fault.client(fault.server(serve), connect_timeout=0.4)
    started = time.monotonic()
    error = fail_once(client, watched)
    assert isinstance(error, ConnectTimeoutError)
    assert "handshake" in str(error)
    fault.measured("dripped handshake: {} s (0.4 s)", time.monotonic() - started)


@pytest.mark.faults("opening")
def test_a_server_that_never_says_whether_the_key_is_good(fault: Fault) -> None:
    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock, then='{"i_open_price":1}')
        read_to_end(sock)

    client, watched = fault.client(fault.server(serve), connect_timeout=0.3)
    started = time.monotonic()
    thread = threading.Thread(target=client.run_forever)
    thread.start()
    errors = [error for error in watched.wait("on_error", 2) if isinstance(error, ConnectTimeoutError)]
    took = time.monotonic() - started
    assert "word on the jKey" in str(errors[0])
    watched.wait("on_reconnect")
    client.close()
    thread.join()
    assert watched.of("on_connect") == []
    fault.measured("no word on the key: {} s (0.3 s)", took)


# --- what answers is something else ------------------------------------------------------------------------------

ANSWERS = {
    "portal": (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret", "login page"),
    "404": (b"HTTP/1.1 404 Not Found\r\n\r\n", "404"),
    "503": (b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n\r\n", "busy or down"),
    "bad-accept": (
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: secret\r\n\r\n",
        "handshake",
    ),
    "garbage": (b"SSH-2.0-secret\r\n\r\n", "handshake"),
    "binary": (b"\x15\x03\x01\x00\x02\x02\x46secret\r\n\r\n", "handshake"),
    "nothing": (b"", "cut"),
}


@pytest.mark.faults("no-handshake")
@pytest.mark.parametrize(("answer", "words"), [pytest.param(*case, id=name) for name, case in ANSWERS.items()])
def test_answers_to_the_upgrade_that_are_none(fault: Fault, answer: bytes, words: str) -> None:
    def serve(sock: socket.socket) -> None:
        # The request with the key in it comes back in the answer, as some gateways' error pages have it.
        request = read_request(sock)
        sock.sendall(answer.replace(b"secret", b"secret " + request.split(b"\r\n")[0]) if answer else b"")

    client, watched = fault.client(fault.server(serve))
    error = fail_once(client, watched)
    assert isinstance(error, ConnectError)
    assert words in str(error)
    assert "secret" not in str(error)
    assert "jKey=" not in str(error)
    fault.measured("tried again in each case")


@linux
@pytest.mark.faults("no-handshake")
def test_a_refusal_without_end(fault: Fault) -> None:
    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 104857600\r\n\r\n")
        block = b"x" * 65536
        for _ in range(1600):
            sock.sendall(block)

    server = fault.server(serve)
    child = fault.child(server, connect_timeout=3, reconnect_max_delay=0.05)
    child.wait("error")
    before = child.memory()
    errors = child.wait("error", 4)
    assert all(error["kind"] in ("ConnectError", "ConnectTimeoutError") for error in errors)
    grown = child.peak_memory() - before
    assert grown < 30
    fault.measured("a 503 with a body of 100 MiB, four times: {} MiB more in use", grown)
    fault.measured("{} s of processor time", child.cpu())


# websocket-client leaves the socket that it can't use for the redirect to the interpreter.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.faults("redirect")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_its_target_hears_nothing(fault: Fault, status: int) -> None:
    heard: list[bytes] = []
    target = fault.server(lambda sock: heard.append(sock.recv(1000)))

    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 %d x\r\nLocation: %s\r\n\r\n" % (status, target.url.encode()))

    client, watched = fault.client(fault.server(serve))
    error = fail_once(client, watched)
    assert "redirect" in str(error)
    assert heard in ([], [b""])
    fault.measured("{} requests at the target", len(b"".join(heard)))


@pytest.mark.faults("retry-after")
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(fault: Fault, sim: Simulator, status: int) -> None:
    sim.refuse(status, {"Retry-After": "1"})
    client, watched = fault.client(sim)
    thread = threading.Thread(target=client.run_forever)
    thread.start()
    (told,) = watched.wait("on_reconnect")
    started = time.monotonic()
    assert str(status) in str(watched.of("on_error")[0])
    assert told[0] == 1
    assert told[1] >= 1
    sim.accept()
    watched.wait("on_connect")
    waited = time.monotonic() - started
    # The wait began a moment before we were told of it.
    assert waited > 0.8
    assert sim.handshakes == 2
    client.close()
    thread.join()
    fault.measured("asked for 1 s: tried again after {} s", waited)


@pytest.mark.faults("retry-after")
@pytest.mark.parametrize("header", ["99999999999", "1e300", "Wed, 21 Oct 9999 07:28:00 GMT"])
def test_a_retry_after_without_end_is_cut_to_an_hour(fault: Fault, sim: Simulator, header: str) -> None:
    sim.refuse(503, {"Retry-After": header})
    client, watched = fault.client(sim)
    fail_once(client, watched)
    ((attempt, delay),) = watched.of("on_reconnect")
    assert attempt == 1
    assert 3600 <= delay < 3700


@pytest.mark.faults("retry-after")
@pytest.mark.parametrize("header", ["soon", "-5", "nan", "Wed, 21 Oct 1999 07:28:00 GMT", ""])
def test_a_retry_after_that_says_nothing_changes_nothing(fault: Fault, sim: Simulator, header: str) -> None:
    sim.refuse(503, {"Retry-After": header})
    client, watched = fault.client(sim)
    fail_once(client, watched)
    assert watched.of("on_reconnect")[0][1] <= 0.05


# --- TLS ---------------------------------------------------------------------------------------------------------


def tls_simulator(fault: Fault, authority: trustme.CA, host: str) -> Simulator:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return fault.simulator(ssl_context=context)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.faults("certificate")
@pytest.mark.parametrize(("trusted", "host"), [(False, "127.0.0.1"), (True, "another.example")])
def test_a_certificate_that_is_not_the_servers(fault: Fault, trusted: bool, host: str) -> None:
    authority = trustme.CA()
    sim = tls_simulator(fault, authority, host)
    client, watched = fault.client(sim, ssl_context=trusting(authority) if trusted else None)
    error = fail_once(client, watched)
    assert isinstance(error, ConnectError)
    assert "certificate of 127.0.0.1 was refused" in str(error)
    assert sim.handshakes == 0
    assert KEY not in str(error)
    fault.measured("{} handshakes seen by the server", sim.handshakes)


@pytest.mark.faults("certificate")
def test_the_right_certificate_is_accepted_by_a_context_of_ones_own(fault: Fault) -> None:
    authority = trustme.CA()
    sim = tls_simulator(fault, authority, "127.0.0.1")
    client, watched = fault.client(sim, tokens="NSE:26000", ssl_context=trusting(authority))
    client.connect()
    watched.wait("on_quote")
    sim.reset()
    watched.wait("on_quote", 2)
    client.close()
    assert sim.wait_for(lambda sim: sim.close_codes == [1000])


@pytest.mark.faults("certificate")
def test_a_server_that_speaks_no_tls(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim.url.replace("ws:", "wss:"))
    assert "TLS" in str(fail_once(client, watched))
    assert sim.handshakes == 0


@pytest.mark.faults("key-refused")
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_whose_announced_body_never_comes(fault: Fault, status: int) -> None:
    def serve(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 100000\r\n\r\n" % status)
        read_to_end(sock)

    server = fault.server(serve)
    client, watched = fault.client(server, connect_timeout=60, io_timeout=60)
    started = time.monotonic()
    with pytest.raises(AuthenticationError, match="fresh one"):
        client.connect(DEADLINE)
    took = time.monotonic() - started
    assert server.accepted == 1
    wait_until(lambda: client.state is State.FAILED or client.state is State.STOPPED)
    assert watched.names() == ["on_error", "on_noreconnect"]
    fault.measured("without the announced body: known after {} s (connect_timeout 60 s)", took)
