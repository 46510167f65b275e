"""A client that writes down what it is told, and servers that misbehave in ways the simulator does not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from firstock_ws import FirstockWS
from firstock_ws.callbacks import CALLBACK_NAMES
from firstock_ws.simulator import Simulator

KEY = "6f1d8c0b" * 8
"""The jKey of all tests: 64 hexadecimal digits as the broker's, to be found in no log line."""
AUTHENTICATED = '{"status":"success","message":"Authentication successful"}'
DEADLINE = 10.0


class Watched:
    """The calls a client made, in order, to look at and to wait for.

    Threads: the callback thread writes, the test reads; the lock is ``_changed``.
    """

    def __init__(self, client: FirstockWS, names: tuple[str, ...] = CALLBACK_NAMES) -> None:
        self._changed = threading.Condition()
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.threads: set[str] = set()
        for name in names:
            setattr(client, name, self._recorder(name))

    def _recorder(self, name: str) -> Callable[..., None]:
        def record(*args: object) -> None:
            with self._changed:
                self.calls.append((name, args))
                self.threads.add(threading.current_thread().name)
                self._changed.notify_all()

        return record

    def names(self) -> list[str]:
        """All calls but raw messages, by name."""
        with self._changed:
            return [name for name, _ in self.calls if name != "on_message"]

    def of(self, name: str) -> list[Any]:
        """What `name` was called with: the argument, or the tuple of them if there are two."""
        with self._changed:
            return [args[0] if len(args) == 1 else args for called, args in self.calls if called == name]

    def wait(self, name: str, count: int = 1, timeout: float = DEADLINE) -> list[Any]:
        """Wait until `name` was called `count` times; return `of` it."""
        with self._changed:
            good = self._changed.wait_for(lambda: len(self.of_locked(name)) >= count, timeout)
        assert good, f"{name} came {len(self.of(name))} times, not {count}: {self.calls[-5:]}"
        return self.of(name)

    def of_locked(self, name: str) -> list[str]:
        return [called for called, _ in self.calls if called == name]


def connect(client: FirstockWS, sim: Simulator) -> None:
    """Connect, and wait until `sim` has read the subscriptions: connect() returns when they are sent."""
    client.connect(DEADLINE)
    assert sim.wait_for(lambda sim: sim.subscriptions() >= client.subscriptions)


def wait_until(condition: Callable[[], object], timeout: float = DEADLINE) -> None:
    """Wait for something that nobody signals."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        pause.wait(0.005)


@contextlib.contextmanager
def tcp_server(serve: Callable[[socket.socket], None], connections: int = 100) -> Iterator[str]:
    """Run `serve` on a thread for each connection; yield the ``ws://`` address."""
    listener = socket.create_server(("127.0.0.1", 0))
    sockets: list[socket.socket] = []

    def handle(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            serve(sock)

    def accept() -> None:
        for _ in range(connections):
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sockets.append(sock)
            threading.Thread(target=handle, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        thread.join(DEADLINE)


def read_request(sock: socket.socket) -> bytes:
    """Read an HTTP request up to its empty line."""
    request = b""
    while b"\r\n\r\n" not in request:
        more = sock.recv(4096)
        if not more:
            break
        request += more
    return request


def closed_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
