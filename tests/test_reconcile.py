"""No order update is missed: the books against the stream, on real sockets."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from firstock_ws import AuthenticationError, FirstockWS, OrderUpdate, ReconcileError, State
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, KEY, Watched, closed_port, wait_until

QUICK = {"reconnect_max_delay": 0.05}


@pytest.fixture(autouse=True)
def _books_settle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstock_ws.ledger.SETTLE", 0.1)
    monkeypatch.setattr("firstock_ws.reconcile.SETTLE", 0.1)


@pytest.fixture
def make(sim: Simulator, make_client: ClientMaker) -> Callable[..., tuple[FirstockWS, Watched]]:
    """Makes a client that knows the simulator's REST address, and what it was told."""

    def make_one(**options: Any) -> tuple[FirstockWS, Watched]:
        client = make_client(**{"rest_url": sim.rest_url, **QUICK, **options})
        return client, Watched(client)

    return make_one


Maker = Callable[..., tuple[FirstockWS, Watched]]


def agreed(client: FirstockWS, times: int = 1) -> None:
    """Wait until the books were read so often, and no gap is left."""
    wait_until(lambda: client.stats.reconciles >= times and client.stats.gap_since is None)


def steps(watched: Watched, number: str) -> list[tuple[str, str | None, int | None]]:
    orders: list[OrderUpdate] = watched.of("on_order_update")
    return [(o.source, o.status, o.filled_quantity) for o in orders if o.order_number == number]


def test_what_happened_before_the_first_connect(sim: Simulator, make: Maker) -> None:
    done = sim.place_order("NSE:2885", quantity=10, price=100.0)
    waiting = sim.place_order("NFO:44278", "S", quantity=50, price=12.5, fill=False, product="M")
    client, watched = make()
    client.connect(DEADLINE)
    agreed(client)
    orders = {order.order_number: order for order in watched.wait("on_order_update", 2)}
    assert watched.names()[0] == "on_connect"
    assert set(orders) == {done, waiting}
    first, second = orders[done], orders[waiting]
    assert (first.source, first.status, first.is_final, first.filled_quantity) == ("book", "COMPLETE", True, 10)
    assert (first.fill_quantity, first.is_fill, first.average_price) == (10, True, 100.0)
    assert (first.instrument, first.trading_symbol, first.side) == ("NSE:2885", "RELIANCE-EQ", "BUY")
    assert (second.status, second.price, second.product, second.pending_quantity) == ("OPEN", 12.5, "M", 50)
    assert (second.fill_quantity, second.is_fill, second.report_type) == (None, False, None)
    assert second.raw["orderNumber"] == waiting
    (position,) = watched.wait("on_position_update")
    assert (position.source, position.instrument, position.product) == ("book", "NSE:2885", "I")
    assert (position.net_quantity, position.day_buy_quantity, position.day_buy_amount) == (10, 10, 1000.0)
    assert client.stats.book_updates == 3
    assert client.stats.order_updates == 0


def test_fills_while_disconnected_come_from_the_book(sim: Simulator, make: Maker) -> None:
    client, watched = make()
    client.connect(DEADLINE)
    agreed(client)
    number = sim.place_order("NSE:2885", quantity=50, price=100.0, fill=False)
    wait_until(lambda: steps(watched, number)[-1:] == [("stream", "OPEN", 0)])
    before = steps(watched, number)
    sim.refuse(503)
    sim.reset()
    watched.wait("on_reconnect")
    assert client.stats.gap_since is not None
    sim.fill_order(number, 20)
    sim.accept()
    watched.wait("on_connect", 2)
    agreed(client, 4)
    assert steps(watched, number) == [*before, ("book", "OPEN", 20)]
    assert watched.of("on_order_update")[-1].fill_quantity == 20
    assert [position.net_quantity for position in watched.of("on_position_update")] == [20]
    sim.fill_order(number)
    wait_until(lambda: steps(watched, number)[-1] == ("stream", "COMPLETE", 50))
    assert watched.of("on_order_update")[-1].fill_quantity == 30
    assert sum(order.fill_quantity or 0 for order in watched.of("on_order_update")) == 50
    assert client.stats.stale_updates == 0


