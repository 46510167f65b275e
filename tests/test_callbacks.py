"""What slow and failing callbacks do to a real connection: nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from firstock_ws import FirstockWS, OrderUpdate, Quote
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, KEY, Watched, connect, wait_until


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


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def accounted(client: FirstockWS) -> bool:
    stats = client.stats
    return stats.quotes_received == stats.quotes_delivered + stats.quotes_conflated + stats.quotes_waiting


def test_a_callback_that_blocks_longer_than_the_servers_patience(make_client: ClientMaker, gate: Gate) -> None:
    with Simulator(users={"AB1234": KEY}, rate=0, order_interval=None, ping_interval=0.1, ping_timeout=0.4) as sim:
        client = make_client(url=sim.url, tokens="NSE:2885", max_pending=50)
        watched = Watched(client)
        client.on_connect = gate
        connect(client, sim)
        assert gate.entered.wait(DEADLINE)
        pongs = sim.pongs
        sim.tick("NSE:2885", count=500)
        number = sim.place_order("NSE:2885", quantity=10)
        assert sim.wait_for(lambda sim: sim.pongs >= pongs + 15), "1.5 s: nearly four times its patience"
        wait_until(lambda: client.stats.quotes_received == 501)
        stats = client.stats
        assert stats.quotes_waiting <= 51
        assert accounted(client)
        gate.open()
        orders = watched.wait("on_order_update", stats.order_updates)
        watched.wait("on_position_update", stats.position_updates)
        wait_until(lambda: client.stats.quotes_waiting == 0)
        assert accounted(client)
        assert {order.order_number for order in orders} == {number}
        assert orders[-1].status == "COMPLETE"
        assert watched.of("on_quote")[-1] == client.quotes["NSE:2885"]
        assert watched.of("on_close") == []
        assert client.stats.connections == 1
        client.close()


def test_a_flood_with_orders_in_it_against_a_slow_callback(
    make_client: ClientMaker, sim: Simulator, gate: Gate
) -> None:
    client = make_client(tokens=[f"NSE:{number}" for number in range(101, 111)], max_pending=200)
    watched = Watched(client)
    client.on_connect = gate
    connect(client, sim)
    number = sim.place_order("NSE:2885", quantity=100, price=100.0, fill=False)
    for _ in range(20):
        sim.tick(count=50)
        sim.fill_order(number, 5)
    wait_until(lambda: client.stats.quotes_received == 10_010 and client.stats.order_updates == 23)
    stats = client.stats
    assert stats.quotes_waiting <= 200
    assert accounted(client)
    gate.open()
    orders = watched.wait("on_order_update", 23)
    assert [order.filled_quantity for order in orders[3:]] == list(range(5, 101, 5))
    wait_until(lambda: client.stats.quotes_waiting == 0)
    stats = client.stats
    assert stats.quotes_delivered == len(watched.of("on_quote")) < 10_010
    assert stats.quotes_delivered + stats.quotes_conflated == 10_010
    newest = {quote.instrument: quote for quote in watched.of("on_quote")}
    assert newest == dict(client.quotes)


def test_every_quote_in_order_while_the_user_keeps_up(make_client: ClientMaker, sim: Simulator) -> None:
    client = make_client(tokens="NSE:2885")
    watched = Watched(client)
    connect(client, sim)
    for _ in range(20):
        sim.tick("NSE:2885", count=100)
    quotes = watched.wait("on_quote", 2001)
    assert len(quotes) == 2001
    volumes = [quote.volume for quote in quotes]
    assert volumes == sorted(volumes)
    raws = [text for text in watched.of("on_message") if "c_symbol" in text]
    assert len(raws) == 2001
    truth = sim.truth("NSE:2885")
    last = quotes[-1]
    assert last.last_price == truth["i_last_traded_price"] / 100
    assert [level.quantity for level in last.bids] == [level["quantity"] for level in truth["best_buy"]]
    assert client.stats.quotes_conflated == 0


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(1), KeyboardInterrupt()])
def test_a_callback_that_raises_stops_nothing(
    make_client: ClientMaker, sim: Simulator, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    client = make_client(tokens="NSE:2885")
    watched = Watched(client)

    def fail(quote: Quote) -> None:
        raise error

    client.on_quote = fail
    connect(client, sim)
    sim.tick("NSE:2885", count=9)
    assert watched.wait("on_error", 10) == [error] * 10
    assert client.stats.callback_errors == 10
    assert client.is_connected
    assert "raise error" in caplog.text, "the traceback"


def test_on_error_that_raises_is_contained(make_client: ClientMaker, sim: Simulator) -> None:
    client = make_client(tokens="NSE:2885")
    watched = Watched(client, ("on_order_update",))

    def fail(*args: object) -> None:
        raise ValueError("again")

    client.on_quote = client.on_error = fail
    client.connect(DEADLINE)
    sim.place_order("NSE:2885", fill=False)
    watched.wait("on_order_update", 3)
    wait_until(lambda: client.stats.callback_errors == 2)
    assert client.is_connected


def test_one_callback_at_a_time_on_one_thread(make_client: ClientMaker, sim: Simulator) -> None:
    client = make_client(tokens="NSE:2885|NSE:5")
    inside = threading.Lock()
    done = threading.Semaphore(0)
    threads = set()

    def callback(*args: object) -> None:
        assert inside.acquire(blocking=False), "two callbacks at once"
        threads.add(threading.current_thread())
        inside.release()
        done.release()

    client.on_quote = client.on_order_update = client.on_position_update = client.on_message = callback
    watched = Watched(client, ("on_error",))
    connect(client, sim)
    for _ in range(10):
        sim.tick(count=10)
        sim.place_order("NSE:5")
    for _ in range(500):
        assert done.acquire(timeout=DEADLINE)
    assert watched.of("on_error") == []
    assert len(threads) == 1


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
