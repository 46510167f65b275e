"""Callbacks that are slow, stuck, or raise."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from firstock_ws import FirstockWS, Quote
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.servers import accept_upgrade, frame, read_to_end
from tests.support import DEADLINE, Gate, connect, wait_until
from tests.test_updates import FILL


def accounted(client: FirstockWS) -> bool:
    stats = client.stats
    return stats.quotes_received == stats.quotes_delivered + stats.quotes_conflated + stats.quotes_waiting


# --- a burst -----------------------------------------------------------------------------------------------------

QUOTES = 100_000
ORDERS = 1_000
INSTRUMENTS = 50
EXTRA_MEMORY = 60
"""MiB; a hundred thousand quotes that all wait would take ten times as much."""


def burst() -> Iterator[bytes]:
    """Numbered quotes of some instruments, and after every hundredth an order that fills step by step."""
    every = QUOTES // ORDERS
    for number in range(1, QUOTES + 1):
        symbol = number % INSTRUMENTS + 1
        yield frame(f'{{"c_exch_seg":"NSE","c_symbol":"{symbol}","i_volume_traded_today":{number}}}')
        if number % every == 0:
            done = number // every
            yield frame(json.dumps({**FILL, "norenordno": str(done % 7), "qty": "1000", "fillshares": str(done)}))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.slow
@pytest.mark.faults("burst")
def test_a_burst_against_a_slow_callback(fault: Fault) -> None:
    go = threading.Event()

    def serve(sock: socket.socket) -> None:
        accept_upgrade(sock)
        go.wait(3 * DEADLINE)
        waiting: list[bytes] = []
        for piece in burst():
            waiting.append(piece)
            if len(waiting) == 500:
                sock.sendall(b"".join(waiting))
                waiting.clear()
        sock.sendall(b"".join(waiting))
        read_to_end(sock)

    # The server answers no pings.
    child = fault.child(fault.server(serve), callback_takes=0.001, max_pending=1000, ping_interval=300)
    child.wait("connect")
    memory = child.memory()
    go.set()
    started = time.monotonic()
    deadline = started + 12 * DEADLINE
    stats = child.ask("stats")
    while stats["quotes_received"] < QUOTES or stats["quotes_waiting"]:
        assert time.monotonic() < deadline
        counted = stats["quotes_delivered"] + stats["quotes_conflated"] + stats["quotes_waiting"]
        assert stats["quotes_received"] == counted
        assert stats["quotes_waiting"] <= 1000
        stats = child.ask("stats")
    took = time.monotonic() - started
    assert stats["quotes_received"] == QUOTES
    assert stats["quotes_delivered"] + stats["quotes_conflated"] == QUOTES
    assert stats["quotes_delivered"] >= INSTRUMENTS
    assert (stats["order_updates"], stats["connections"], stats["callback_errors"]) == (ORDERS, 1, 0)
    # The last of them may still be on their way to the callback.
    wait_until(lambda: len(child.ask("orders")["orders"]) == ORDERS)
    orders = child.ask("orders")["orders"]
    assert orders == [[str(done % 7), done] for done in range(1, ORDERS + 1)], "every order, in order"
    grown = child.peak_memory() - memory
    assert grown < EXTRA_MEMORY
    fault.measured("100,000 quotes in {} s", took)
    fault.measured("{} delivered, the rest conflated, the sum exact", int(stats["quotes_delivered"]))
    fault.measured("{} of 1,000 orders in order", len(orders))
    fault.measured("{} MiB more in use at the most", max(0.0, grown))


@pytest.mark.faults("burst")
def test_every_quote_in_order_while_the_user_keeps_up(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, tokens="NSE:2885")
    connect(client, sim)
    for _ in range(20):
        sim.tick("NSE:2885", count=100)
    quotes = watched.wait("on_quote", 2001)
    assert len(quotes) == 2001
    volumes = [quote.volume for quote in quotes]
    assert volumes == sorted(volumes)
    assert len([text for text in watched.of("on_message") if "c_symbol" in text]) == 2001
    truth = sim.truth("NSE:2885")
    last = quotes[-1]
    assert last.last_price == truth["i_last_traded_price"] / 100
    assert [level.quantity for level in last.bids] == [level["quantity"] for level in truth["best_buy"]]
    assert client.stats.quotes_conflated == 0


@pytest.mark.faults("burst")
def test_a_flood_with_orders_in_it_while_a_callback_is_stuck(fault: Fault, sim: Simulator, gate: Gate) -> None:
    client, watched = fault.client(sim, tokens=[f"NSE:{number}" for number in range(101, 111)], max_pending=200)
    client.on_connect = gate
    connect(client, sim)
    number = sim.place_order("NSE:2885", quantity=100, price=100.0, fill=False)
    for _ in range(20):
        sim.tick(count=50)
        sim.fill_order(number, 5)
    wait_until(lambda: client.stats.quotes_received == 10_010 and client.stats.order_updates == 23)
    assert client.stats.quotes_waiting <= 200
    assert accounted(client)
    gate.open()
    orders = watched.wait("on_order_update", 23)
    assert [order.filled_quantity for order in orders[3:]] == list(range(5, 101, 5))
    wait_until(lambda: client.stats.quotes_waiting == 0)
    stats = client.stats
    wait_until(lambda: len(watched.of("on_quote")) == stats.quotes_delivered)
    assert stats.quotes_delivered < 10_010
    assert stats.quotes_delivered + stats.quotes_conflated == 10_010
    newest = {quote.instrument: quote for quote in watched.of("on_quote")}
    assert newest == dict(client.quotes)


# --- stuck -------------------------------------------------------------------------------------------------------


@pytest.mark.faults("blocked")
def test_a_callback_that_blocks_longer_than_the_servers_patience(fault: Fault, gate: Gate) -> None:
    sim = fault.simulator(ping_interval=0.1, ping_timeout=2.0)
    client, watched = fault.client(sim, tokens="NSE:2885", max_pending=50)
    client.on_connect = gate
    connect(client, sim)
    assert gate.entered.wait(DEADLINE)
    pongs = sim.pongs
    sim.tick("NSE:2885", count=500)
    number = sim.place_order("NSE:2885", quantity=10)
    assert sim.wait_for(lambda sim: sim.pongs >= pongs + 25, 3 * DEADLINE), "2.5 s: more than its patience"
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
    wait_until(lambda: watched.of("on_quote")[-1] == client.quotes["NSE:2885"])
    assert watched.of("on_close") == []
    assert client.stats.connections == 1


# --- raising -----------------------------------------------------------------------------------------------------


@pytest.mark.faults("raising")
@pytest.mark.parametrize(
    "error", [ValueError("mine"), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), MemoryError()], ids=repr
)
def test_a_callback_that_raises_each_time_stops_nothing(
    fault: Fault, sim: Simulator, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    client, watched = fault.client(sim, tokens="NSE:2885")

    def fail(quote: Quote) -> None:
        raise error

    client.on_quote = fail
    connect(client, sim)
    sim.tick("NSE:2885", count=9)
    assert watched.wait("on_error", 10) == [error] * 10
    assert client.stats.callback_errors == 10
    assert client.is_connected
    assert "raise error" in caplog.text, "the traceback"
    fault.measured("{} times raised, counted and told", client.stats.callback_errors)


@pytest.mark.faults("raising")
@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_every_callback_raises_and_on_error_too(fault: Fault, sim: Simulator, kind: type[BaseException]) -> None:
    client, watched = fault.client(sim, names=("on_order_update",), tokens="NSE:2885")

    def fail(*args: object) -> None:
        raise kind("again")

    client.on_quote = client.on_error = client.on_connect = client.on_close = client.on_reconnect = fail
    client.on_position_update = client.on_message = client.on_noreconnect = fail
    connect(client, sim)
    for turn in range(2, 5):
        sim.drop(1011)
        wait_until(lambda turn=turn: client.stats.connections == turn)  # type: ignore[misc]
    wait_until(lambda: client.is_connected)
    sim.place_order("NSE:2885", fill=False)
    watched.wait("on_order_update", 3)
    assert client.is_connected
    assert client.stats.callback_errors > 10
    fault.measured("all callbacks raise, on_error too: {} reconnects as if nothing had been", 3)


@pytest.mark.faults("raising")
def test_one_callback_at_a_time_on_one_thread(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, names=("on_error",), tokens="NSE:2885|NSE:5")
    inside = threading.Lock()
    done = threading.Semaphore(0)
    threads = set()

    def callback(*args: object) -> None:
        assert inside.acquire(blocking=False), "two callbacks at once"
        threads.add(threading.current_thread())
        inside.release()
        done.release()

    client.on_quote = client.on_order_update = client.on_position_update = client.on_message = callback
    connect(client, sim)
    for _ in range(10):
        sim.tick(count=10)
        sim.place_order("NSE:5")
    for _ in range(500):
        assert done.acquire(timeout=DEADLINE)
    assert watched.of("on_error") == []
    assert len(threads) == 1
