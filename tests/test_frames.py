"""Frames as the broker sends them, and as it should not, pushed through a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from firstock_ws import FirstockWS
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import AUTHENTICATED, DEADLINE, Watched
from tests.test_quote import FULL
from tests.test_updates import FILL, POSITION


@pytest.fixture
def connected(make_client: ClientMaker) -> tuple[FirstockWS, Watched]:
    client = make_client()
    watched = Watched(client)
    client.connect(DEADLINE)
    return client, watched


def push(sim: Simulator, frame: Any) -> None:
    assert sim.push(frame if isinstance(frame, (str, bytes)) else json.dumps(frame)) == 1


def test_every_feed_whatever_the_url(sim: Simulator, connected: tuple[FirstockWS, Watched]) -> None:
    client, watched = connected
    push(sim, FULL)
    push(sim, {"NSE:26000": {"i_last_traded_price": 2500000}, "BSE:1": {"i_last_traded_price": 8000000}})
    push(sim, FILL)
    push(sim, POSITION)
    push(sim, {"NFO:44278": {"c_exch_seg": "NFO", "c_symbol": "44278", "gamma": 0.1}})
    push(sim, {"c_exch_seg": "NFO", "c_symbol": "44279", "gamma": 0.2})
    push(sim, [FULL, FILL])
    quotes = watched.wait("on_quote", 4)
    assert [quote.instrument for quote in quotes] == ["NSE:2885", "NSE:26000", "BSE:1", "NSE:2885"]
    assert [greeks.gamma for greeks in watched.wait("on_option_greeks", 2)] == [0.1, 0.2]
    assert len(watched.wait("on_order_update", 2)) == 2
    assert len(watched.wait("on_position_update")) == 1
    assert watched.of("on_error") == []
    stats = client.stats
    assert (stats.quotes_received, stats.order_updates, stats.position_updates, stats.option_greeks) == (
        4,
        2,
        1,
        2,
    )
    assert stats.unknown_frames == 0


def test_a_bad_field_is_reported_once(sim: Simulator, connected: tuple[FirstockWS, Watched]) -> None:
    client, watched = connected
    for _ in range(3):
        push(sim, {**FULL, "i_open_price": "abc"})
        push(sim, {**FILL, "qty": "abc"})
    push(sim, {**POSITION, "netqty": "abc"})
    push(sim, {"NFO:1": {"gamma": "abc"}})
    assert all(quote.open is None and quote.high == 1255.0 for quote in watched.wait("on_quote", 3))
    assert all(order.quantity is None for order in watched.wait("on_order_update", 3))
    watched.wait("on_option_greeks")
    errors = watched.wait("on_error", 4)
    assert [word for error in errors for word in str(error).split("'")[1:2]] == [
        "i_open_price",
        "qty",
        "netqty",
        "gamma",
    ]
    assert client.stats.field_errors == 8
    assert client.stats.unknown_frames == 0


def test_a_failure_that_is_not_of_the_key_is_reported(
    sim: Simulator, connected: tuple[FirstockWS, Watched]
) -> None:
    client, watched = connected
    push(sim, {"status": "failed", "message": "no such token"})
    assert "reports a failure" in str(watched.wait("on_error")[0])
    push(sim, {"status": "success", "message": "Authentication successful"})
    push(sim, FULL)
    watched.wait("on_quote")
    assert client.stats.connections == 1
    assert watched.names().count("on_connect") == 1


@pytest.mark.parametrize("body", [{"i_open_price": 1}, {"i_open_price": 0}], ids=["plain", "odd"])
def test_a_fault_of_ours_costs_one_frame(
    body: dict[str, Any], sim: Simulator, connected: tuple[FirstockWS, Watched], caplog: pytest.LogCaptureFixture
) -> None:
    client, watched = connected
    client.quotes  # noqa: B018
    original = client._book._key

    def trip(instrument: str) -> Any:
        if instrument == "NSE:666":
            raise RuntimeError("a fault")
        return original(instrument)

    client._book._key = trip  # type: ignore[method-assign]
    push(sim, {"NSE:665": {"i_open_price": 1}})
    push(sim, {"NSE:666": body})
    push(sim, {"NSE:667": {"i_open_price": 1}})
    push(sim, FULL)
    watched.wait("on_quote", 3)
    assert watched.names()[-4:] == ["on_quote", "on_error", "on_quote", "on_quote"]
    error = watched.of("on_error")[0]
    assert "log has the details" in str(error)
    # The part, or the frame, by who has read it.
    frame = error.frame if isinstance(error.frame, dict) else json.loads(error.frame)
    assert frame in (body, {"NSE:666": body})
    assert "RuntimeError: a fault" in caplog.text


# --- a server that is not the simulator --------------------------------------------------------------------------


@pytest.fixture
def foreign_server() -> Iterator[tuple[str, list[ServerConnection], list[str]]]:
    """A plain server of the websockets library: its address, its connections, and what they received."""
    connections: list[ServerConnection] = []
    received: list[str] = []

    def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        connection.send(AUTHENTICATED)
        for message in connection:
            received.append(str(message))

    with serve(handle, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/anything", connections, received
        server.shutdown()
        thread.join(DEADLINE)


def test_fragments_pings_and_bytes_from_another_server(
    foreign_server: tuple[str, list[ServerConnection], list[str]], make_client: ClientMaker
) -> None:
    url, connections, received = foreign_server
    client = make_client(url=url, tokens="NSE:2885")
    watched = Watched(client)
    client.connect(DEADLINE)
    text = json.dumps(FULL)
    connections[0].send(text[start : start + 100] for start in range(0, len(text), 100))
    assert watched.wait("on_quote")[0].last_price == 1251.9
    assert connections[0].ping().wait(DEADLINE), "answered by the client"
    connections[0].send(json.dumps(FILL))
    watched.wait("on_order_update")
    client.close()
    assert json.loads(received[0]) == {"action": "subscribe", "tokens": "NSE:2885"}
    assert watched.of("on_error") == []
