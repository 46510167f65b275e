"""Keys that are refused or die, and the limit on sessions."""

from __future__ import annotations

import dataclasses
import itertools
import socket
import time
from typing import Any

import pytest

from firstock_ws import AuthenticationError, ConnectError, FirstockWS, RateLimitError, SessionLimitError, State
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.invariants import DEAD_KEY, FRESH_KEY
from tests.faults.servers import accept_upgrade, close_frame, frame, read_request, read_to_end
from tests.support import DEADLINE, KEY, wait_until

# --- a key that is refused ---------------------------------------------------------------------------------------


@pytest.mark.faults("key-refused")
@pytest.mark.parametrize("how", ["frame", "http401", "http403"])
@pytest.mark.parametrize("end", ["close", "fin"])
def test_a_refused_key_makes_exactly_one_handshake(fault: Fault, sim: Simulator, how: Any, end: Any) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, auth_failure=how, close_after_failure=end)
    client, watched = fault.client(sim, jkey=DEAD_KEY)
    with pytest.raises(AuthenticationError, match=r"fresh one with login\(\)"):
        client.connect(DEADLINE)
    assert watched.names() == ["on_error", "on_noreconnect"]
    assert client.state is State.FAILED or client.state is State.STOPPED
    assert not client.wait_connected(0.2)
    assert sim.handshakes == 1
    fault.measured("{} handshake", sim.handshakes)


@pytest.mark.faults("key-refused")
def test_the_same_client_may_be_started_again_with_the_key_in_order(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, jkey=DEAD_KEY)
    with pytest.raises(AuthenticationError):
        client.run_forever()
    sim.set_key("AB1234", DEAD_KEY)
    client.connect(DEADLINE)
    assert watched.wait("on_connect")


# --- a function that brings keys ---------------------------------------------------------------------------------


@pytest.mark.faults("key-function")
@pytest.mark.parametrize("how", ["frame", "http401", "http403"])
@pytest.mark.parametrize("end", ["close", "fin"])
def test_a_function_is_asked_again_and_a_refused_key_is_not_tried_twice(
    fault: Fault, sim: Simulator, how: Any, end: Any
) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, auth_failure=how, close_after_failure=end)
    asked: list[str] = []
    keys = itertools.cycle([DEAD_KEY, FRESH_KEY])

    def bring() -> str:
        asked.append(next(keys))
        return asked[-1]

    client, watched = fault.client(sim, jkey=bring)
    with pytest.raises(AuthenticationError, match="same one again"):
        client.connect(DEADLINE)
    assert asked == [DEAD_KEY, FRESH_KEY, DEAD_KEY]
    assert sim.handshakes == 2, "one for each key"
    assert [type(error) for error in watched.of("on_error")] == [AuthenticationError] * 3
    assert len(watched.of("on_noreconnect")) == 1
    fault.measured("two bad keys in turn: {} handshakes", sim.handshakes)


@pytest.mark.faults("key-function")
@pytest.mark.parametrize("how", ["frame", "http401"])
def test_a_function_whose_second_key_is_good_connects(fault: Fault, sim: Simulator, how: Any) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, auth_failure=how)
    keys = iter([DEAD_KEY, KEY])
    client, watched = fault.client(sim, jkey=lambda: next(keys), tokens="NSE:26000")
    started = time.monotonic()
    client.connect(DEADLINE)
    fault.measured("dead key, then a good one: connected after {} s", time.monotonic() - started)
    watched.wait("on_quote")
    assert sim.handshakes == 2


@pytest.mark.faults("key-function")
def test_a_function_that_fails_is_asked_again(fault: Fault, sim: Simulator) -> None:
    outcomes: Any = iter([OSError("no network"), RateLimitError("slow", retry_after=0.1), SystemExit(2), KEY])

    def bring() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, BaseException):
            raise outcome
        return str(outcome)

    client, watched = fault.client(sim, jkey=bring)
    client.connect(DEADLINE)
    errors = watched.of("on_error")
    assert [type(error) for error in errors] == [ConnectError, RateLimitError, ConnectError]
    assert isinstance(errors[0].__cause__, OSError)
    assert isinstance(errors[2].__cause__, SystemExit)
    assert watched.of("on_reconnect")[1][1] >= 0.1
    assert sim.handshakes == 1


@pytest.mark.faults("key-function")
def test_a_function_whose_login_is_refused_stops(fault: Fault, sim: Simulator) -> None:
    calls = []

    def bring() -> str:
        calls.append(1)
        raise AuthenticationError("wrong password", field="password")

    client, _ = fault.client(sim, jkey=bring)
    with pytest.raises(AuthenticationError, match="wrong password"):
        client.connect(DEADLINE)
    assert len(calls) == 1, "a second wrong password may lock the account"
    assert sim.handshakes == 0


@pytest.mark.faults("key-function")
@pytest.mark.parametrize("wrong", [None, "", 5])
def test_a_function_that_returns_no_key_stops(fault: Fault, sim: Simulator, wrong: Any) -> None:
    client, _ = fault.client(sim, jkey=lambda: wrong)
    with pytest.raises(AuthenticationError, match="without a key"):
        client.connect(DEADLINE)
    assert sim.handshakes == 0


