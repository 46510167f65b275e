"""Whatever happens to orders, connections and frames: what the user saw of each order is what happened to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from firstock_ws import FirstockWS, OrderUpdate, PositionUpdate, ledger
from firstock_ws.simulator import Simulator
from tests.support import DEADLINE, KEY, Watched, wait_until

SETTLE = 0.1

Step = tuple[Any, ...]
MOVES = st.one_of(
    st.tuples(st.just("place"), st.sampled_from("BS"), st.integers(1, 60)),
    st.tuples(st.just("fill"), st.integers(0, 3), st.integers(1, 30)),
    st.tuples(st.just("fill"), st.integers(0, 3), st.integers(1, 30)),
    st.tuples(st.just("modify"), st.integers(0, 3), st.integers(90, 110)),
    st.tuples(st.sampled_from(["cancel", "reject"]), st.integers(0, 3)),
)
FAULTS = st.one_of(
    st.tuples(st.just("lose"), st.integers(0, 4)),
    st.tuples(st.just("hold")),
    st.tuples(st.just("release")),
    st.tuples(st.sampled_from(["drop", "reset", "hang_up", "rest down", "rest up"])),
)
STEPS = st.one_of(MOVES, MOVES, MOVES, FAULTS, st.just(("read",)), st.just(("read",)))


# Random plans seldom give the book the time to be behind with an order that it knows.
BEHIND: list[Step] = [("place", "B", 50), ("read",), ("read",), ("read",), ("read",), ("read",), ("fill", 0, 5)]
BEHIND += [("read",), ("read",), ("read",), ("read",), ("read",), ("modify", 0, 101), ("read",), ("fill", 0, 5)]


class Trader:
    """A client, its simulator, and all that the client was told."""

    def __init__(self, sim: Simulator, client: FirstockWS) -> None:
        self.sim = sim
        self.client = client
        self.watched = Watched(client, ("on_order_update", "on_position_update", "on_connect"))
        self.numbers: list[str] = []

    def do(self, step: Step) -> None:
        """Carry out a step; one that is not possible now (filling what has ended) is none."""
        what, sim = step[0], self.sim
        if what == "place":
            self.numbers.append(sim.place_order("NSE:2885", step[1], step[2], 100.0, fill=False))
        elif what in ("fill", "modify", "cancel", "reject"):
            self._change_order(step)
        elif what == "lose":
            sim.lose_updates(step[1])
        elif what == "hold":
            sim.hold_updates()
        elif what == "release":
            sim.release_updates()
        elif what in ("drop", "reset", "hang_up"):
            getattr(sim, what)()
        elif what == "read":
            seen = self.readings()
            wait_until(lambda: self.readings() > seen)
        elif what == "rest down":
            sim.refuse_rest(503)
        else:
            sim.accept_rest()

    def _change_order(self, step: Step) -> None:
        if not self.numbers:
            return
        number = self.numbers[step[1] % len(self.numbers)]
        try:
            if step[0] == "fill":
                self.sim.fill_order(number, step[2])
            elif step[0] == "modify":
                self.sim.modify_order(number, price=float(step[2]))
            elif step[0] == "cancel":
                self.sim.cancel_order(number)
            else:
                self.sim.reject_order(number, "RED:margin")
        except ValueError:
            assert step[0] == "fill" or self.sim.order_history(number)[-1]["status"] in ENDED

    def readings(self) -> int:
        stats = self.client.stats
        return stats.reconciles + stats.reconcile_failures

    def settle(self) -> None:
        """End all faults, and wait until the books were read to the end after that."""
        self.sim.lose_updates(0)
        self.sim.release_updates()
        self.sim.accept_rest()
        self.sim.behaviour = dataclasses.replace(self.sim.behaviour, book_lag=0.0)
        wait_until(lambda: self.client.is_connected and self.agrees())
        # Whatever would come twice has come by the end of another reading.
        seen = self.client.stats.reconciles
        wait_until(lambda: self.client.stats.reconciles >= seen + 2 and self.client.stats.gap_since is None)

    def agrees(self) -> bool:
        told = {order.order_number: facts(order) for order in self.watched.of("on_order_update")}
        truth = {number: true_facts(self.sim.order_history(number)[-1]) for number in self.numbers}
        return {number: told.get(number) for number in truth} == truth

    def orders_of(self, number: str) -> list[OrderUpdate]:
        return [order for order in self.watched.of("on_order_update") if order.order_number == number]


ENDED = ("COMPLETE", "CANCELED", "REJECTED")


def facts(order: OrderUpdate) -> tuple[Any, ...]:
    return order.status, order.filled_quantity or 0, order.price


def true_facts(frame: dict[str, str]) -> tuple[Any, ...]:
    return frame["status"], int(frame["fillshares"]), float(frame["prc"])


@pytest.fixture(scope="module")
def trader() -> Iterator[Trader]:
    patch = pytest.MonkeyPatch()
    patch.setattr(ledger, "SETTLE", SETTLE)
    patch.setattr("firstock_ws.reconcile.SETTLE", SETTLE)
    with Simulator(users={"AB1234": KEY}, rate=0, order_interval=None) as sim:
        client = FirstockWS(
            "AB1234",
            KEY,
            url=sim.url,
            rest_url=sim.rest_url,
            reconnect_max_delay=0.02,
            reconcile_interval=0.02,
        )
        trader = Trader(sim, client)
        client.connect(DEADLINE)
        try:
            yield trader
        finally:
            client.close()
    patch.undo()


@pytest.fixture(autouse=True)
def _no_thread_left() -> None:
    """The client of this file lives longer than one test."""


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(plan=BEHIND, lag=SETTLE / 2)
@given(plan=st.lists(STEPS, min_size=8, max_size=30), lag=st.sampled_from([0.0, SETTLE / 2]))
def test_what_the_user_saw_is_what_happened(trader: Trader, plan: list[Step], lag: float) -> None:
    trader.numbers.clear()
    trader.sim.behaviour = dataclasses.replace(trader.sim.behaviour, book_lag=lag)
    for step in plan:
        trader.do(step)
    trader.settle()
    for number in trader.numbers:
        happened = [true_facts(frame) for frame in trader.sim.order_history(number)]
        seen = trader.orders_of(number)
        place = -1
        for order in seen:
            # Each is a later moment of what happened than the one before: none twice, none out of order.
            assert facts(order) in happened[place + 1 :], (happened, [(o.source, facts(o)) for o in seen])
            place = happened.index(facts(order), place + 1)
        assert facts(seen[-1]) == happened[-1]
        gained = [order.fill_quantity or 0 for order in seen if order.source == "book"]
        steps = zip([0, *(order.filled_quantity or 0 for order in seen)], seen, strict=False)
        assert gained == [(o.filled_quantity or 0) - before for before, o in steps if o.source == "book"]
    check_positions(trader)


def check_positions(trader: Trader) -> None:
    told: list[PositionUpdate] = trader.watched.of("on_position_update")
    traded = [(p.day_buy_quantity or 0) + (p.day_sell_quantity or 0) for p in told]
    assert traded == sorted(set(traded)), "each once, never going back"
    held = trader.sim.positions()
    if held:
        assert told[-1].net_quantity == int(str(held[0]["netqty"]))