def test_a_fill_lost_on_a_healthy_stream_comes_on_the_timer(sim: Simulator, make: Maker) -> None:
    client, watched = make(reconcile_interval=0.1)
    client.connect(DEADLINE)
    agreed(client)
    number = sim.place_order("NSE:2885", quantity=50, fill=False)
    wait_until(lambda: steps(watched, number)[-1:] == [("stream", "OPEN", 0)])
    sim.lose_updates()
    sim.fill_order(number)
    wait_until(lambda: steps(watched, number)[-1] == ("book", "COMPLETE", 50))
    agreed(client, client.stats.reconciles + 3)
    assert len([step for step in steps(watched, number) if step[0] == "book"]) == 1
    assert watched.of("on_close") == []


def test_without_a_timer_only_a_connect_reads_the_books(sim: Simulator, make: Maker) -> None:
    client, watched = make(reconcile_interval=None)
    client.connect(DEADLINE)
    agreed(client)
    sim.drop(1001)
    watched.wait("on_connect", 2)
    agreed(client, 2)
    waited = threading.Event()
    assert not waited.wait(0.5)
    assert sim.rest_requests == ["orderBook", "positionBook"] * 4, "twice each: the first may come too early"


def test_a_late_update_of_the_stream_is_not_delivered_again(sim: Simulator, make: Maker) -> None:
    client, watched = make(reconcile_interval=0.1)
    client.connect(DEADLINE)
    agreed(client)
    sim.hold_updates()
    number = sim.place_order("NSE:2885", quantity=50, price=100.0)
    wait_until(lambda: steps(watched, number) == [("book", "COMPLETE", 50)])
    wait_until(lambda: len(watched.of("on_position_update")) == 1)
    held = len(sim.order_history(number)) + len(sim.position_history())
    sim.release_updates()
    wait_until(lambda: client.stats.stale_updates == held)
    assert steps(watched, number) == [("book", "COMPLETE", 50)]
    other = sim.place_order("NSE:2885", quantity=5, price=100.0)
    wait_until(lambda: steps(watched, other)[-1:] == [("stream", "COMPLETE", 5)])
    # Two fills more, both told by the stream.
    wait_until(lambda: len(watched.of("on_position_update")) == 3)


def test_a_changed_order_is_told_once_whoever_tells_it(sim: Simulator, make: Maker) -> None:
    client, watched = make(reconcile_interval=0.2)
    client.connect(DEADLINE)
    number = sim.place_order("NSE:2885", quantity=50, price=100.0, fill=False)
    wait_until(lambda: steps(watched, number)[-1:] == [("stream", "OPEN", 0)])
    sim.lose_updates()
    sim.modify_order(number, price=101.0)
    wait_until(lambda: watched.of("on_order_update")[-1].price == 101.0)
    assert watched.of("on_order_update")[-1].source == "book"
    sim.lose_updates(0)
    sim.modify_order(number, price=102.0)
    wait_until(lambda: watched.of("on_order_update")[-1].price == 102.0)
    agreed(client, client.stats.reconciles + 8)
    assert watched.of("on_order_update")[-1].source == "stream"


@pytest.mark.parametrize("empty", ["list", "failure"])
def test_empty_books_are_no_failure(sim: Simulator, make: Maker, empty: Any) -> None:
    sim.behaviour = dataclasses.replace(sim.behaviour, empty_book=empty)
    client, watched = make()
    client.connect(DEADLINE)
    agreed(client)
    assert watched.names() == ["on_connect"]
    assert (client.stats.reconcile_failures, client.stats.book_updates) == (0, 0)


FAILURES: list[tuple[str, Callable[[Simulator], object]]] = [
    ("503", lambda sim: sim.refuse_rest(503)),
    ("429", lambda sim: sim.refuse_rest(429, {"Retry-After": "0"})),
    ("302", lambda sim: sim.refuse_rest(302, {"Location": "http://127.0.0.1:1/"})),
    ("no json", lambda sim: sim.refuse_rest(200, body="<html>")),
    ("no list", lambda sim: sim.refuse_rest(200, body='{"status":"success","data":{"a":1}}')),
    ("an error", lambda sim: sim.refuse_rest(400, body='{"status":"failed","error":{"message":"no"}}')),
    ("cut", lambda sim: sim.refuse_rest(None)),
]


