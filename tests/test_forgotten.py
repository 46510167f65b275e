"""Clients that nobody refers to, in a plain program; what becomes of them in IPython is in test_notebook."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from firstock_ws import FirstockWS, Quote, UsageError
from firstock_ws.owner import Owner
from firstock_ws.simulator import Simulator
from tests.support import DEADLINE, KEY, connect, wait_until


class Noting(FirstockWS):
    """Writes down quotes of "NSE:2885"."""

    came: threading.Event

    def on_quote(self, quote: Quote) -> None:
        if quote.instrument == "NSE:2885":
            self.came.set()


def start(sim: Simulator, came: threading.Event) -> weakref.ref[Noting]:
    """As a program's function would: the client has no name any more when it returns."""
    client = Noting(sim.user_id, KEY, url=sim.url, tokens=["NSE:2885"])
    client.came = came
    connect(client, sim)
    return weakref.ref(client)


def test_a_client_that_runs_stays_alive_by_itself(sim: Simulator) -> None:
    came = threading.Event()
    reference = start(sim, came)
    gc.collect()
    assert came.wait(DEADLINE)
    came.clear()
    sim.tick("NSE:2885")
    assert came.wait(DEADLINE)
    client = reference()
    assert client is not None
    assert client.is_connected
    client.close()
    del client
    # Closed, it stays no longer than anybody wants it.
    wait_until(lambda: gc.collect() >= 0 and reference() is None)


def test_a_client_that_gave_up_is_let_go(sim: Simulator) -> None:
    reference = start(sim, threading.Event())
    sim.expire_key()
    wait_until(lambda: gc.collect() >= 0 and reference() is None)
    assert sim.wait_for(lambda sim: sim.session_count() == 0)


@pytest.mark.parametrize("started", [False, True])
def test_a_client_that_does_not_run_is_let_go(sim: Simulator, started: bool) -> None:
    client = FirstockWS(sim.user_id, KEY, url=sim.url)
    if started:
        connect(client, sim)
        client.close()
    reference = weakref.ref(client)
    del client
    wait_until(lambda: gc.collect() >= 0 and reference() is None)


def test_a_key_from_a_method_of_its_own_is_asked_for(sim: Simulator) -> None:
    class Keyed(FirstockWS):
        asked = 0

        def __init__(self) -> None:
            super().__init__(sim.user_id, self.key, url=sim.url)

        def key(self) -> str:
            self.asked += 1
            return KEY

    with Keyed() as client:
        connect(client, sim)
        assert client.asked == 1


def test_a_method_of_a_client_that_is_gone_brings_no_key() -> None:
    class Keyed(FirstockWS):
        def key(self) -> str:
            return KEY

    client = Keyed("AB1234", KEY, url="ws://127.0.0.1:9")
    source = Owner(client, lambda: False).key_source(client.key)
    assert callable(source)
    assert source() == KEY
    reference = weakref.ref(client)
    del client
    wait_until(lambda: gc.collect() >= 0 and reference() is None)
    with pytest.raises(UsageError, match="is gone"):
        source()


def test_a_table_does_not_keep_its_client(sim: Simulator) -> None:
    client = FirstockWS(sim.user_id, KEY, url=sim.url)
    table = client.table()
    reference = weakref.ref(client)
    del client
    wait_until(lambda: gc.collect() >= 0 and reference() is None)
    assert "no quotes yet" in str(table)
