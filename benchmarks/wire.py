"""The server's side of a WebSocket, on a plain socket: no library's limits are measured along."""

from __future__ import annotations

import base64
import hashlib
import select
import socket
import struct
import time
from typing import NamedTuple

from benchmarks.tls import TlsSocket

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
Stream = socket.socket | TlsSocket
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST_HEAD = 65_536


_END = 0


class Frame(NamedTuple):
    """One frame that a client sent."""

    opcode: int
    payload: bytes


class GoneError(Exception):
    """The client closed the connection, or said so."""


def encode(opcode: int, payload: bytes) -> bytes:
    """Return a whole frame, unmasked, as servers send it."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def upgrade(sock: Stream) -> None:
    """Answer any client's upgrade request, odd ones too: the broker's own client sends two Origin headers."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        received = sock.recv(4_096)
        if not received or len(head) > _LARGEST_HEAD:
            raise GoneError
        head += received
    sock.sendall(_answer(bytes(head)))


def _answer(head: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"sec-websocket-key":
            digest = hashlib.sha1(value.strip() + _GUID.encode()).digest()
            lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
            return "\r\n".join(
                (*lines, f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}", "", "")
            ).encode()
    raise GoneError


class Inbox:
    """Reads the frames of a client, which are few and short."""

    def __init__(self, sock: Stream) -> None:
        self._sock = sock
        self._data = bytearray()

    def next(self, timeout: float) -> Frame | None:
        """Return the next frame, None when there is none within `timeout` seconds.

        Raises:
            GoneError: the client closed the connection.
        """
        deadline = time.monotonic() + timeout
        while (frame := self._cut()) is None:
            if not self._readable(max(0.0, deadline - time.monotonic())):
                return None
            received = self._sock.recv(65_536)
            if not received:
                raise GoneError
            self._data += received
        if frame.opcode == CLOSE:
            raise GoneError
        return frame

    def _readable(self, timeout: float) -> bool:
        if isinstance(self._sock, TlsSocket) and self._sock.pending():
            return True
        return bool(select.select([self._sock], [], [], timeout)[0])

    def _cut(self) -> Frame | None:
        data = self._data
        if len(data) < 2:
            return None
        size, head = data[1] & 0x7F, 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(data[2:10], "big"), 10
        head += 4
        if len(data) < head + size:
            return None
        mask = data[head - 4 : head]
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data[head : head + size]))
        opcode = data[0] & 0x0F
        del data[: head + size]
        return Frame(opcode, payload)
