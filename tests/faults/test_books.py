"""Order and position updates that the stream does not tell, and books that can't be read."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from firstock_ws import ReconcileError
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.support import connect, wait_until


@pytest.mark.faults("missed")
def test_fills_while_the_stream_is_down(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, rest_url=sim.rest_url)
    connect(client, sim)
    # Else the books of the first connect may tell some of them before the stream does.
    wait_until(lambda: client.stats.gap_since is None)
    numbers = [sim.place_order("NSE:2885", quantity=10, fill=False) for _ in range(50)]
    watched.wait("on_order_update", 3 * 50)
    sim.refuse(503)
    sim.reset()
    watched.wait("on_reconnect")
    for number in numbers:
        sim.fill_order(number)
    sim.accept()
    watched.wait("on_connect", 2)
    connected = time.monotonic()
    orders = watched.wait("on_order_update", 4 * 50)[150:]
    fault.measured("50 fills while it was down: told {} s after the reconnect", time.monotonic() - connected)
    assert {order.order_number for order in orders} == set(numbers)
    assert {(order.source, order.status, order.fill_quantity) for order in orders} == {("book", "COMPLETE", 10)}
    wait_until(lambda: client.stats.gap_since is None)
    assert len(watched.of("on_order_update")) == 200, "each once"
    assert [position.net_quantity for position in watched.of("on_position_update")] == [500]


@pytest.mark.faults("missed")
def test_updates_lost_on_a_healthy_stream(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, rest_url=sim.rest_url, reconcile_interval=0.5)
    connect(client, sim)
    wait_until(lambda: client.stats.reconciles)
    sim.lose_updates()
    lost = time.monotonic()
    sim.place_order("NSE:2885")
    (order,) = watched.wait("on_order_update")
    fault.measured("lost on the stream: told after {} s (reconcile_interval 0.5 s)", time.monotonic() - lost)
    assert (order.source, order.status) == ("book", "COMPLETE")
    assert client.stats.connections == 1


@pytest.mark.faults("missed")
def test_updates_that_come_late(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, rest_url=sim.rest_url, reconcile_interval=0.1)
    connect(client, sim)
    wait_until(lambda: client.stats.gap_since is None)
    sim.hold_updates()
    numbers = [sim.place_order("NSE:2885") for _ in range(20)]
    watched.wait("on_order_update", 20)
    watched.wait("on_position_update")
    frames = sum(len(sim.order_history(number)) for number in numbers) + len(sim.position_history())
    sim.release_updates()
    wait_until(lambda: client.stats.order_updates + client.stats.position_updates == frames)
    assert client.stats.stale_updates == frames
    assert len(watched.of("on_order_update")) == 20
    fault.measured("{} late frames of what the books had told: 0 delivered again", frames)


TROUBLE: dict[str, Callable[[Simulator], object]] = {
    "503": lambda sim: sim.refuse_rest(503),
    "429": lambda sim: sim.refuse_rest(429, {"Retry-After": "0"}),
    "another's page": lambda sim: sim.refuse_rest(200, body="<html>"),
    "cut": lambda sim: sim.refuse_rest(None),
    "mute": lambda sim: sim.hush_rest(),
    "dripping": lambda sim: sim.trickle_rest(0.1),
}


@pytest.mark.faults("books")
@pytest.mark.parametrize("trouble", TROUBLE)
def test_books_that_cannot_be_read(
    fault: Fault, sim: Simulator, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstock_ws.reconcile.CALL_TIMEOUT", 0.3)
    TROUBLE[trouble](sim)
    number = sim.place_order("NSE:2885")
    client, watched = fault.client(sim, rest_url=sim.rest_url)
    connect(client, sim)
    wait_until(lambda: client.stats.reconcile_failures >= 3)
    assert [type(error) for error in watched.of("on_error")] == [ReconcileError], "said once"
    assert client.stats.gap_since is not None
    sim.trickle_rest(0)
    sim.accept_rest()
    healed = time.monotonic()
    assert [order.order_number for order in watched.wait("on_order_update")] == [number]
    wait_until(lambda: client.stats.gap_since is None)
    fault.measured("3 failures, 1 on_error; closed {} s after they could be read again", time.monotonic() - healed)
    assert client.stats.connections == 1, "the stream did not notice"
    fault.measured("close() {} s", fault.close(client))
