"""The key is in no text, whatever goes wrong, whoever logs, and whatever the server repeats."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable

import pytest
import websocket

from firstock_ws import AuthenticationError, FirstockError, FirstockWS
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.invariants import DEAD_KEY, SECRETS
from tests.faults.servers import accept_upgrade, close_frame, frame, read_request, read_to_end
from tests.support import DEADLINE, KEY, closed_port, connect, fail_once


@pytest.mark.faults("secrets")
def test_a_life_full_of_trouble(fault: Fault, sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    client, watched = fault.client(sim, tokens="NSE:26000")
    connect(client, sim)
    watched.wait("on_quote")

    def fail(*args: object) -> None:
        raise ValueError(f"see wss://socket.firstock.in/ws?userId=AB1234&jKey={KEY}")

    client.on_order_update = fail
    sim.place_order("NSE:1", fill=False)
    sim.push(KEY)
    for turn, cut in enumerate((lambda: sim.drop(1011, KEY), sim.reset, sim.hang_up), start=2):
        cut()
        watched.wait("on_connect", turn)
    sim.refuse(403)
    sim.drop(1001, f"jKey={KEY} is dead")
    watched.wait("on_noreconnect")
    sim.accept()
    refused, _ = fault.client(sim, jkey=DEAD_KEY)
    with pytest.raises(AuthenticationError):
        refused.connect(DEADLINE)
    alone, _ = fault.client(f"ws://127.0.0.1:{closed_port()}/ws")
    with pytest.raises(FirstockError):
        alone.connect(0.2)
    assert "GET /ws?userId=AB1234&jKey=***" in caplog.text, "the trace is on, and would have shown it"
    ours = [str(error) for error in watched.of("on_error") if isinstance(error, FirstockError)]
    assert any("jKey=***" in text for text in ours), "the server's reason, cleaned"
    fault.measured("{} log records, none with the key", fault.records_seen)


ECHOES: dict[str, Callable[[bytes], bytes]] = {
    "upgrade header": lambda line: b"HTTP/1.1 500 No\r\nX-Request: " + line + b"\r\nContent-Length: 0\r\n\r\n",
    "upgrade body": lambda line: b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n%s" % (len(line), line),
    "status line": lambda line: b"HTTP/1.1 503 " + line + b"\r\n\r\n",
    "cookie": lambda line: b"HTTP/1.1 502 No\r\nSet-Cookie: s=" + line.split()[1] + b"\r\n\r\n",
    "redirect": lambda line: b"HTTP/1.1 302 No\r\nLocation: ws://127.0.0.1:9" + line.split()[1] + b"\r\n\r\n",
    "no HTTP": lambda line: line + b"\r\n\r\n",
    "refused key": lambda line: b"HTTP/1.1 401 " + line + b"\r\nContent-Length: 0\r\n\r\n",
}


# websocket-client leaves the socket that it can't use for the redirect to the interpreter.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.faults("secrets")
@pytest.mark.parametrize("where", ECHOES)
def test_a_server_that_repeats_the_request_in_its_refusal(fault: Fault, where: str) -> None:
    def serve(sock: socket.socket) -> None:
        line = read_request(sock).split(b"\r\n")[0]
        if not line:
            return  # The client was closed while it tried again.
        assert KEY.encode() in line
        sock.sendall(ECHOES[where](line))
        read_to_end(sock)

    client, watched = fault.client(fault.server(serve))
    if where == "refused key":
        with pytest.raises(AuthenticationError):
            client.connect(DEADLINE)
    else:
        fail_once(client, watched)
    assert KEY not in str(watched.of("on_error")[0])


@pytest.mark.faults("secrets")
@pytest.mark.parametrize("where", ["close reason", "failure", "limit", "subscription"])
def test_a_server_that_repeats_the_key_in_what_it_says(fault: Fault, where: str) -> None:
    data = {
        "close reason": close_frame(1011, f"bad {KEY}".encode()),
        "failure": frame(f'{{"status":"failed","message":"unauthenticated {KEY}"}}'),
        "limit": frame(f"Maximum sessions limit (3) reached for {KEY}"),
        "subscription": frame(f'{{"status":"failed","message":"no such token, {KEY}"}}'),
    }

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        sock.sendall(data[where])
        read_to_end(sock)

    client, watched = fault.client(fault.server(serve), reconnect=False)
    # It may be told of the failure before it has seen that it was connected.
    with contextlib.suppress(FirstockError):
        client.connect(DEADLINE)
    assert KEY not in str(watched.wait("on_error")[0])


@pytest.mark.faults("secrets")
def test_tracing_that_is_turned_on_in_mid_life(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, tokens="NSE:26000")
    websocket.enableTrace(False)
    connect(client, sim)
    records: list[str] = []

    class Spy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(self.format(record))

    websocket.enableTrace(True, handler=Spy())
    sim.drop(1001)
    watched.wait("on_connect", 2)
    watched.wait("on_quote", 2)
    client.close()
    assert any("jKey=***" in text for text in records), "as another library's handler sees it"
    assert not any(secret in text for text in records for secret in SECRETS)


@pytest.mark.faults("secrets")
def test_a_key_with_signs_in_it(fault: Fault, sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    odd = "k&y=/+%41 'ö\""
    sim.set_key("AB1234", odd)
    client, watched = fault.client(sim, jkey=odd, tokens="NSE:26000")
    connect(client, sim)
    watched.wait("on_quote")
    sim.drop(1011, odd)
    watched.wait("on_connect", 2)
    client.close()
    texts = caplog.text + repr(watched.of("on_error")) + repr(watched.of("on_close")) + repr(client)
    for piece in ("k&y", "k%26y", "%41", "%2541"):
        assert piece not in texts, "no spelling of it"


@pytest.mark.faults("secrets")
def test_a_client_that_was_never_connected_shows_nothing(fault: Fault) -> None:
    client = FirstockWS("AB1234", KEY)
    assert KEY not in f"{client!r} {client} {vars(client)!r} {client.stats!r}"
