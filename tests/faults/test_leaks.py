"""Nothing is left behind, however often a connection comes and goes."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.support import DEADLINE, wait_until

RECONNECTS = 1_000
WARM_UP = 100
EXTRA_MEMORY = 3.0
"""MiB, 3 KiB for each reconnect: what the system's bookkeeping may differ by."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.slow
@pytest.mark.faults("leaks")
def test_a_thousand_reconnects_without_the_garbage_collector(fault: Fault, sim: Simulator) -> None:
    fault.log_little()
    sim.behaviour = dataclasses.replace(sim.behaviour, auth_delay=0.0)
    child = fault.child(sim, tokens="NSE:26000", reconnect_max_delay=0.001, gc_off=True)
    child.wait("connect")

    def reconnect(times: int) -> None:
        for _ in range(times):
            count = len(child.of("connect"))
            assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:26000"}, DEADLINE)
            [sim.reset, sim.hang_up, lambda: sim.drop(1001)][count % 3]()
            child.wait("connect", count + 1)

    reconnect(WARM_UP)
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:26000"}, DEADLINE)
    before = (child.descriptors(), child.threads())
    objects, memory = child.ask("objects"), child.memory()
    reconnect(RECONNECTS)
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:26000"}, DEADLINE)
    wait_until(lambda: (child.descriptors(), child.threads()) == before)
    wait_until(lambda: child.ask("objects")["connections"] <= objects["connections"])
    more = child.ask("objects")["all"] - objects["all"]
    grown = child.memory() - memory
    assert more < RECONNECTS, "less than one object for each"
    assert grown < EXTRA_MEMORY
    fault.measured("{} descriptors", child.descriptors() - before[0])
    fault.measured("{} threads", child.threads() - before[1])
    fault.measured("{} connection objects", child.ask("objects")["connections"] - objects["connections"])
    fault.measured("{} MiB more than after the first 100", max(0.0, grown))
