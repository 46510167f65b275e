"""Nothing is left behind, however often a connection comes and goes."""

from __future__ import annotations

import itertools
import socket
import sys
import threading
from pathlib import Path

import pytest

from tests.faults.conftest import Fault
from tests.faults.peers import Peer, TlsPeer, authority, server_context
from tests.faults.servers import accept_upgrade, close_frame, frame, read_to_end
from tests.support import DEADLINE, wait_until

RECONNECTS = 1_000
WARM_UP = 100
EXTRA_MEMORY = 3.0
"""MiB, 3 KiB for each reconnect: what the system's bookkeeping may differ by."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.slow
@pytest.mark.faults("leaks")
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_thousand_reconnects_without_the_garbage_collector(
    fault: Fault, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.log_little()
    authority().cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = server_context()
    # The server ends connections in three ways, and keeps the ones of the two stops at which we measure.
    stops = {WARM_UP: threading.Event(), WARM_UP + RECONNECTS: threading.Event()}
    turns = itertools.count(1)

    def serve(sock: socket.socket) -> None:
        turn = next(turns)
        peer = Peer(sock) if scheme == "ws" else TlsPeer(sock, context)
        accept_upgrade(peer)
        peer.recv(1000)
        peer.sendall(frame('{"c_exch_seg":"NSE","c_symbol":"26000","i_open_price":100}'))
        if turn in stops:
            stops[turn].wait(6 * DEADLINE)
        if turn % 3 == 0:
            peer.sendall(close_frame(1001))
            read_to_end(peer)
        elif turn % 3 == 1:
            peer.reset()

    server = fault.server(serve)
    # The server answers no pings.
    url = server.url.replace("ws:", f"{scheme}:")
    child = fault.child(url, tokens="NSE:26000", reconnect_max_delay=0.001, ping_interval=300, gc_off=True)

    def settle(turn: int) -> None:
        server.wait(turn, 12 * DEADLINE)
        child.wait("connect", turn)

    try:
        settle(WARM_UP)
        before = (child.descriptors(), child.threads())
        objects, memory = child.ask("objects"), child.memory()
        stops[WARM_UP].set()
        settle(WARM_UP + RECONNECTS)
        wait_until(lambda: child.descriptors() <= before[0] and child.threads() <= before[1])
        wait_until(lambda: child.ask("objects")["connections"] <= objects["connections"])
        more = child.ask("objects")["all"] - objects["all"]
        grown = child.memory() - memory
        assert more < RECONNECTS, "less than one object for each"
        assert grown < EXTRA_MEMORY
        fault.measured("{} descriptors", child.descriptors() - before[0])
        fault.measured("{} threads", child.threads() - before[1])
        fault.measured("{} connection objects", child.ask("objects")["connections"] - objects["connections"])
        fault.measured("{} MiB more than after the first 100", max(0.0, grown))
    finally:
        for stop in stops.values():
            stop.set()
