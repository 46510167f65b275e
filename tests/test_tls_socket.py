"""TLS over buffers in memory, without a client around it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from firstock_ws.connection.tls_socket import TlsSocket
from tests.support import DEADLINE

Pair = tuple[TlsSocket, ssl.SSLSocket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A client's end and a server's, with the handshake done."""
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(trusting)
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.settimeout(DEADLINE)
    client = TlsSocket(ours, "localhost", trusting)
    with serving.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False) as server:
        thread = threading.Thread(target=server.do_handshake)
        thread.start()
        client.do_handshake()
        thread.join()
        yield client, server
        client.close()


def read_once(client: TlsSocket, size: int = 65_536) -> bytes | None:
    buffer = memoryview(bytearray(size))
    while True:
        try:
            return bytes(buffer[: client.recv_into(buffer)])
        except (ssl.SSLWantReadError, BlockingIOError):
            pass


def test_what_is_sent_comes_whole_both_ways(pair: Pair) -> None:
    client, server = pair
    data = bytes(range(256)) * 4_000
    thread = threading.Thread(target=server.sendall, args=(data,))
    thread.start()
    got = b""
    while len(got) < len(data):
        got += client.recv(10_000)
    thread.join()
    assert got == data
    thread = threading.Thread(target=client.send, args=(data,))
    thread.start()
    got = b""
    while len(got) < len(data):
        got += server.recv(100_000)
    thread.join()
    assert got == data


@pytest.mark.parametrize("size", [1, 100, 16_384, 16_385, 200_000])
def test_a_small_buffer_gets_all_of_it_bit_by_bit(pair: Pair, size: int) -> None:
    client, server = pair
    data = bytes(range(250)) * 160
    server.sendall(data)
    got = b""
    while len(got) < len(data):
        got += read_once(client, size) or b""
    assert got == data
    assert not client.pending()


def test_the_end_is_told_again_and_again(pair: Pair) -> None:
    client, server = pair
    server.sendall(b"last")
    server.close()
    assert read_once(client) == b"last"
    assert read_once(client) == b""
    assert client.pending()
    assert read_once(client) == b""
    assert client.recv(10) == b""


def test_the_reader_does_not_wait_for_another_threads_sending(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = pair
    read_records: Any = client._decrypt_into

    def read_while_another_encrypts(buffer: memoryview) -> Any:
        length = read_records(buffer)
        client._tls.write(b"of another thread")
        return length

    monkeypatch.setattr(client, "_decrypt_into", read_while_another_encrypts)
    server.sendall(b"data")
    got: list[bytes | None] = []
    # As a thread that is held up because the server does not read.
    with client._sending:
        thread = threading.Thread(target=lambda: got.append(read_once(client)))
        thread.start()
        thread.join(DEADLINE)
        held = thread.is_alive()
    thread.join()
    assert not held
    assert got == [b"data"]
