"""How to test a strategy: the real client, real sockets, and a simulated broker that does what the test says.

    pip install ".[demo]" pytest  # in the project's folder
    pytest --no-cov test_strategy.py

The strategy stands in the same file, to have it all on one page; yours is imported. Nothing here sleeps: each test
waits for what it is about, so that it is as fast as the computer allows and never fails because that is busy.
"""

import dataclasses
import json
import queue
from collections.abc import Iterator

import pytest

from firstock_ws import FirstockWS, OrderUpdate, Quote
from firstock_ws.simulator import Simulator

SHARE = "NSE:2885"
PATIENCE = 10.0
"""Seconds that anything may take on a busy computer."""


class Breakout(FirstockWS):
    """Wants to buy once when the price is `rupees` above the first one, and counts what was filled."""

    def __init__(self, user_id: str, jkey: str, *, url: str, rest_url: str, rupees: float) -> None:
        super().__init__(user_id, jkey, url=url, rest_url=rest_url, tokens=SHARE, reconcile_interval=0.2)
        self.rupees = rupees
        self.first: float | None = None
        self.bought = False
        self.filled: dict[str, int] = {}
        # What a test, or the part of the program that places orders, waits for.
        self.signals: queue.Queue[tuple[str, float]] = queue.Queue()
        self.fills: queue.Queue[OrderUpdate] = queue.Queue()

    def on_quote(self, quote: Quote) -> None:
        if quote.last_price is None:
            return
        if self.first is None:
            self.first = quote.last_price
        # In paise: the difference of two floats is rarely a whole number of them.
        if not self.bought and round((quote.last_price - self.first) * 100) >= round(self.rupees * 100):
            self.bought = True
            self.signals.put((quote.instrument, quote.last_price))

    def on_order_update(self, order: OrderUpdate) -> None:
        # The whole quantity, not the step: an update that was missed changes nothing.
        if order.filled_quantity and order.filled_quantity != self.filled.get(order.order_number):
            self.filled[order.order_number] = order.filled_quantity
            self.fills.put(order)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A broker whose market stands still until the test moves it."""
    with Simulator(rate=0, order_interval=None, seed=1) as simulator:
        yield simulator


@pytest.fixture
def strategy(sim: Simulator) -> Iterator[Breakout]:
    with Breakout(sim.user_id, sim.jkey, url=sim.url, rest_url=sim.rest_url, rupees=2.0) as strategy:
        strategy.connect(PATIENCE)
        # connect() returns when the subscriptions are sent; frames pushed before they are read go nowhere.
        assert sim.wait_for(lambda sim: sim.subscriptions() == {SHARE})
        yield strategy


def push_price(sim: Simulator, paise_up: int) -> float:
    """Send a price that is `paise_up` above the market's true one, as the wire has it; return it in rupees."""
    exchange, token = SHARE.split(":")
    paise = sim.truth(SHARE)["i_last_traded_price"] + paise_up
    sim.push(json.dumps({"c_exch_seg": exchange, "c_symbol": token, "i_last_traded_price": paise}))
    return float(paise / 100)


def test_it_buys_once_when_the_price_breaks_out(sim: Simulator, strategy: Breakout) -> None:
    push_price(sim, 199)
    higher = push_price(sim, 200)
    push_price(sim, 300)
    assert strategy.signals.get(timeout=PATIENCE) == (SHARE, higher)
    # close() delivers what was received first: after it, nothing more can come.
    strategy.close()
    assert strategy.signals.empty()


def test_it_knows_of_fills(sim: Simulator, strategy: Breakout) -> None:
    number = sim.place_order(SHARE, quantity=50, fill=False)
    sim.fill_order(number, quantity=20)
    assert strategy.fills.get(timeout=PATIENCE).filled_quantity == 20
    sim.fill_order(number)
    assert strategy.fills.get(timeout=PATIENCE).filled_quantity == 50
    assert strategy.filled == {number: 50}


def test_it_knows_of_a_fill_while_the_line_was_down(sim: Simulator, strategy: Breakout) -> None:
    number = sim.place_order(SHARE, quantity=50, fill=False)
    sim.refuse(503)
    sim.reset()
    sim.fill_order(number)
    sim.accept()
    order = strategy.fills.get(timeout=PATIENCE)
    assert (order.order_number, order.filled_quantity, order.source) == (number, 50, "book")


def test_it_knows_of_a_fill_that_the_stream_lost(sim: Simulator, strategy: Breakout) -> None:
    number = sim.place_order(SHARE, quantity=50, fill=False)
    sim.lose_updates()
    sim.fill_order(number)
    assert strategy.fills.get(timeout=PATIENCE).source == "book"


def test_it_does_not_buy_twice_after_a_reconnect(sim: Simulator, strategy: Breakout) -> None:
    push_price(sim, 250)
    strategy.signals.get(timeout=PATIENCE)
    sim.drop(1001)
    assert sim.wait_for(lambda sim: sim.handshakes == 2 and sim.subscriptions() == {SHARE}, PATIENCE)
    push_price(sim, 500)
    strategy.close()
    assert strategy.signals.empty()


def test_it_comes_back_when_the_broker_is_slow(sim: Simulator, strategy: Breakout) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, auth_delay=0.3)
    sim.reset()
    assert sim.wait_for(lambda sim: sim.handshakes == 2 and sim.subscriptions() == {SHARE}, PATIENCE)
    higher = push_price(sim, 200)
    assert strategy.signals.get(timeout=PATIENCE) == (SHARE, higher)