@pytest.mark.parametrize("fail", [pair[1] for pair in FAILURES], ids=[pair[0] for pair in FAILURES])
def test_the_gap_stays_visible_until_the_books_can_be_read(
    sim: Simulator, make: Maker, fail: Callable[[Simulator], object]
) -> None:
    number = sim.place_order("NSE:2885")
    fail(sim)
    client, watched = make()
    client.connect(DEADLINE)
    wait_until(lambda: client.stats.reconcile_failures >= 3)
    gap = client.stats.gap_since
    assert gap is not None
    (error,) = watched.of("on_error")
    assert isinstance(error, ReconcileError)
    assert f"{gap:%H:%M:%S}" in str(error)
    assert error.__cause__ is not None
    assert client.is_connected
    sim.accept_rest()
    agreed(client)
    assert steps(watched, number) == [("book", "COMPLETE", 50)]
    assert len(watched.of("on_error")) == 1
    fail(sim)
    sim.drop(1001)
    watched.wait("on_connect", 2)
    wait_until(lambda: len([e for e in watched.of("on_error") if isinstance(e, ReconcileError)]) == 2)


def test_an_address_where_nobody_listens(make: Maker) -> None:
    client, watched = make(rest_url=f"http://127.0.0.1:{closed_port()}/V1")
    client.connect(DEADLINE)
    assert "no connection" in str(watched.wait("on_error")[0])


def test_a_dead_key_is_not_hammered(sim: Simulator, make: Maker) -> None:
    sim.refuse_rest(401, body='{"status":"failed","code":"401","name":"INVALID_JKEY","error":{"message":"dead"}}')
    client, watched = make(reconcile_interval=None)
    client.connect(DEADLINE)
    error = watched.wait("on_error")[0]
    assert isinstance(error.__cause__, AuthenticationError)
    waited = threading.Event()
    assert not waited.wait(0.5), "half a second, ten times the longest back-off"
    assert sim.rest_requests == ["orderBook"]
    sim.accept_rest()
    sim.drop(1001)
    watched.wait("on_connect", 2)
    agreed(client)


@pytest.mark.parametrize("stuck", ["silent", "dripping"])
def test_close_does_not_wait_for_the_books(sim: Simulator, make: Maker, stuck: str) -> None:
    if stuck == "silent":
        sim.hush_rest()
    else:
        sim.trickle_rest(0.5)
    client, _ = make()
    client.connect(DEADLINE)
    assert sim.wait_for(lambda sim: sim.rest_requests == ["orderBook"])
    client.close()
    assert client.state is State.STOPPED
    assert [t.name for t in threading.enumerate() if t.name.startswith("firstock-ws")] == []
    assert client.stats.gap_since is not None


