"""What takes half a minute whatever one does: it begins with the first test of the folder, and is held here."""

from __future__ import annotations

import pytest

from tests.faults.conftest import BLOCK, Blocked, Fault
from tests.support import DEADLINE, wait_until


@pytest.mark.slow
@pytest.mark.faults("blocked")
def test_a_callback_that_blocks_for_half_a_minute(fault: Fault, blocked: Blocked) -> None:
    child, sim = blocked
    (released,) = child.wait("released", timeout=BLOCK + 3 * DEADLINE)
    assert released["after"] >= BLOCK
    assert released["orders"] == 0, "one callback at a time"
    wait_until(lambda: len(child.ask("orders")["orders"]) == 3)
    assert child.of("error") + child.of("close") == []
    stats = child.ask("stats")
    assert (stats["connections"], sim.handshakes) == (1, 1)
    assert stats["quotes_received"] == 11
    assert sim.pongs >= 3, "the server pings every 5 s, and would have dropped it 10 s after the first"
    fault.measured("blocked for {} s: the server's pings are answered", released["after"])
    fault.measured("{} reconnects", stats["connections"] - 1)
