"""A TCP proxy that stands between a client and a server, and spoils the line between them."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable

from tests.support import DEADLINE

CHUNK = 4096


class Proxy:
    """Passes bytes on, both ways, in order, and as badly as told.

    The knobs may be turned at any moment; they hold for what passes from then on. Threads: one accepts, two carry
    the bytes of each connection, the test turns the knobs; the lock is ``_lock``.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        """
        Args:
            port: where the server listens, on 127.0.0.1.
            seed: decides the jitter.
        """
        self.jitter = 0.0
        """Each piece is late by anything from 0 to this many seconds, but never overtakes another."""
        self.bytes_per_second = 0.0
        """0 for as fast as it goes."""
        self.bytes_per_write = CHUNK
        self.mute = False
        """Take what the server says and pass nothing on."""
        self.deaf = False
        """Do not read what the client says: its send buffer fills up."""
        self.half = False
        """Pass on one half of the next piece, then be mute."""
        self.connections = 0
        self._target = port
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def cut(self) -> None:
        """End every connection with a FIN, both ways."""
        for pair in self._take_pairs():
            for sock in pair:
                _shut(sock)

    def reset(self) -> None:
        """End every connection with a RST towards the client."""
        for client, server in self._take_pairs():
            _shut(server)
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Aborts at once, though a thread of ours still reads; close() would wait for that one.
                client.shutdown(socket.SHUT_RD)
                client.close()

    def inject(self, data: bytes) -> None:
        """Put `data` between what the server says to every client."""
        with self._lock:
            pairs = list(self._pairs)
        for client, _ in pairs:
            with contextlib.suppress(OSError):
                client.sendall(data)

    def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in list(self._threads):
            thread.join(DEADLINE)

    def _take_pairs(self) -> list[tuple[socket.socket, socket.socket]]:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        return pairs

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), DEADLINE)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._pairs.append((client, server))
            self._start(lambda client=client, server=server: self._carry_both(client, server))  # type: ignore[misc]

    def _carry_both(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._carry, args=(client, server, False), daemon=True)
        back.start()
        self._carry(server, client, True)
        back.join(DEADLINE)
        client.close()
        server.close()

    def _carry(self, source: socket.socket, target: socket.socket, to_client: bool) -> None:
        """Pass on what comes from `source`, each piece at its moment."""
        with contextlib.suppress(OSError):
            due = time.monotonic()
            while True:
                while self.deaf and not to_client and not self._stopping.wait(0.01):
                    pass
                piece = source.recv(CHUNK)
                if not piece:
                    break
                due = max(due, time.monotonic() + self._random.uniform(0, self.jitter))
                self._stopping.wait(max(0.0, due - time.monotonic()))
                if to_client and self.half:
                    self.half, self.mute = False, True
                    target.sendall(piece[: max(1, len(piece) // 2)])
                elif not (to_client and self.mute):
                    self._write(target, piece)
        _shut(target)
        _shut(source)

    def _write(self, target: socket.socket, piece: bytes) -> None:
        for start in range(0, len(piece), self.bytes_per_write):
            part = piece[start : start + self.bytes_per_write]
            target.sendall(part)
            if self.bytes_per_second:
                self._stopping.wait(len(part) / self.bytes_per_second)


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
