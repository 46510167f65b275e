"""`close()`, from everywhere and at every moment."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from typing import Any

import pytest

from firstock_ws import FirstockError, FirstockWS, Quote, State, UsageError
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.invariants import our_threads
from tests.faults.peers import quotes
from tests.faults.servers import accept_upgrade, black_hole, frame, read_request, read_to_end
from tests.support import AUTHENTICATED, DEADLINE, KEY, connect, wait_until


def hold_closed(client: FirstockWS, sim: Simulator) -> None:
    """Hold that nothing of the client is left: without a thread, nothing can connect any more."""
    assert client.state is State.STOPPED
    assert our_threads() == []
    assert sim.wait_for(lambda sim: sim.session_count() == 0)


# --- from here and there -----------------------------------------------------------------------------------------


@pytest.mark.faults("close")
def test_close_from_the_main_thread_and_again(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, tokens="NSE:26000")
    client.close()
    assert client.state is State.STOPPED
    for connections in (1, 2):
        connect(client, sim)
        watched.wait("on_quote", connections)
        took = fault.close(client)
        hold_closed(client, sim)
        fault.measured("connected: {} s", took)
        assert fault.close(client) < 5
        assert sim.close_codes == [1000] * connections, "a close frame was sent"
        assert client.stats.connections == connections
    assert watched.of("on_close") == [(1000, "closed by the client")] * 2
    assert watched.of("on_error") == []


@pytest.mark.faults("close")
@pytest.mark.parametrize(
    "callback", ["on_connect", "on_quote", "on_error", "on_close", "on_reconnect", "on_message"]
)
def test_close_from_a_callback(fault: Fault, sim: Simulator, callback: str) -> None:
    client, watched = fault.client(sim, tokens="NSE:26000")
    took: list[float] = []
    returned = threading.Event()

    def close(*args: object) -> None:
        took.append(fault.close(client))
        returned.set()

    setattr(client, callback, close)
    with contextlib.suppress(UsageError):
        # It may be closed before connect() has seen that it was up.
        client.connect(DEADLINE)
    lost = callback in ("on_error", "on_close", "on_reconnect")
    if lost:
        sim.drop(1011)
    assert returned.wait(DEADLINE)
    wait_until(lambda: our_threads() == [])
    hold_closed(client, sim)
    assert watched.of("on_noreconnect") == []
    # The next try may come before the callback thread does.
    assert sim.handshakes <= 1 + lost
    fault.measured("in a callback: {} s", took[0])


@pytest.mark.faults("close")
def test_close_from_on_error_while_nothing_can_be_reached(fault: Fault, sim: Simulator) -> None:
    sim.refuse(None)
    client, watched = fault.client(sim)
    client.on_error = lambda error: client.close()
    client.run_forever()
    assert client.state is State.STOPPED
    wait_until(lambda: our_threads() == [])
    assert sim.handshakes == 0
    assert watched.of("on_connect") == []


@pytest.mark.faults("close")
@pytest.mark.parametrize("silent", [False, True])
def test_close_from_eight_threads_at_once(fault: Fault, sim: Simulator, silent: bool) -> None:
    client, _ = fault.client(sim)
    connect(client, sim)
    if silent:
        sim.go_silent()
    took: list[float] = []
    threads = [threading.Thread(target=lambda: took.append(fault.close(client))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(took) == 8
    assert client.state is State.STOPPED
    assert our_threads() == []
    sim.resume()
    assert sim.wait_for(lambda sim: sim.session_count() == 0)
    for seconds in took:
        fault.measured("eight threads at once" + (", mute server" if silent else "") + ": {} s", seconds)


@pytest.mark.faults("close")
def test_close_and_connect_from_many_threads_leave_one_connection_at_most(fault: Fault, sim: Simulator) -> None:
    client, _ = fault.client(sim)
    stop = threading.Event()
    faults: list[BaseException] = []

    def hammer(call: Any, pause: float) -> None:
        while not stop.wait(pause):
            try:
                call()
            except UsageError:
                continue
            except FirstockError as error:
                faults.append(error)
                return

    calls = [(client.close, 0.03), (client.close, 0.05), (client.connect, 0.0), (client.connect, 0.01)]
    threads = [threading.Thread(target=hammer, args=call) for call in calls]
    for thread in threads:
        thread.start()
    happened = sim.wait_for(lambda sim: sim.handshakes >= 10, 3 * DEADLINE)
    stop.set()
    for thread in threads:
        thread.join(3 * DEADLINE)
    assert happened
    client.close()
    assert faults == []
    assert sim.peak_sessions == 1
    hold_closed(client, sim)


# --- in every phase ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems answer when the queue is full")
@pytest.mark.faults("close")
@pytest.mark.parametrize("phase", ["dial", "tls", "handshake", "dripped handshake", "key", "wait", "jkey()"])
def test_close_in_every_phase_returns_in_time_and_nothing_comes_after(
    fault: Fault, sim: Simulator, phase: str
) -> None:
    arrived, closed = threading.Event(), threading.Event()

    def say_nothing(sock: socket.socket) -> None:
        if phase == "key":
            accept_upgrade(sock, then="{}")
        if phase == "dripped handshake":
            read_request(sock)
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
        arrived.set()
        read_to_end(sock)

    def bring_key() -> str:
        arrived.set()
        closed.wait(DEADLINE)
        return KEY

    silent = fault.server(say_nothing)
    with black_hole() as hole:
        url = {"dial": hole, "tls": silent.url.replace("ws:", "wss:"), "wait": sim.url, "jkey()": sim.url}
        key = bring_key if phase == "jkey()" else KEY
        client, watched = fault.client(url.get(phase, silent.url), jkey=key, connect_timeout=60)
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
        took = fault.close(client)
        assert client.state is State.STOPPED
        accepted, handshakes = silent.accepted, sim.handshakes
        closed.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()
        wait_until(lambda: our_threads() == [])
        assert client.state is State.STOPPED
        assert (silent.accepted, sim.handshakes) == (accepted, handshakes), "no connection afterwards"
        assert set(watched.names()) <= {"on_error", "on_reconnect"}
        assert sim.session_count() == 0
        assert took < 5
    fault.measured(f"{phase}: {{}} s", took)


@pytest.mark.faults("close")
@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.02, 0.03, 0.05])
def test_close_at_any_moment_of_an_opening(fault: Fault, sim: Simulator, delay: float) -> None:
    for _ in range(5):
        client, _ = fault.client(sim, tokens="NSE:26000")
        thread = threading.Thread(target=client.run_forever)
        thread.start()
        wait_until(lambda client=client: client.state is not State.STOPPED)  # type: ignore[misc]
        threading.Event().wait(delay)
        client.close()
        thread.join(DEADLINE)
        assert not thread.is_alive()
        hold_closed(client, sim)


@pytest.mark.faults("close")
def test_close_while_connect_waits(fault: Fault, sim: Simulator) -> None:
    sim.go_silent()
    client, _ = fault.client(sim)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            client.connect(DEADLINE)
        except FirstockError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: client.state is State.CONNECTING)
    client.close()
    thread.join(DEADLINE)
    assert isinstance(raised[0], UsageError)
    assert "close()" in str(raised[0])


@pytest.mark.faults("close")
@pytest.mark.parametrize("fast_path", [True, False])
def test_a_key_accepted_after_close_makes_no_connection(fault: Fault, fast_path: bool) -> None:
    asked: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        # The empty frame shows the test that the client is past the upgrade.
        accept_upgrade(sock, then="")
        read_to_end(sock)
        sock.sendall(frame(AUTHENTICATED) + quotes(1, 2))
        with contextlib.suppress(OSError):
            asked.append(sock.recv(65_536))

    client, watched = fault.client(fault.server(serve), tokens="NSE:26000", fast_path=fast_path)
    thread = threading.Thread(target=client.run_forever)
    thread.start()
    watched.wait("on_error")
    client.close()
    thread.join(DEADLINE)
    assert watched.of("on_quote") == [], "quotes of a connection of which nobody was told"
    assert watched.of("on_connect") == watched.of("on_close") == []
    assert client.stats.connections == 0
    wait_until(lambda: asked)
    assert b"subscribe" not in asked[0]


@pytest.mark.faults("close")
def test_close_inside_the_function_that_brings_the_key(fault: Fault, sim: Simulator) -> None:
    def bring() -> str:
        client.close()
        return KEY

    client, _ = fault.client(sim, jkey=bring)
    client.run_forever()
    assert client.state is State.STOPPED
    assert sim.handshakes == 0


# --- against somebody's will -------------------------------------------------------------------------------------


@pytest.mark.faults("close")
def test_close_does_not_wait_for_a_server_that_does_not_answer(fault: Fault, sim: Simulator) -> None:
    client, _ = fault.client(sim)
    connect(client, sim)
    sim.go_silent()
    took = fault.close(client)
    assert client.state is State.STOPPED
    assert our_threads() == []
    assert took < 5
    fault.measured("mute server: {} s (of which 1 s for its answer)", took)


@pytest.mark.faults("close")
def test_close_while_the_server_is_in_the_middle_of_a_frame(fault: Fault) -> None:
    half = threading.Event()

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        sock.sendall(b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\x00half")
        half.set()
        read_to_end(sock)

    client, watched = fault.client(fault.server(serve), io_timeout=60)
    client.connect(DEADLINE)
    assert half.wait(DEADLINE)
    took = fault.close(client)
    assert our_threads() == []
    assert took < 5
    assert [code for code, _ in watched.of("on_close")] == [1000]
    fault.measured("half a frame: {} s", took)


@pytest.mark.slow
@pytest.mark.faults("close")
def test_close_does_not_wait_for_a_callback_forever(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, tokens="NSE:26000")
    entered, release = threading.Event(), threading.Event()

    def block(quote: Quote) -> None:
        entered.set()
        assert release.wait(3 * DEADLINE)

    client.on_quote = block
    client.connect(DEADLINE)
    assert entered.wait(DEADLINE)
    number = sim.place_order("NSE:2885", fill=False)
    wait_until(lambda: client.stats.order_updates == 3)
    took = fault.close(client)
    assert watched.of("on_order_update") == [], "the callback thread was busy all the time"
    release.set()
    wait_until(lambda: our_threads() == [])
    started = time.monotonic()
    client.connect(DEADLINE)
    assert time.monotonic() - started < DEADLINE
    orders = watched.wait("on_order_update", 3)
    assert {order.order_number for order in orders} == {number}, "none was lost"
    assert watched.names()[:5] == ["on_connect", *["on_order_update"] * 3, "on_close"]
    fault.measured("a callback that hangs: {} s", took)


@pytest.mark.faults("close")
def test_a_late_close_leaves_the_next_session_alone(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, tokens="NSE:26000")
    connect(client, sim)
    watched.wait("on_quote")
    first = client._lifecycle.supervisor
    assert first is not None
    client.close()
    connect(client, sim)
    watched.wait("on_quote", 2)
    # What a second thread does whose close() began before the first one's ended.
    first.stop(grace=1, wait=True)
    assert client.is_connected
    sim.tick("NSE:26000")
    watched.wait("on_quote", 3)
    client.close()
    assert sim.peak_sessions == 1
