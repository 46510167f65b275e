"""Servers by hand, on real sockets, for what the simulator is too well-behaved to do."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.support import AUTHENTICATED, DEADLINE

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ESTABLISHED = 1
CLOSE = 0x88
"""The first byte of a close frame; a client sends it by itself, when nothing else is under way."""


def read_request(sock: Any) -> bytes:
    """Read an HTTP request up to its empty line."""
    request = b""
    while b"\r\n\r\n" not in request:
        more = sock.recv(4096)
        if not more:
            break
        request += more
    return request


def accept_upgrade(sock: Any, then: str = AUTHENTICATED, more: bytes = b"") -> bytes:
    """Do the server's part of the handshake and say `then`, and `more`, in one piece; return the request.

    Args:
        sock: a socket, or what has its ``recv`` and ``sendall``; so elsewhere in this module.
    """
    request = read_request(sock)
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    if found is None:
        raise ConnectionError("the client went away")
    digest = hashlib.sha1(found[1] + _GUID).digest()
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    sock.sendall(answer + b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" + frame(then) + more)
    return request


def frame(payload: str | bytes, *, opcode: int = 1, fin: bool = True) -> bytes:
    """Return a WebSocket frame as a server sends it."""
    data = payload.encode() if isinstance(payload, str) else payload
    first = (0x80 if fin else 0) | opcode
    if len(data) < 126:
        return bytes([first, len(data)]) + data
    if len(data) < 1 << 16:
        return struct.pack("!BBH", first, 126, len(data)) + data
    return struct.pack("!BBQ", first, 127, len(data)) + data


def close_frame(code: int | None, reason: bytes = b"") -> bytes:
    """Return a close frame, with `code` or without any."""
    return frame(b"" if code is None else code.to_bytes(2, "big") + reason, opcode=8)


def read_to_end(sock: Any) -> None:
    """Read until the client is gone, or says goodbye."""
    while (data := sock.recv(65536)) and data[0] != CLOSE:
        pass


def lives(sock: socket.socket) -> bool:
    """Whether the client's end of an accepted connection is open, as the kernel knows it at this moment."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED
    except OSError:
        return False


class Server:
    """Hands each connection to `serve`, on a thread of its own.

    Threads: one accepts, one serves each connection, the test looks; the lock is ``_changed``.
    """

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._serve = serve
        self._changed = threading.Condition()
        self._sockets: list[socket.socket] = []
        self.accepted = 0
        self.peak = 0
        """The most connections that lived at a time."""
        self.reads = True
        """Whether it reads what comes: for the kernel, a connection with unread data outlives its client."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def wait(self, accepted: int, timeout: float = DEADLINE) -> None:
        """Wait until so many connections were accepted."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.accepted >= accepted, timeout), self.accepted

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(DEADLINE)
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(DEADLINE)
        for sock in self._sockets:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                # On the loopback the old connection's end is known before the new one is.
                self._sockets = [old for old in self._sockets if old.fileno() >= 0]
                self.peak = max(self.peak, 1 + sum(lives(old) for old in self._sockets))
                self._sockets.append(sock)
                self.accepted += 1
                self._changed.notify_all()
                thread = threading.Thread(target=self._handle, args=(sock,), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _handle(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            self._serve(sock)


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """An address that never answers: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