def test_a_dripping_book_ends_at_its_deadline(
    sim: Simulator, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstock_ws.reconcile.CALL_TIMEOUT", 0.3)
    sim.trickle_rest(0.1)
    client, watched = make()
    client.connect(DEADLINE)
    assert "no answer within 0.3 s" in str(watched.wait("on_error")[0])
    sim.trickle_rest(0)
    agreed(client)


def test_what_was_missed_between_two_sessions_comes_in_the_second(sim: Simulator, make: Maker) -> None:
    client, watched = make()
    client.connect(DEADLINE)
    number = sim.place_order("NSE:2885", quantity=50, fill=False)
    wait_until(lambda: steps(watched, number)[-1:] == [("stream", "OPEN", 0)])
    client.close()
    sim.fill_order(number)
    client.connect(DEADLINE)
    wait_until(lambda: steps(watched, number)[-1] == ("book", "COMPLETE", 50))
    assert len(steps(watched, number)) == 4


def test_turned_off_the_stream_is_handed_on_as_it_comes(sim: Simulator, make: Maker) -> None:
    client, watched = make(reconcile=False)
    sim.place_order("NSE:2885")
    client.connect(DEADLINE)
    for status in ("COMPLETE", "OPEN", "OPEN"):
        sim.push(f'{{"norenordno":"1","status":"{status}"}}')
    assert [order.status for order in watched.wait("on_order_update", 3)] == ["COMPLETE", "OPEN", "OPEN"]
    assert sim.rest_requests == []
    assert client.stats.gap_since is None


def test_a_fresh_key_reads_the_books(sim: Simulator, make: Maker) -> None:
    keys = iter([KEY, "2" * 64])
    client, watched = make(jkey=lambda: next(keys))
    client.connect(DEADLINE)
    agreed(client)
    sim.expire_key(new_key="2" * 64)
    number = sim.place_order("NSE:2885")
    watched.wait("on_connect", 2)
    wait_until(
        lambda: steps(watched, number)[-1:] == [("book", "COMPLETE", 50)] or len(steps(watched, number)) == 5
    )
    agreed(client, 2)


REFUSALS = [
    (401, '{"status":"failed","code":"401","error":{"message":"unauthenticated: no data for you"}}'),
    (403, '{"status":"failed","error":{"message":"No data access for this API key"}}'),
    (429, '{"status":"failed","message":"rate limited, no data returned"}'),
    (200, '{"status":"failed","error":{"message":"upstream timed out, no data received"}}'),
    (200, '{"status":"success"}'),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_refusal_is_not_an_empty_book(sim: Simulator, make: Maker, status: int, body: str) -> None:
    sim.refuse_rest(status, body=body)
    client, watched = make(reconcile_interval=None)
    client.connect(DEADLINE)
    assert isinstance(watched.wait("on_error")[0], ReconcileError)
    assert client.stats.gap_since is not None


@pytest.mark.parametrize("words", ["No Data", "NO_DATA", "no orders found", "No record found for the day"])
def test_words_for_an_empty_book(sim: Simulator, make: Maker, words: str) -> None:
    sim.refuse_rest(400, body=f'{{"status":"failed","error":{{"message":"{words}"}}}}')
    client, _ = make()
    client.connect(DEADLINE)
    agreed(client)
    assert client.stats.reconcile_failures == 0


def test_an_order_that_never_rests_makes_no_stream_of_requests(sim: Simulator, make: Maker) -> None:
    client, watched = make(reconcile_interval=30.0)
    client.connect(DEADLINE)
    agreed(client)
    number = sim.place_order("NSE:2885", quantity=50, price=100.0, fill=False)
    sim.behaviour = dataclasses.replace(sim.behaviour, book_lag=5.0)
    client._reconciler._read_soon()
    pause = threading.Event()
    for turn in range(40):
        sim.modify_order(number, price=101.0 + turn)
        client._reconciler._read_soon()
        assert not pause.wait(0.05)
    assert len(sim.rest_requests) < 2 * 15, "each wait is twice the one before"
    watched.wait("on_order_update", 80)


def test_an_order_that_stands_twice_in_the_book(sim: Simulator, make: Maker) -> None:
    entry = {"orderNumber": "1", "quantity": "50", "exchange": "NSE", "token": "5"}
    both = [{**entry, "status": "OPEN", "price": "100"}, {**entry, "status": "OPEN", "price": "101"}]
    sim.refuse_rest(200, body=json.dumps({"status": "success", "data": [*both, None]}))
    client, watched = make(reconcile_interval=0.05)
    client.connect(DEADLINE)
    wait_until(lambda: client.stats.reconciles > 6)
    assert [order.price for order in watched.of("on_order_update")] == [100.0]


def test_a_bad_entry_costs_nothing_else(sim: Simulator, make: Maker) -> None:
    entries = '[{"orderNumber":"1","status":"OPEN","quantity":"many"},{"status":"OPEN"},{"orderNumber":"2"}]'
    sim.refuse_rest(200, body=f'{{"status":"success","data":{entries}}}')
    client, watched = make(reconcile_interval=0.05)
    client.connect(DEADLINE)
    assert [order.order_number for order in watched.wait("on_order_update", 2)] == ["1", "2"]
    wait_until(lambda: client.stats.reconciles > 3)
    assert len([error for error in watched.of("on_error") if "quantity" in str(error)]) == 1
