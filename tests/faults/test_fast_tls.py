"""TLS read in large pieces: records cut and joined, and all that TLS says besides data."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from firstock_ws import ConnectionLostError
from firstock_ws.settings import fast_path_allowed
from tests.faults.conftest import Fault
from tests.faults.peers import (
    Peer,
    TlsPeer,
    authority,
    client_context,
    connect,
    prices,
    quote,
    quotes,
    said_by,
    server_context,
    text,
)
from tests.faults.servers import accept_upgrade, frame, read_to_end
from tests.support import AUTHENTICATED, DEADLINE, closed_port, wait_until

pytestmark = pytest.mark.faults("fast-path")
both_readers = pytest.mark.parametrize("way", ["tls", "tls-library"])
only_fast = pytest.mark.skipif(not fast_path_allowed(), reason="websocket-client's own reading can't do that")
MACHINE = 5.0


# --- records -----------------------------------------------------------------------------------------------------


@both_readers
@pytest.mark.parametrize("cut", [1, 7, 1_000, 0], ids=["by one", "by seven", "by thousand", "in one piece"])
@pytest.mark.parametrize("size", [1, 50, 16_384], ids=["tiny records", "small records", "large records"])
def test_frames_in_records_in_segments(fault: Fault, way: str, cut: int, size: int) -> None:
    data = quotes(1, 20) + frame("p", opcode=9) + quotes(21, 40)

    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        wire = b"".join(peer.wire(data[at : at + size]) for at in range(0, len(data), size))
        step = cut * (10 if len(wire) > 20_000 else 1) or len(wire)
        for at in range(0, len(wire), step):
            peer.sock.sendall(wire[at : at + step])
        read_to_end(peer)

    _, watched = connect(fault, way, serve)
    watched.wait("on_quote", 40)
    assert prices(watched) == list(range(1, 41))
    assert watched.of("on_error") == []


@both_readers
def test_a_message_of_many_full_records(fault: Fault, way: str) -> None:
    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        peer.sendall(frame(text(1) + " " * 1_000_000) + quote(2) + frame(text(3) + " " * 900_000) + quote(4))
        read_to_end(peer)

    _, watched = connect(fault, way, serve)
    watched.wait("on_quote", 4)
    assert prices(watched) == [1, 2, 3, 4]


@both_readers
def test_a_server_that_knows_only_the_older_tls(fault: Fault, way: str) -> None:
    context = server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def serve(peer: Peer) -> None:
        assert isinstance(peer, TlsPeer)
        assert peer.tls.version() == "TLSv1.2"
        accept_upgrade(peer, more=quotes(1, 100))
        read_to_end(peer)

    _, watched = connect(fault, way, serve, context=context)
    watched.wait("on_quote", 100)
    assert prices(watched) == list(range(1, 101))


# --- the end -----------------------------------------------------------------------------------------------------


@both_readers
def test_a_goodbye_of_tls_without_a_fin_is_the_end(fault: Fault, way: str) -> None:
    stay = threading.Event()

    def serve(peer: Peer) -> None:
        accept_upgrade(peer, more=quotes(1, 5))
        peer.sock.sendall(peer.goodbye())
        stay.wait(DEADLINE)

    client, watched = connect(fault, way, serve, reconnect_max_delay=2.0)
    assert watched.wait("on_close")[0][0] == 1006
    assert prices(watched)[:5] == [1, 2, 3, 4, 5], "more come after a reconnect"
    client.close()
    stay.set()


ALERT = b"\x15\x03\x03\x00\x02\x02\x50"
"""In the clear, which nobody may send by now; what is encrypted badly ends alike."""


@both_readers
@pytest.mark.parametrize(
    "bad", [ALERT, b"\x17\x03\x03\x00\x20" + b"x" * 32, b"HTTP/1.1 400 "], ids=["alert", "mac", "http"]
)
def test_what_came_before_a_record_that_is_bad_is_delivered(fault: Fault, way: str, bad: bytes) -> None:
    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        peer.sock.sendall(peer.wire(quotes(1, 50)) + bad)
        with contextlib.suppress(OSError):
            read_to_end(peer)

    _, watched = connect(fault, way, serve)
    error = watched.wait("on_error")[0]
    assert isinstance(error, ConnectionLostError)
    assert watched.wait("on_close")[0][0] == 1006
    assert prices(watched)[:50] == list(range(1, 51))
    watched.wait("on_connect", 2)


def test_half_a_record_and_then_silence(fault: Fault) -> None:
    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        peer.sock.sendall(peer.wire(quotes(1, 5))[:-10])
        with contextlib.suppress(OSError):
            peer.sock.recv(65_536)
            peer.sock.recv(65_536)

    _, watched = connect(fault, "tls", serve, ping_interval=0.2, ping_timeout=0.2)
    began = time.monotonic()
    watched.wait("on_close")
    assert time.monotonic() - began < 0.4 + MACHINE


def test_a_record_that_drips_without_end(fault: Fault) -> None:
    pause = threading.Event()

    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        for letter in peer.wire(b"x" * 16_000):
            peer.sock.sendall(bytes([letter]))
            pause.wait(0.02)

    _, watched = connect(fault, "tls", serve, ping_interval=0.3, ping_timeout=0.3)
    began = time.monotonic()
    watched.wait("on_close")
    assert time.monotonic() - began < 0.6 + MACHINE


# --- what is no data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tickets", [0, 10])
def test_tickets_of_an_idle_connection_change_nothing(fault: Fault, tickets: int) -> None:
    context = server_context()
    context.num_tickets = tickets
    go_on = threading.Event()

    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        assert go_on.wait(DEADLINE)
        peer.sendall(quote(1))
        read_to_end(peer)

    _, watched = connect(fault, "tls", serve, context=context, io_timeout=0.2)
    assert not go_on.wait(0.6), "longer than io_timeout"
    go_on.set()
    watched.wait("on_quote")
    assert watched.of("on_close") == []


@only_fast
def test_a_question_of_tls_in_an_idle_connection_is_answered(fault: Fault) -> None:
    context, trusting = server_context(), client_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    trusting.post_handshake_auth = True
    go_on = threading.Event()
    pongs: list[bytes] = []

    def serve(peer: Peer) -> None:
        assert isinstance(peer, TlsPeer)
        accept_upgrade(peer)
        assert go_on.wait(DEADLINE)
        peer.ask_for_certificate()
        peer.sendall(frame("1", opcode=9))
        for opcode, payload in said_by(peer):
            if opcode != 10:
                continue
            pongs.append(payload)
            if len(pongs) < 5:
                peer.ask_for_certificate()
                go_on.clear()
                assert not go_on.wait(0.4), "longer than io_timeout, with nothing but the question on the line"
                peer.sendall(quote(len(pongs)) + frame("1", opcode=9))

    _, watched = connect(fault, "tls", serve, context=context, ssl_context=trusting, io_timeout=0.2)
    go_on.set()
    watched.wait("on_quote", 4)
    wait_until(lambda: len(pongs) == 5)
    assert watched.of("on_close") == []


@only_fast
@pytest.mark.skipif(not os.path.exists("/usr/bin/openssl"), reason="needs the openssl program")
def test_new_keys_of_an_idle_connection_change_nothing(fault: Fault, tmp_path: Path) -> None:
    certificate = authority().issue_cert("127.0.0.1")
    file = tmp_path / "server.pem"
    file.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    port = closed_port()
    command = ["/usr/bin/openssl", "s_server", "-accept", str(port), "-cert", str(file), "-key", str(file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            said = b""
            while b"ACCEPT" not in said:
                said += os.read(server.stdout.fileno(), 65_536)

            class Terminal:
                """What is typed is sent, but for a single K, which has both ends change their keys."""

                def recv(self, size: int) -> bytes:
                    assert select.select([server.stdout], [], [], DEADLINE)[0]
                    return os.read(server.stdout.fileno(), size)  # type: ignore[union-attr]

                def sendall(self, data: bytes) -> None:
                    os.write(server.stdin.fileno(), data)  # type: ignore[union-attr]

            client, watched = fault.client(
                f"wss://127.0.0.1:{port}/ws", ssl_context=client_context(), io_timeout=0.2, ping_interval=30
            )
            thread = threading.Thread(target=client.connect, args=(DEADLINE,))
            thread.start()
            terminal = Terminal()
            accept_upgrade(terminal, AUTHENTICATED)
            thread.join(DEADLINE)
            for price in range(1, 6):
                terminal.sendall(b"K\n")
                assert not threading.Event().wait(0.3), "longer than io_timeout"
                client.subscribe(f"NSE:{price}")
                said = b""
                while b"\x81" not in said:
                    said += terminal.recv(65_536)
                assert b"do_handshake -> 1" in said
                terminal.sendall(quote(price))
                watched.wait("on_quote", price)
            assert watched.of("on_close") == []
            client.close()
        finally:
            server.kill()


# --- both ways at once -------------------------------------------------------------------------------------------


@pytest.mark.slow
@both_readers
def test_subscriptions_go_out_whole_during_a_flood(fault: Fault, way: str) -> None:
    fault.log_little()
    asked: set[str] = set()
    done, begun = threading.Event(), threading.Event()
    whole = {f"NSE:{number}" for number in range(5_000)}
    pongs = itertools.count()

    def serve(peer: Peer) -> None:
        peer.sock.settimeout(DEADLINE)
        accept_upgrade(peer)
        block = quotes(1, 300) + frame("p", opcode=9)
        peer.sendall(block * 2)
        for opcode, payload in said_by(peer):
            if opcode == 1:
                asked.update(payload.decode().partition('"tokens": "')[2].rstrip('"}').split("|"))
            if opcode == 10 and next(pongs) >= 4:
                begun.set()
            if opcode == 10 and not done.is_set():
                peer.sendall(block)
            if asked >= whole:
                done.set()

    client, watched = connect(fault, way, serve)
    assert begun.wait(DEADLINE)
    names = sorted(whole)
    for at in range(0, 5_000, 50):
        client.subscribe(names[at : at + 50])
    assert done.wait(2 * DEADLINE), len(asked)
    assert asked == whole
    assert watched.of("on_close") == []
    assert watched.of("on_error") == []
