"""What slow and failing callbacks do to a real connection: nothing."""

from __future__ import annotations

from typing import Any

import pytest

from firstock_ws import OrderUpdate
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, Gate, Watched, wait_until


def test_raw_messages_are_bounded_too(make_client: ClientMaker, sim: Simulator, gate: Gate) -> None:
    client = make_client(max_pending=10)
    client.on_connect = gate
    client.on_message = lambda text: None
    client.connect(DEADLINE)
    for _ in range(100):
        sim.push("not json")
    wait_until(lambda: client.stats.unknown_frames == 100)
    assert 180 <= client.stats.notices_dropped <= 200
    gate.open()


def test_orders_are_typed_and_positions_move(make_client: ClientMaker, sim: Simulator) -> None:
    client = make_client()
    watched = Watched(client)
    client.connect(DEADLINE)
    number = sim.place_order("NSE:2885", "B", 50, 1250.05)
    orders: list[OrderUpdate] = watched.wait("on_order_update", client.stats.order_updates or 1)
    wait_until(lambda: watched.of("on_order_update")[-1].is_final)
    orders = watched.of("on_order_update")
    assert {order.order_number for order in orders} == {number}
    assert orders[-1].status == "COMPLETE"
    assert (orders[-1].filled_quantity, orders[-1].average_price, orders[-1].side) == (50, 1250.05, "BUY")
    assert any(order.is_fill and not order.is_final for order in orders), "a part first"
    position = watched.wait("on_position_update", 2)[-1]
    assert (position.net_quantity, position.instrument) == (50, "NSE:2885")
    sim.reject_order(sim.place_order("NSE:2885", fill=False), "RED:margin shortfall")
    wait_until(lambda: watched.of("on_order_update")[-1].status == "REJECTED")
    assert watched.of("on_order_update")[-1].rejection_reason == "RED:margin shortfall"


def test_functions_that_nobody_would_run_are_refused(make_client: ClientMaker) -> None:
    async def later(quote: object) -> None:
        """Never awaited."""

    def one_by_one(quote: object) -> Any:
        yield quote

    client = make_client()
    for function in (later, one_by_one):
        with pytest.raises(TypeError, match="plain function"):
            client.on_quote = function
