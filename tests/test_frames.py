"""Frames as the broker sends them, and as it should not, pushed through a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.server import ServerConnection, serve

from firstock_ws import FirstockWS, FrameError, Quote
from firstock_ws.dispatch import Dispatcher
from firstock_ws.feed import Feed
from firstock_ws.ledger import Ledger
from firstock_ws.merge import QuoteBook
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


BAD_FRAMES = [
    "hello",
    "",
    "12",
    "null",
    "true",
    '"text"',
    "{}",
    "[]",
    "[1]",
    '{"a":1}',
    '{"c_symbol":"5","i_open_price":1}',
    '{"NSE:5":7}',
    '{"norenordno":null}',
    b"\xff\xfe\x00",
    b"{" * 1000,
    b"[" * 100_000,
    b'{"i_open_price":' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("frame", BAD_FRAMES, ids=lambda frame: str(frame)[:20])
def test_what_is_not_understood_is_reported_and_counted(
    sim: Simulator, connected: tuple[FirstockWS, Watched], frame: str | bytes
) -> None:
    client, watched = connected
    push(sim, frame)
    push(sim, FULL)
    watched.wait("on_quote")
    (error,) = watched.wait("on_error")
    assert isinstance(error, FrameError)
    assert error.frame == (frame if isinstance(frame, bytes) else frame.encode())
    assert client.stats.unknown_frames == 1
    assert watched.of("on_close") == []


def test_a_binary_frame_is_reported(sim: Simulator, connected: tuple[FirstockWS, Watched]) -> None:
    client, watched = connected
    sim.push(json.dumps(FULL).encode(), binary=True)
    assert "binary" in str(watched.wait("on_error")[0])
    assert client.stats.unknown_frames == 1
    assert len(watched.of("on_message")) == 1, "the authentication alone: a binary frame is no text"


def test_one_bad_instrument_does_not_cost_the_good_ones(
    sim: Simulator, connected: tuple[FirstockWS, Watched]
) -> None:
    client, watched = connected
    push(sim, {"NSE:1": {"i_open_price": 100}, "NSE:2": [], "oops": {}, "NSE:3": {"i_open_price": 300}})
    assert [quote.instrument for quote in watched.wait("on_quote", 2)] == ["NSE:1", "NSE:3"]
    assert len(watched.wait("on_error")) == 1
    assert client.stats.unknown_frames == 1


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


def test_nan_and_duplicate_keys(sim: Simulator, connected: tuple[FirstockWS, Watched]) -> None:
    _, watched = connected
    push(sim, '{"c_exch_seg":"NSE","c_symbol":"5","i_open_price":NaN,"i_high_price":100,"i_high_price":200}')
    quote: Quote = watched.wait("on_quote")[0]
    assert (quote.open, quote.high) == (None, 2.0)
    assert "i_open_price" in str(watched.wait("on_error")[0])


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


def test_a_fault_of_ours_costs_one_frame(
    sim: Simulator, connected: tuple[FirstockWS, Watched], caplog: pytest.LogCaptureFixture
) -> None:
    client, watched = connected
    client.quotes  # noqa: B018
    original = client._book.merge

    def trip(instrument: str, *args: Any) -> Any:
        if instrument == "NSE:666":
            raise RuntimeError("a fault")
        return original(instrument, *args)

    client._book.merge = trip  # type: ignore[method-assign]
    push(sim, {"NSE:666": {"i_open_price": 1}})
    push(sim, FULL)
    watched.wait("on_quote")
    assert "log has the details" in str(watched.of("on_error")[0])
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


# --- anything at all ---------------------------------------------------------------------------------------------


class Sink(Dispatcher):
    """A queue without a thread: what the feed puts in stays."""

    def __init__(self) -> None:
        super().__init__(lambda name, args: None, max_pending=10)


def make_feed() -> Feed:
    sink = Sink()
    return Feed(QuoteBook(), sink, Ledger(sink.put, follow=True), wants_raw=lambda: True)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(
    base=st.sampled_from([FULL, FILL, POSITION]),
    changes=st.dictionaries(st.integers(0, 60), json_values, max_size=8),
)
def test_mutated_real_frames_give_events_or_errors_of_ours(base: dict[str, Any], changes: dict[int, Any]) -> None:
    names = list(base)
    mutated = {**base, **{names[index % len(names)]: value for index, value in changes.items()}}
    feed = make_feed()
    feed.handle(json.dumps(mutated).encode(), is_text=True)
    feed.handle(json.dumps({"NSE:5": mutated, "x": mutated}).encode(), is_text=True)
    assert feed.counts().frames == 2


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_any_json_gives_events_or_errors_of_ours(value: Any) -> None:
    feed = make_feed()
    feed.handle(json.dumps(value).encode(), is_text=True)
    feed.handle(json.dumps({"NSE:5": value, "c_symbol": value}).encode(), is_text=True)
    assert feed.counts().frames == 2
