"""Lines that are slow, and servers that do not read."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from firstock_ws import ConnectionLostError
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.faults.proxy import Proxy
from tests.faults.servers import accept_upgrade, read_to_end
from tests.support import DEADLINE, Watched, connect
from tests.test_updates import FILL

EVENTS = 100


def send_numbered(sim: Simulator, pieces: int, pause: threading.Event | None = None) -> None:
    """Send numbered quotes with an order after every tenth."""
    for number in range(1, pieces + 1):
        quote = {"c_exch_seg": "NSE", "c_symbol": "5", "i_volume_traded_today": number, "i_open_price": 100}
        sim.push(json.dumps(quote))
        if number % 10 == 0:
            sim.push(json.dumps({**FILL, "norenordno": str(number)}))
        if pause is not None:
            pause.wait(0.01)


def check_numbered(watched: Watched, pieces: int) -> None:
    quotes = watched.wait("on_quote", pieces, 6 * DEADLINE)
    orders = watched.wait("on_order_update", pieces // 10, 6 * DEADLINE)
    assert [quote.volume for quote in quotes] == list(range(1, pieces + 1)), "every quote, in order"
    assert [order.order_number for order in orders] == [str(number) for number in range(10, pieces + 1, 10)]
    order_of_all = [
        args[0].volume if name == "on_quote" else int(args[0].order_number)
        for name, args in watched.calls
        if name in ("on_quote", "on_order_update")
    ]
    assert order_of_all == sorted(order_of_all), "quotes and orders in one order"
    assert watched.of("on_error") == []
    assert watched.of("on_close") == []


@pytest.mark.faults("slow-line")
def test_one_byte_per_write(fault: Fault, sim: Simulator) -> None:
    proxy = fault.proxy(sim)
    proxy.bytes_per_write = 1
    client, watched = fault.client(proxy, ping_interval=0.5, ping_timeout=10.0)
    started = time.monotonic()
    client.connect(DEADLINE)
    send_numbered(sim, EVENTS)
    check_numbered(watched, EVENTS)
    fault.measured(
        f"byte by byte: {EVENTS} quotes and {EVENTS // 10} orders in {{}} s", time.monotonic() - started
    )


@pytest.mark.faults("slow-line")
def test_jitter(fault: Fault, sim: Simulator) -> None:
    proxy = fault.proxy(sim)
    proxy.jitter = 0.2
    client, watched = fault.client(proxy, ping_interval=0.5, ping_timeout=10.0)
    client.connect(DEADLINE)
    send_numbered(sim, EVENTS, threading.Event())
    check_numbered(watched, EVENTS)
    fault.measured("jitter: {} events, none out of order", EVENTS + EVENTS // 10)


@pytest.mark.faults("slow-line")
def test_twenty_kilobytes_a_second(fault: Fault, sim: Simulator) -> None:
    proxy = fault.proxy(sim)
    proxy.bytes_per_second, proxy.bytes_per_write = 20_000, 500
    client, watched = fault.client(proxy, ping_interval=0.5, ping_timeout=10.0)
    client.connect(DEADLINE)
    # Everything waits in the server's queue at once: the line is full for seconds.
    started = time.monotonic()
    send_numbered(sim, 5 * EVENTS)
    check_numbered(watched, 5 * EVENTS)
    fault.measured(f"20 kB/s: {5 * EVENTS} quotes in {{}} s", time.monotonic() - started)


@pytest.mark.faults("unread")
def test_a_server_that_does_not_read_what_is_sent(fault: Fault) -> None:
    reads = threading.Event()
    received: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        accept_upgrade(sock)
        reads.wait(3 * DEADLINE)
        received.append(sock.recv(65536))
        read_to_end(sock)

    server = fault.server(serve)
    server.reads = False
    client, watched = fault.client(server, io_timeout=0.3)
    client.connect(DEADLINE)
    started = time.monotonic()
    client.subscribe([f"NSE:{number:020d}" for number in range(200_000)])
    error = watched.wait("on_error", timeout=3 * DEADLINE)[0]
    took = time.monotonic() - started
    assert isinstance(error, ConnectionLostError)
    assert "does not read" in str(error)
    assert len(client.subscriptions) == 200_000, "nothing is forgotten"
    watched.wait("on_reconnect")
    closing = fault.close(client)
    reads.set()
    fault.measured("200,000 subscriptions: given up after {} s (io_timeout 0.3 s)", took)
    fault.measured("close() {} s", closing)


@pytest.mark.faults("unread")
def test_what_could_not_be_sent_is_subscribed_by_the_next_connection(fault: Fault, sim: Simulator) -> None:
    proxy: Proxy = fault.proxy(sim)
    client, watched = fault.client(proxy, io_timeout=0.3, ping_interval=30)
    connect(client, sim)
    proxy.deaf = True
    wanted = [f"NSE:{number:018d}" for number in range(200_000)]
    client.subscribe(wanted)
    watched.wait("on_close", timeout=3 * DEADLINE)
    client.unsubscribe(wanted[100:])
    proxy.deaf = False
    watched.wait("on_connect", 2)
    assert sim.wait_for(lambda sim: sim.subscriptions() == set(wanted[:100]), 3 * DEADLINE)
    fault.measured("{} wanted of them are subscribed after the reconnect", 100)
