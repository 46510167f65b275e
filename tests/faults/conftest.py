"""The `fault` that every test of this folder works with, and what is held against all of them."""

from __future__ import annotations

import contextlib
import inspect
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from firstock_ws import FirstockWS, State
from firstock_ws.callbacks import CALLBACK_NAMES
from firstock_ws.simulator import Simulator
from tests.faults.children import Child, Script
from tests.faults.invariants import Invariants, Observed
from tests.faults.proxy import Proxy
from tests.faults.rows import ROW_IDS
from tests.faults.servers import Server
from tests.support import KEY, Watched

QUICK = 0.05
"""The clients' longest wait between tries, unless a test says otherwise."""


def pytest_itemcollected(item: pytest.Item) -> None:
    rows = [row for marker in item.iter_markers("faults") for row in marker.args]
    if not rows or not ROW_IDS.issuperset(rows):
        raise pytest.UsageError(f"{item.nodeid}: needs a faults marker that names rows of rows.py, not {rows}")
    item.user_properties.extend(("row", row) for row in rows)


class Fault:
    """Makes clients and servers that end with the test, and takes down what it measured."""

    def __init__(self, item: pytest.Item, invariants: Invariants, stack: contextlib.ExitStack) -> None:
        self._item = item
        self._invariants = invariants
        self._stack = stack
        self._simulators: list[Simulator] = []
        self._servers: list[Server] = []
        self._children = 0
        self._proxied = False

    def client(
        self, at: Simulator | Server | Proxy | str, *, names: tuple[str, ...] = CALLBACK_NAMES, **options: Any
    ) -> tuple[FirstockWS, Watched]:
        """Make a client of a server, and watch the callbacks `names`."""
        url = at if isinstance(at, str) else at.url
        settings = {"user_id": "AB1234", "jkey": KEY, "url": url, "reconnect_max_delay": QUICK, **options}
        client = Observed(**settings)
        self._invariants.clients.append(client)
        return client, Watched(client, names)

    def simulator(self, **options: Any) -> Simulator:
        """Start a simulator that says nothing by itself but snapshots."""
        settings = {"users": {"AB1234": KEY}, "rate": 0, "order_interval": None, "seed": 1, **options}
        sim = self._stack.enter_context(Simulator(**settings))
        self._simulators.append(sim)
        return sim

    def server(self, serve: Callable[[socket.socket], object]) -> Server:
        """Start a server that hands each connection to `serve`."""
        server = Server(serve)
        self._stack.callback(server.stop)
        self._servers.append(server)
        return server

    def proxy(self, target: Simulator | Server) -> Proxy:
        """Start a proxy between a client and `target`; it may keep from that one that the client has left."""
        self._proxied = True
        proxy = Proxy(target.port)
        self._stack.callback(proxy.stop)
        return proxy

    def child(self, at: Simulator | Server | str, **options: Any) -> Child:
        """Start a client in a process of its own, to measure what it uses."""
        self._children += 1
        child = Child(at if isinstance(at, str) else at.url, options)
        self._stack.callback(child.stop)
        return child

    def script(self, at: Simulator | Server | str, run: str, *, clients: int = 1) -> Script:
        """Start a program that does `run` with a `client`, which is not connected yet."""
        self._children += clients
        script = Script(at if isinstance(at, str) else at.url, run)
        self._stack.callback(script.kill)
        return script

    def close(self, client: FirstockWS) -> float:
        """Close `client`; return the seconds that it took."""
        started = time.monotonic()
        client.close()
        return time.monotonic() - started

    def on_look_at_state(self, call: Callable[[State], None]) -> None:
        """Have `call` called whenever a thread reads a client's state, on that thread."""
        self._invariants.on_look = call

    def log_little(self) -> None:
        """Spare this test the logging of everything: see `Invariants.log_little`."""
        self._invariants.log_little()

    @property
    def records_seen(self) -> int:
        """Log records so far, each of which was searched for the keys."""
        return self._invariants.records_seen

    def measured(self, text: str, value: float | None = None) -> None:
        """Put a figure beside the row of this test.

        Args:
            text: says what was measured, with ``{}`` where the number goes. Tests of a row that use the same
                text share one figure, from the least to the most.
            value: the number.
        """
        for row in [row for name, row in self._item.user_properties if name == "row"]:
            self._item.user_properties.append(("measured", (row, text, value)))

    def hold_connections(self) -> None:
        """Hold that no client had more than one connection at a time."""
        clients = len(self._invariants.clients) + self._children
        if self._proxied:
            return
        for sim in self._simulators:
            assert sim.peak_sessions <= clients, "more than one connection for a client"
        for server in self._servers:
            assert server.peak <= clients or not server.reads, "more than one connection for a client"


Blocked = tuple[Child, Simulator]
BLOCK = 30.0


@pytest.fixture(scope="package", autouse=True)
def blocked(request: pytest.FixtureRequest) -> Iterator[Blocked | None]:
    """A client whose callback blocks from the first test on, so that nobody has to wait for half a minute."""
    if not any("blocked" in getattr(inspect.signature(item.obj), "parameters", ()) for item in functions(request)):
        yield None
        return
    with Simulator(users={"AB1234": KEY}, rate=0, order_interval=None, ping_interval=5, ping_timeout=10) as sim:
        child = Child(sim.url, {"tokens": "NSE:2885", "callback_blocks": BLOCK, "ping_interval": 5})
        try:
            child.wait("blocked")
            sim.tick("NSE:2885", count=10)
            sim.place_order("NSE:2885", fill=False)
            yield child, sim
        finally:
            child.kill()


def functions(request: pytest.FixtureRequest) -> list[pytest.Function]:
    """The tests of this run."""
    return [item for item in request.session.items if isinstance(item, pytest.Function)]


@pytest.fixture(autouse=True)
def fault(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Fault]:
    """Makes what a test needs, and holds the invariants when it is over."""
    invariants = Invariants(monkeypatch, capfd)
    invariants.begin()
    stack = contextlib.ExitStack()
    fault = Fault(request.node, invariants, stack)
    try:
        yield fault
    finally:
        try:
            invariants.close_all()
            fault.hold_connections()
        finally:
            stack.close()
            invariants.end()


@pytest.fixture
def sim(fault: Fault) -> Simulator:
    """A simulator that says nothing by itself but snapshots."""
    return fault.simulator()
