"""Losing connections and getting them back; giving up where there is no hope."""

from __future__ import annotations

import socket
import statistics
import threading

import pytest

from firstock_ws import (
    ConnectError,
    ConnectionLostError,
    FirstockError,
    FirstockWS,
    State,
)
from firstock_ws.backoff import Backoff
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, KEY, Watched, closed_port, fail_once, wait_until

QUICK = {"reconnect_max_delay": 0.05}


# --- lost connections --------------------------------------------------------------------------------------------


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


def test_the_state_is_true_in_the_callbacks_that_tell_of_it(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(**QUICK)
    seen: list[tuple[str, State]] = []
    told = threading.Semaphore(0)

    def on_connect() -> None:
        seen.append(("on_connect", client.state))
        told.release()

    client.on_connect = on_connect
    client.on_reconnect = lambda attempt, delay: seen.append(("on_reconnect", client.state))
    client.on_noreconnect = lambda error: seen.append(("on_noreconnect", client.state))
    client.connect(DEADLINE)
    for _ in range(20):
        assert told.acquire(timeout=DEADLINE)
        sim.drop(1001)
    assert told.acquire(timeout=DEADLINE)
    sim.expire_key()
    wait_until(lambda: len(seen) == 42)
    assert {state for name, state in seen if name == "on_connect"} == {State.CONNECTED}
    assert {state for name, state in seen if name == "on_reconnect"} <= {State.WAITING, State.CONNECTING}
    assert seen[-1] == ("on_noreconnect", State.FAILED)


# --- tries that fail ---------------------------------------------------------------------------------------------


def first_error(client: FirstockWS) -> FirstockError:
    error = fail_once(client, Watched(client))
    assert KEY not in str(error)
    return error


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


def test_the_second_address_of_a_name_is_tried(
    sim: Simulator, make_client: ClientMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", closed_port()))
    unknown = (12345, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))
    alive = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", sim.port))
    monkeypatch.setattr(
        "firstock_ws.connection.dial.socket.getaddrinfo", lambda *args, **options: [unknown, dead, alive]
    )
    make_client(url="ws://three-addresses.example/ws").connect(DEADLINE)
    monkeypatch.setattr("firstock_ws.connection.dial.socket.getaddrinfo", lambda *args, **options: [unknown])
    assert "not supported" in str(first_error(make_client(url="ws://odd.example/ws")))
    monkeypatch.setattr("firstock_ws.connection.dial.socket.getaddrinfo", lambda *args, **options: [])
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
