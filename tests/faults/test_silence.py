"""Servers that live and say nothing, and clocks that are not to be trusted."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from firstock_ws import ConnectionLostError
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.servers import accept_upgrade, frame, read_to_end
from tests.support import DEADLINE, KEY, connect, wait_until

MACHINE = 5.0
"""Seconds by which a busy machine may be late."""


# --- nothing at all ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.faults("frozen")
def test_a_server_whose_process_is_stopped(fault: Fault) -> None:
    command = [sys.executable, "-m", "firstock_ws", "simulate", "--port", "0", "--users", f"AB1234:{KEY}"]
    command += ["--rate", "0", "--orders-every", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        client, watched = fault.client(
            url, tokens="NSE:26000", ping_interval=0.2, ping_timeout=0.2, connect_timeout=0.5
        )
        client.connect(DEADLINE)
        watched.wait("on_quote")
        server.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        code, reason = watched.wait("on_close")[0]
        took = time.monotonic() - stopped
        assert code == 1006
        assert "ping" in reason
        assert took < 0.4 + MACHINE
        # The kernel goes on taking connections for it: the next tries fail in the handshake.
        watched.wait("on_reconnect", 2)
        server.send_signal(signal.SIGCONT)
        watched.wait("on_connect", 2)
        watched.wait("on_quote", 2)
        client.close()
    finally:
        server.send_signal(signal.SIGCONT)
        server.kill()
        server.communicate()
    fault.measured("SIGSTOP: found after {} s (ping_interval 0.2 s + ping_timeout 0.2 s)", took)


@pytest.mark.faults("frozen")
@pytest.mark.parametrize(("interval", "timeout"), [(0.2, 0.2), (0.5, 0.1), (0.1, 0.5)])
def test_a_server_that_says_nothing_any_more_is_found_by_pings(
    fault: Fault, sim: Simulator, interval: float, timeout: float
) -> None:
    client, watched = fault.client(sim, tokens="NSE:26000", ping_interval=interval, ping_timeout=timeout)
    connect(client, sim)
    watched.wait("on_quote")
    sim.go_silent()
    silent = time.monotonic()
    code, reason = watched.wait("on_close")[0]
    took = time.monotonic() - silent
    assert code == 1006
    assert "ping" in reason
    assert took < interval + timeout + MACHINE
    sim.resume()
    watched.wait("on_connect", 2)
    fault.measured(f"silence: found after {{}} s ({interval} s + {timeout} s)", took)


@pytest.mark.faults("frozen")
def test_patience_that_is_longer_than_the_interval_counts_once(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, ping_interval=0.1, ping_timeout=3.0)
    client.connect(DEADLINE)
    assert not threading.Event().wait(0.5), "a few pings, each answered at once"
    sim.go_silent()
    silent = time.monotonic()
    watched.wait("on_close")
    took = time.monotonic() - silent
    assert took < 5.0, "0.1 s + 3 s, and what the machine needs; twice the timeout would be 6 s"
    fault.measured("silence: found after {} s (0.1 s + 3 s)", took)


@pytest.mark.faults("frozen")
def test_a_quiet_server_that_answers_pings_is_left_alone(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, ping_interval=0.05, ping_timeout=5.0)
    client.connect(DEADLINE)
    heard = client.stats.frames
    assert not threading.Event().wait(0.5), "half a second of pings"
    assert client.is_connected
    assert client.stats.frames == heard
    assert watched.of("on_close") == []


# --- the rest never comes ----------------------------------------------------------------------------------------

HALVES = {
    "payload": b"\x81\x7e\x10\x00half of it",
    "header": b"\x81\x7e",
    "one byte": b"\x81",
    "fragment": frame('{"i_open', fin=False) + b"\x80",
}


@pytest.mark.faults("half-frame")
@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
def test_half_a_frame_and_then_silence(fault: Fault, half: bytes) -> None:
    sent = threading.Event()
    at: list[float] = []

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        if sent.wait(DEADLINE) and not at:
            at.append(time.monotonic())
            sock.sendall(half)
        read_to_end(sock)

    client, watched = fault.client(fault.server(serve), io_timeout=0.3)
    client.connect(DEADLINE)
    sent.set()
    error = watched.wait("on_error")[0]
    took = time.monotonic() - at[0]
    assert isinstance(error, ConnectionLostError)
    assert "middle of a frame" in str(error)
    assert took < 0.3 + MACHINE
    watched.wait("on_connect", 2)
    fault.measured("found after {} s (io_timeout 0.3 s)", took)


@pytest.mark.faults("half-frame")
def test_a_line_that_dies_in_the_middle_of_a_real_frame(fault: Fault, sim: Simulator) -> None:
    proxy = fault.proxy(sim)
    client, watched = fault.client(proxy, tokens="NSE:2885", io_timeout=0.3)
    connect(client, sim)
    watched.wait("on_quote")
    proxy.half = True
    sim.tick("NSE:2885")
    assert "middle of a frame" in str(watched.wait("on_error")[0])
    proxy.mute = False
    watched.wait("on_connect", 2)
    watched.wait("on_quote", 2)


# --- pings are answered, data does not come ----------------------------------------------------------------------


@pytest.mark.faults("stale")
def test_a_server_that_answers_pings_and_sends_no_data(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, tokens="NSE:2885", stale_after=0.5, ping_interval=0.1, ping_timeout=5.0)
    connect(client, sim)
    watched.wait("on_quote")
    quiet = time.monotonic()
    error = watched.wait("on_error")[0]
    took = time.monotonic() - quiet
    assert isinstance(error, ConnectionLostError)
    assert 0.3 < took < 0.5 + MACHINE
    watched.wait("on_connect", 2)
    watched.wait("on_quote", 2)
    assert len(watched.of("on_close")) >= 1
    fault.measured("found after {} s (stale_after 0.5 s)", took)


@pytest.mark.faults("stale")
@pytest.mark.parametrize(("tokens", "stale_after"), [("", 0.2), ("NSE:2885", None)])
def test_quiet_is_no_fault_where_nothing_is_expected(
    fault: Fault, sim: Simulator, tokens: str, stale_after: float | None
) -> None:
    client, watched = fault.client(sim, stale_after=stale_after, ping_interval=0.1, ping_timeout=5.0)
    if tokens:
        client.subscribe(tokens)
    connect(client, sim)
    assert not threading.Event().wait(1.0)
    assert client.is_connected
    assert watched.of("on_error") == []


@pytest.mark.faults("stale")
def test_data_that_comes_now_and_then_keeps_the_connection(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, tokens="NSE:2885", stale_after=2.5, ping_interval=0.1, ping_timeout=5.0)
    connect(client, sim)
    pause = threading.Event()
    for _ in range(15):
        sim.tick("NSE:2885")
        pause.wait(0.2)
    assert watched.of("on_error") == []


# --- clocks ------------------------------------------------------------------------------------------------------


@pytest.mark.faults("wall-clock")
@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_stepped_clock_changes_nothing(
    fault: Fault, sim: Simulator, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, auth_delay=0.0)
    client, watched = fault.client(sim, tokens="NSE:2885", ping_interval=0.2, ping_timeout=1.0)
    connect(client, sim)
    watched.wait("on_quote")
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + step)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(step * 1e9))
    assert not threading.Event().wait(1.0), "five pings"
    assert watched.of("on_error") == []
    sim.tick("NSE:2885")
    watched.wait("on_quote", 2)
    sim.go_silent()
    monkeypatch.setattr(time, "time", lambda: real() - step)
    silent = time.monotonic()
    watched.wait("on_close", timeout=2 * DEADLINE)
    took = time.monotonic() - silent
    assert took < 1.2 + MACHINE
    sim.resume()
    watched.wait("on_connect", 2)
    monkeypatch.setattr(time, "time", real)
    sim.drop(1001)
    watched.wait("on_connect", 3)
    fault.measured("stepped by 1 h back or forth: dead server found after {} s (0.2 s + 1 s)", took)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGSTOP")
@pytest.mark.faults("wall-clock")
def test_a_computer_that_slept_does_not_blame_the_server(fault: Fault, sim: Simulator) -> None:
    child = fault.child(sim, tokens="NSE:2885", ping_interval=0.2, ping_timeout=0.2, reconnect_max_delay=0.05)
    child.wait("connect")
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:2885"})
    wait_until(lambda: child.ask("stats")["quotes_received"] == 1)
    child.freeze()
    assert not threading.Event().wait(2.0), "longer than ping_interval and ping_timeout together"
    child.thaw()
    sim.tick("NSE:2885")
    wait_until(lambda: child.ask("stats")["quotes_received"] == 2 or child.of("close"))
    assert child.of("close") == []
    assert sim.handshakes == 1


@pytest.mark.faults("half-frame")
def test_a_frame_that_drips_without_end(fault: Fault) -> None:
    pause = threading.Event()

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        sock.sendall(b"\x81\x7f" + (1_000_000).to_bytes(8, "big"))
        while True:
            sock.sendall(b"x")
            pause.wait(0.05)

    client, watched = fault.client(fault.server(serve), ping_interval=0.5, ping_timeout=0.5)
    client.connect(DEADLINE)
    begun = time.monotonic()
    assert "too slowly" in str(watched.wait("on_error")[0])
    fault.measured("a dripping one: found after {} s (0.5 s + 0.5 s)", time.monotonic() - begun)
