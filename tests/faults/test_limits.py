"""Servers that send more than anybody should take."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from firstock_ws import ConnectionLostError
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.servers import accept_upgrade, frame, read_to_end
from tests.support import DEADLINE

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

TOO_BIG = {1002, 1009}
LIMIT = 1_048_576
EXTRA_MEMORY = 40
"""MiB: many times the limit on a message, a small part of what is sent."""
EXTRA_CPU = 5.0


def endless(first: bytes) -> Iterator[bytes]:
    yield first
    block = b"x" * 65536
    for _ in range(3200):
        yield block


def whole(size: int) -> Iterator[bytes]:
    yield frame(b" " * size)


def fragments(count: int, size: int) -> Iterator[bytes]:
    yield frame(b" " * size, fin=False)
    piece = frame(b" " * size, opcode=0, fin=False)
    for _ in range(count - 2):
        yield piece
    yield frame(b" " * size, opcode=0)


ATTACKS = {
    "200 MiB": lambda: endless(b"\x81\x7f" + struct.pack("!Q", 200 << 20)),
    "1 TiB": lambda: endless(b"\x81\x7f" + struct.pack("!Q", 1 << 40)),
    "16 EiB": lambda: endless(b"\x81\x7f" + struct.pack("!Q", (1 << 64) - 1)),
    "just above": lambda: whole(LIMIT + 1),
    "10,000 fragments": lambda: fragments(10_000, 1024),
}


@linux
@pytest.mark.faults("too-big")
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_too_big_ends_the_connection(fault: Fault, attack: str) -> None:
    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        for piece in ATTACKS[attack]():
            sock.sendall(piece)
        read_to_end(sock)

    server = fault.server(serve)
    child = fault.child(server, reconnect_max_delay=0.05, io_timeout=2)
    child.wait("connect")
    memory, cpu = child.memory(), child.cpu()
    codes = {ending["code"] for ending in child.wait("close", 3)}
    assert codes <= TOO_BIG, codes
    assert all(error["kind"] == "ConnectionLostError" for error in child.of("error"))
    grown, used = child.peak_memory() - memory, child.cpu() - cpu
    assert grown < EXTRA_MEMORY
    assert used < EXTRA_CPU
    child.wait("connect", 4)
    fault.measured("three times each: {} MiB more in use", max(0.0, grown))
    fault.measured("{} s of processor time", used)


@linux
@pytest.mark.faults("too-big")
@pytest.mark.parametrize("empty", [0, 50_000])
def test_many_small_fragments_cost_little(fault: Fault, empty: int) -> None:
    text = json.dumps({"NSE:5": {"i_open_price": 100}}) + " " * 90_000

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        data = text.encode()
        sock.sendall(frame(data[:10], fin=False))
        sock.sendall(b"".join(frame(data[at : at + 10], opcode=0, fin=False) for at in range(10, len(data), 10)))
        sock.sendall(frame(b"", opcode=0, fin=False) * empty + frame(b"", opcode=0))
        read_to_end(sock)

    child = fault.child(fault.server(serve), reconnect_max_delay=5.0)
    child.wait("connect")
    while not (child.of("close") or child.ask("stats")["quotes_received"]):
        pass
    assert {ending["code"] for ending in child.of("close")} <= TOO_BIG, "either taken, or refused as too much"
    assert child.cpu() < EXTRA_CPU


@pytest.mark.faults("too-big")
def test_the_limit_is_the_users_to_choose(fault: Fault) -> None:
    big = json.dumps({"NSE:5": {"i_open_price": 100, "x": "y" * 4000}})
    small = json.dumps({"NSE:5": {"i_open_price": 100, "x": "y" * 400}})

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        sock.sendall(frame(small) + frame(big))
        read_to_end(sock)

    client, watched = fault.client(fault.server(serve), max_message_size=2000)
    client.connect(DEADLINE)
    error = watched.wait("on_error")[0]
    assert isinstance(error, ConnectionLostError)
    assert error.code in TOO_BIG
    code, reason = watched.wait("on_close")[0]
    assert code == error.code
    assert reason
    assert len(watched.wait("on_quote")) >= 1, "what came before is delivered"


@pytest.mark.faults("too-big")
def test_a_message_of_just_the_limit_is_taken(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim)
    client.connect(DEADLINE)
    text = json.dumps({"NSE:5": {"i_open_price": 100}})
    sim.push(text + " " * (LIMIT - len(text)))
    watched.wait("on_quote")
    assert watched.of("on_error") == []
