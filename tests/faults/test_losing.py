"""Connections that end, and come back with what they had."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from firstock_ws import ConnectionLostError, State
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.servers import accept_upgrade, close_frame, read_to_end
from tests.support import DEADLINE, KEY, closed_port, connect

LOSSES: list[tuple[str, Callable[[Simulator], object], int]] = [
    ("1000", lambda sim: sim.drop(1000, "bye"), 1000),
    ("1001", lambda sim: sim.drop(1001), 1001),
    ("1011", lambda sim: sim.drop(1011, "trouble"), 1011),
    ("1012", lambda sim: sim.drop(1012), 1012),
    ("1013", lambda sim: sim.drop(1013, "later"), 1013),
    ("reset", lambda sim: sim.reset(), 1006),
    ("fin", lambda sim: sim.hang_up(), 1006),
]


@pytest.mark.faults("lost")
@pytest.mark.parametrize(("cut", "code"), [loss[1:] for loss in LOSSES], ids=[loss[0] for loss in LOSSES])
@pytest.mark.parametrize("wire", ["url", "url_v2"])
def test_a_lost_connection_comes_back_with_its_subscriptions(
    fault: Fault, sim: Simulator, cut: Callable[[Simulator], object], code: int, wire: str
) -> None:
    client, watched = fault.client(getattr(sim, wire), tokens=["NSE:26000", "NSE:2885"])
    client.subscribe_option_greeks("NFO:44278")
    connect(client, sim)
    watched.wait("on_quote", 2)
    sim.refuse(503)
    cut(sim)
    watched.wait("on_reconnect", 2)
    assert client.state in (State.WAITING, State.CONNECTING)
    client.subscribe("NSE:7")
    client.unsubscribe("NSE:26000")
    before = len(sim.actions)
    sim.accept()
    back = time.monotonic()
    watched.wait("on_connect", 2)
    fault.measured("back {} s after the server took clients again (waits up to 0.05 s)", time.monotonic() - back)
    quotes = watched.wait("on_quote", 4)[2:]
    assert {quote.instrument for quote in quotes} == {"NSE:2885", "NSE:7"}
    assert all(quote.raw.get("i_open_price") and quote.open for quote in quotes), "fresh snapshots"
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:2885", "NSE:7"})
    assert sim.wait_for(lambda sim: sim.greeks_subscriptions() == {"NFO:44278"})
    sent = [json.loads(text) for text in sim.actions[before:]]
    assert [(action["action"], set(action["tokens"].split("|"))) for action in sent] == [
        ("subscribe", {"NSE:2885", "NSE:7"}),
        ("subscribe-option-greeks", {"NFO:44278"}),
    ], "exactly what is wanted, once"
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


ODD_ENDINGS = [
    (close_frame(None), {1005}),
    (close_frame(4000), {4000}),
    (close_frame(1011, b"\xff\xfe"), {1002, 1006, 1007, 1011}),
    (close_frame(1006), {1002, 1006}),
    (b"\x88\x01\x03", {1002, 1005, 1006}),
    (b"\xff\x00", {1002, 1006}),
]


@pytest.mark.faults("lost")
@pytest.mark.parametrize(("data", "codes"), ODD_ENDINGS, ids=[data.hex() for data, _ in ODD_ENDINGS])
def test_endings_that_no_server_should_make(fault: Fault, data: bytes, codes: set[int]) -> None:
    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        sock.sendall(data)
        read_to_end(sock)

    server = fault.server(serve)
    client, watched = fault.client(server)
    client.connect(DEADLINE)
    seen = {code for code, _ in watched.wait("on_close", 2)}
    assert seen <= codes
    assert all(isinstance(error, ConnectionLostError) for error in watched.of("on_error"))


@pytest.mark.faults("lost")
def test_the_state_is_true_when_the_user_is_told_of_a_loss(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, names=("on_connect", "on_reconnect"))
    states: list[tuple[str, State]] = []
    client.on_error = lambda error: states.append(("on_error", client.state))
    client.on_close = lambda code, reason: states.append(("on_close", client.state))
    client.connect(DEADLINE)
    sim.refuse(503)
    sim.drop(1011)
    watched.wait("on_reconnect", 3)
    sim.accept()
    watched.wait("on_connect", 2)
    assert [name for name, _ in states[:2]] == ["on_error", "on_close"]
    assert not any(state is State.CONNECTED for _, state in states), states


@pytest.mark.faults("killed")
def test_a_server_that_is_killed_and_comes_back(fault: Fault) -> None:
    port = closed_port()
    command = [sys.executable, "-m", "firstock_ws", "simulate", "--port", str(port), "--users", f"AB1234:{KEY}"]
    command += ["--rate", "0", "--orders-every", "0"]

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ws://")
        return process

    server = start()
    client, watched = fault.client(f"ws://127.0.0.1:{port}/ws", tokens="NSE:26000")
    try:
        client.connect(DEADLINE)
        watched.wait("on_quote")
        server.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        watched.wait("on_close")
        fault.measured("known after {} s", time.monotonic() - killed)
        watched.wait("on_reconnect", 2)
    finally:
        server.kill()
        server.communicate()
    server = start()
    up = time.monotonic()
    try:
        watched.wait("on_connect", 2)
        fault.measured("back {} s after the server", time.monotonic() - up)
        watched.wait("on_quote", 2)
    finally:
        server.terminate()
        server.communicate()
    assert client.stats.connections == 2


@pytest.mark.slow
@pytest.mark.faults("flapping")
def test_fifty_ups_and_downs(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    # With its usual second and minute the client would take an hour for fifty, which is the point.
    first, longest = 0.01, 0.35
    monkeypatch.setattr("firstock_ws.backoff.FIRST_CEILING", first)

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        sock.sendall(close_frame(1001))
        read_to_end(sock)

    server = fault.server(serve)
    client, watched = fault.client(server, reconnect_max_delay=longest)
    started = time.monotonic()
    client.connect(DEADLINE)
    watched.wait("on_close", 50, 6 * DEADLINE)
    took = time.monotonic() - started
    client.close()
    waits = [delay for _, delay in watched.of("on_reconnect")]
    assert {attempt for attempt, _ in watched.of("on_reconnect")} == {1}, "each try succeeded"
    assert max(waits) <= longest
    assert max(waits[10:]) > 10 * first, "a connection that dies at once does not make the waits short again"
    assert server.peak == 1
    assert len(watched.of("on_connect")) == len(watched.of("on_close"))
    fault.measured("50 in {} s", took)
    fault.measured("waits grew from 0.01 s to {} s", max(waits))
    fault.measured("{} socket at a time", server.peak)


@pytest.mark.faults("churn")
def test_eight_threads_subscribe_through_reconnects(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, names=("on_connect", "on_error"))
    connect(client, sim)
    done = threading.Event()
    calls: list[int] = []

    def churn(first: int) -> None:
        count = 0
        own = [f"NSE:{number}" for number in range(first, first + 10)]
        while not done.wait(0.001):
            client.subscribe(own)
            client.unsubscribe(own[count % 10 :])
            count += 2
        client.unsubscribe(own)
        client.subscribe(own[:5])
        calls.append(count + 2)

    threads = [threading.Thread(target=churn, args=(10 * number + 1,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(2, 14):
            [sim.reset, sim.hang_up, lambda: sim.drop(1001)][turn % 3]()
            watched.wait("on_connect", turn)
    finally:
        done.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads)
    wanted = {f"NSE:{10 * thread + number}" for thread in range(8) for number in range(1, 6)}
    assert client.subscriptions == wanted
    assert sim.wait_for(lambda sim: sim.subscriptions() == wanted)
    assert sim.peak_sessions == 1
    fault.measured("{} calls", sum(calls))
    fault.measured("{} reconnects, the server's set is exactly the wanted one", 12)
