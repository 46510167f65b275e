"""A client that writes down what it is told, and other things that tests share."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from firstock_ws import FirstockError, FirstockWS
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


class Gate:
    """A callback that stays inside until let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, *args: object) -> None:
        self.entered.set()
        assert self._open.wait(6 * DEADLINE)

    def open(self) -> None:
        self._open.set()


def connect(client: FirstockWS, sim: Simulator) -> None:
    """Connect, and wait until `sim` has read the subscriptions: connect() returns when they are sent."""
    client.connect(DEADLINE)
    assert sim.wait_for(lambda sim: sim.subscriptions() >= client.subscriptions)


def fail_once(client: FirstockWS, watched: Watched) -> FirstockError:
    """Let `client` try until it tells of an error and means to try again; close it, return the error."""
    thread = threading.Thread(target=client.run_forever)
    thread.start()
    error: FirstockError = watched.wait("on_error")[0]
    watched.wait("on_reconnect")
    client.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert watched.of("on_close") == []
    return error


def wait_until(condition: Callable[[], object], timeout: float = DEADLINE) -> None:
    """Wait for something that nobody signals."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        pause.wait(0.005)


def unmeasured() -> dict[str, str]:
    """The environment of a process that coverage leaves alone.

    Its notes of every thread would count as the client's memory. And Ctrl-C in its tracer, which is in Python, can
    leave the tracer's lock taken: the whole process then stands still, one time in a hundred on a busy machine.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def closed_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