# --- a key that dies ---------------------------------------------------------------------------------------------


@pytest.mark.faults("key-expires")
@pytest.mark.parametrize("how", ["frame", "close", "fin"])
def test_a_key_that_dies_in_the_night_stops_a_client_with_a_plain_key(
    fault: Fault, sim: Simulator, how: Any
) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, expiry=how)
    client, watched = fault.client(sim)
    client.connect(DEADLINE)
    started = time.monotonic()
    sim.expire_key()
    error = watched.wait("on_noreconnect")[0]
    took = time.monotonic() - started
    assert isinstance(error, AuthenticationError)
    assert sim.handshakes == (1 if how == "frame" else 2)
    assert len(watched.of("on_close")) == 1
    wait_until(lambda: client.state is State.FAILED)
    assert not client.wait_connected(0.1)
    fault.measured("plain key: the end after {} s", took)
    fault.measured("{} handshakes in all", sim.handshakes)


@pytest.mark.faults("key-expires")
@pytest.mark.parametrize("how", ["frame", "close", "fin", "http401"])
def test_a_function_brings_a_fresh_key(fault: Fault, sim: Simulator, how: Any) -> None:
    keys = iter([KEY, DEAD_KEY, FRESH_KEY, FRESH_KEY])
    if how == "http401":
        sim.behaviour = dataclasses.replace(sim.behaviour, auth_failure=how, expiry="close")
    else:
        sim.behaviour = dataclasses.replace(sim.behaviour, expiry=how)
    client, watched = fault.client(sim, jkey=lambda: next(keys), tokens="NSE:26000")
    client.connect(DEADLINE)
    watched.wait("on_quote")
    started = time.monotonic()
    sim.expire_key(new_key=FRESH_KEY)
    watched.wait("on_connect", 2)
    fault.measured("function: a dead key, then a fresh one, back after {} s", time.monotonic() - started)
    watched.wait("on_quote", 2)
    assert watched.of("on_noreconnect") == []
    assert next(keys) == FRESH_KEY, "called once before each try"


# --- the limit on sessions ---------------------------------------------------------------------------------------


@pytest.mark.faults("session-limit")
@pytest.mark.parametrize("envelope", ["status", "text", "error"])
def test_the_session_limit_at_the_start_in_any_envelope(fault: Fault, sim: Simulator, envelope: Any) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, session_limit_envelope=envelope)
    for _ in range(3):
        fault.client(sim)[0].connect(DEADLINE)
    client, watched = fault.client(sim)
    with pytest.raises(SessionLimitError):
        client.connect(DEADLINE)
    assert sim.handshakes == 4
    assert client.stats.unknown_frames == 0
    assert len(watched.of("on_noreconnect")) == 1
    fault.measured("at the start: {} handshake", sim.handshakes - 3)


@pytest.mark.faults("session-limit")
@pytest.mark.parametrize("where", ["close reason", "upgrade", "frame"])
def test_the_session_limit_wherever_it_is_said(fault: Fault, where: str) -> None:
    text = b"Maximum sessions limit (3) reached"

    def serve(sock: socket.socket) -> None:
        if where == "upgrade":
            read_request(sock)
            sock.sendall(b"HTTP/1.1 429 No\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        else:
            accept_upgrade(sock, then="{}")
            sock.sendall(close_frame(1008, text) if where == "close reason" else frame(text))
        read_to_end(sock)

    server = fault.server(serve)
    client, _ = fault.client(server)
    with pytest.raises(SessionLimitError):
        client.connect(DEADLINE)
    assert server.accepted == 1


@pytest.mark.faults("session-limit")
def test_the_session_limit_while_reconnecting_is_waited_out(fault: Fault, sim: Simulator) -> None:
    forgotten_after = 0.5
    sim.behaviour = dataclasses.replace(sim.behaviour, forget_sessions_after=forgotten_after)
    clients = [fault.client(sim, tokens="NSE:26000") for _ in range(3)]
    for client, watched in clients:
        client.connect(DEADLINE)
        watched.wait("on_quote")
    started = time.monotonic()
    for client, _ in clients:
        cut_the_cable(client)
    for _, watched in clients:
        watched.wait("on_connect", 2)
        watched.wait("on_quote", 2)
    took = time.monotonic() - started
    errors = [error for _, watched in clients for error in watched.of("on_error")]
    refused = [error for error in errors if isinstance(error, SessionLimitError)]
    assert refused
    assert not any(watched.of("on_noreconnect") for _, watched in clients)
    fault.measured("reconnecting: all three back after {} s (the server forgets after 0.5 s)", took)


def cut_the_cable(client: FirstockWS) -> None:
    """End the connection at the client's side without a close frame, as a lost network does."""
    supervisor = client._lifecycle.supervisor
    assert supervisor is not None
    connection = supervisor._connection
    assert connection is not None
    connection.abort()
