"""The callback queue by itself: order, conflation, exact accounting. The real client is in test_callbacks.py."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from firstock_ws import FrameError
from firstock_ws.dispatch import DispatchCounts, Dispatcher
from firstock_ws.feed.book import QuoteBook
from firstock_ws.models import OptionGreeks, Quote
from firstock_ws.models.greeks import read_greeks
from firstock_ws.models.market_state import EMPTY_STATE
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import Watched, connect

book = QuoteBook()


def quote(token: int, price: int) -> Quote:
    made = book.merge(f"NSE:{token}", {"i_last_traded_price": price * 100}, [])
    assert made is not None
    return made


def greeks(token: int, delta: float) -> OptionGreeks:
    return read_greeks(f"NFO:{token}", {"delta": delta})[0]


class Stage:
    """A dispatcher whose callback can be held up."""

    def __init__(self, max_pending: int) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.act: Callable[[str], None] = lambda name: None
        self.dispatcher = Dispatcher(self._call, max_pending)
        self.dispatcher.start()

    def _call(self, name: str, args: tuple[Any, ...]) -> None:
        self.calls.append((name, args[0] if args else None))
        self.act(name)
        if name == "hold":
            self.entered.set()
            assert self.gate.wait(10)

    def hold(self) -> None:
        self.dispatcher.put("hold")
        assert self.entered.wait(10)

    def finish(self, seconds: float = 10) -> None:
        self.gate.set()
        self.dispatcher.finish(time.monotonic() + seconds)
        assert self.dispatcher.join(10)

    def counts(self) -> DispatchCounts:
        counts = self.dispatcher.counts()
        waiting = counts.quotes_delivered + counts.quotes_conflated + counts.quotes_waiting
        assert counts.quotes_received == waiting
        return counts

    def delivered(self, name: str) -> list[Any]:
        return [value for called, value in self.calls if called == name]


def test_everything_in_order_while_the_user_keeps_up() -> None:
    stage = Stage(max_pending=100)
    stage.hold()
    for price in range(1, 101):
        stage.dispatcher.put_updates([quote(price % 3, price)])
        stage.dispatcher.put("on_order_update", price)
    assert stage.counts().quotes_waiting == 100
    stage.finish()
    prices = [value.last_price if name == "on_quote" else float(value) for name, value in stage.calls[1:]]
    assert prices == [float(price) for price in range(1, 101) for _ in range(2)]
    assert stage.counts().quotes_conflated == 0


def test_the_newest_of_each_instrument_once_too_many_wait() -> None:
    stage = Stage(max_pending=10)
    stage.hold()
    for price in range(1, 1001):
        stage.dispatcher.put_updates([quote(price % 4, price)])
        if price % 100 == 0:
            stage.dispatcher.put("on_order_update", price)
        assert stage.counts().quotes_waiting <= 10
    counts = stage.counts()
    assert (counts.quotes_received, counts.quotes_waiting) == (1000, 4)
    stage.finish()
    assert sorted(q.last_price for q in stage.delivered("on_quote")) == [997.0, 998.0, 999.0, 1000.0]
    assert stage.delivered("on_order_update") == list(range(100, 1001, 100))
    assert stage.counts().quotes_conflated == 996


def test_it_delivers_everything_again_after_it_has_caught_up() -> None:
    stage = Stage(max_pending=2)
    stage.hold()
    for price in range(1, 6):
        stage.dispatcher.put_updates([quote(1, price)])
    caught_up = threading.Event()
    stage.act = lambda name: caught_up.set() if name == "on_quote" else None
    stage.gate.set()
    assert caught_up.wait(10)
    stage.dispatcher.put_updates([quote(1, 6)])
    stage.dispatcher.put_updates([quote(1, 7)])
    stage.finish()
    assert [q.last_price for q in stage.delivered("on_quote")] == [5.0, 6.0, 7.0]


def test_changed_of_a_conflated_quote_counts_from_the_last_delivered() -> None:
    stage = Stage(max_pending=1)
    stage.dispatcher.put_updates([quote(70, 5)])
    stage.hold()
    for update in ({"i_open_price": 100}, {"i_high_price": 100}, {"i_last_traded_price": 600}):
        made = book.merge("NSE:70", update, [])
        assert made is not None
        stage.dispatcher.put_updates([made])
    stage.finish()
    assert [q.changed for q in stage.delivered("on_quote")] == [{"last_price"}, {"open", "high", "last_price"}]


def test_greeks_are_conflated_apart_from_quotes() -> None:
    stage = Stage(max_pending=1)
    stage.hold()
    for number in range(1, 10):
        stage.dispatcher.put_updates([greeks(1, number), quote(1, number)])
    counts = stage.counts()
    assert (counts.quotes_received, counts.quotes_waiting) == (9, 1)
    stage.finish()
    assert [value.delta for value in stage.delivered("on_option_greeks")] == [9.0]
    assert [value.last_price for value in stage.delivered("on_quote")] == [9.0]


def test_notices_beyond_the_limit_are_dropped_and_counted() -> None:
    stage = Stage(max_pending=3)
    stage.hold()
    for number in range(5):
        stage.dispatcher.put_notice("on_message", number)
    assert stage.counts().notices_dropped == 2
    stage.finish()
    assert stage.delivered("on_message") == [0, 1, 2]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_callback_raises_is_logged_counted_and_told(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(max_pending=3)

    def fail(name: str) -> None:
        if name == "on_quote":
            raise error

    stage.act = fail
    stage.dispatcher.put_updates([quote(1, 1), quote(2, 1)])
    stage.finish()
    assert stage.counts().callback_errors == 2
    assert stage.delivered("on_error") == [error, error]
    assert caplog.text.count("Traceback") == 2


def test_on_error_may_raise_too(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(max_pending=3)

    def fail(name: str) -> None:
        raise ValueError(name)

    stage.act = fail
    stage.dispatcher.put("on_connect")
    stage.finish()
    assert [name for name, _ in stage.calls] == ["on_connect", "on_error"]
    assert stage.counts().callback_errors == 2
    assert caplog.text.count("Traceback") == 2


class Broken(logging.Handler):
    """Fails as one does that posts to a network which is down."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ConnectionError("no network")


@pytest.fixture
def broken_log() -> Iterator[None]:
    handler = Broken()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


@pytest.mark.usefixtures("broken_log")
def test_a_logging_handler_that_raises_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(max_pending=3)

    def fail(name: str) -> None:
        if name == "on_quote":
            raise ValueError("mine")

    stage.act = fail
    stage.dispatcher.put_updates([quote(1, 1)])
    stage.dispatcher.put("on_order_update", 1)
    stage.finish()
    assert stage.delivered("on_order_update") == [1]
    assert [str(error) for error in stage.delivered("on_error")] == ["mine"]
    assert stage.counts().callback_errors == 1
    assert "ConnectionError: no network" in capsys.readouterr().err, "as logging tells of its own handlers"


@pytest.mark.usefixtures("broken_log")
def test_a_logging_handler_that_raises_ends_no_stream(
    make_client: ClientMaker, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    client = make_client(tokens=["NSE:26000"], reconnect_max_delay=0.1)
    watched = Watched(client)
    connect(client, sim)
    sim.push("no JSON")
    assert isinstance(watched.wait("on_error")[0], FrameError)
    sim.drop()
    watched.wait("on_connect", 2)
    assert len(watched.of("on_close")) == 1
    client.close()


def test_orders_wait_for_the_next_start_when_time_is_up(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(max_pending=100)
    stage.hold()
    stage.dispatcher.put_updates([quote(1, 1), quote(2, 2)])
    stage.dispatcher.put("on_order_update", 1)
    stage.dispatcher.put_notice("on_message", "x")
    stage.dispatcher.finish(time.monotonic() - 1)
    stage.gate.set()
    assert stage.dispatcher.join(10)
    assert stage.calls == [("hold", None)]
    counts = stage.counts()
    assert (counts.quotes_conflated, counts.quotes_waiting, counts.notices_dropped) == (2, 0, 1)
    assert "1 order" in caplog.text
    stage.dispatcher.start()
    stage.finish()
    assert stage.calls == [("hold", None), ("on_order_update", 1)]


def test_a_busy_callback_thread_is_kept_by_the_next_start() -> None:
    stage = Stage(max_pending=100)
    stage.hold()
    stage.dispatcher.finish(time.monotonic() - 1)
    assert not stage.dispatcher.join(0)
    stage.dispatcher.start()
    stage.dispatcher.put("on_order_update", 1)
    assert [thread.name for thread in threading.enumerate()].count("firstock-ws-callbacks") == 1
    stage.finish()
    assert stage.calls == [("hold", None), ("on_order_update", 1)]


def test_what_is_being_delivered_is_conflated_too_once_too_many_wait() -> None:
    stage = Stage(max_pending=4)
    stage.act = lambda name: (stage.entered.set(), stage.gate.wait(10)) if name == "on_quote" else None
    stage.hold()
    for price in (1, 2, 3):
        stage.dispatcher.put_updates([quote(price, price)])
    stage.dispatcher.put("on_order_update", 1)
    stage.entered.clear()
    stage.gate.set()
    stage.gate = threading.Event()
    assert stage.entered.wait(10)
    # The first is with the callback, the others are in the batch that it was taken from.
    for price in (22, 33, 44, 222):
        stage.dispatcher.put_updates([quote(price % 10, price)])
    assert stage.counts().quotes_waiting == 3
    stage.finish()
    assert [q.last_price for q in stage.delivered("on_quote")] == [1.0, 222.0, 33.0, 44.0]
    assert [name for name, _ in stage.calls] == [
        "hold",
        "on_quote",
        "on_quote",
        "on_quote",
        "on_order_update",
        "on_quote",
    ]
    assert stage.counts().quotes_conflated == 3


def test_what_is_being_delivered_waits_for_the_next_start_when_time_is_up() -> None:
    stage = Stage(max_pending=100)
    stage.hold()
    stage.dispatcher.put_updates([quote(1, 1)])
    stage.dispatcher.put("hold again")
    stage.dispatcher.put_updates([quote(2, 2), greeks(1, 1)])
    stage.dispatcher.put("on_order_update", 1)
    stage.dispatcher.put_notice("on_message", "x")
    again, gate = threading.Event(), threading.Event()
    stage.act = lambda name: (again.set(), gate.wait(10)) if name == "hold again" else None
    stage.gate.set()
    assert again.wait(10)
    stage.dispatcher.finish(time.monotonic() - 1)
    stage.dispatcher.start()
    counts = stage.counts()
    assert (counts.quotes_delivered, counts.quotes_conflated, counts.quotes_waiting) == (1, 1, 0)
    assert counts.notices_dropped == 1
    gate.set()
    stage.finish()
    assert [name for name, _ in stage.calls] == ["hold", "on_quote", "hold again", "on_order_update"]


def test_nothing_is_lost_doubled_or_out_of_order_whoever_is_faster() -> None:
    stage = Stage(max_pending=40)
    total, instruments = 20_000, 7
    for number in range(total):
        stage.dispatcher.put_updates([quote(number % instruments, number + 1)], more_follow=number % 5 != 0)
        if number % 10 == 0:
            stage.dispatcher.put("on_order_update", number)
            assert stage.counts().quotes_waiting <= 41
    stage.finish()
    counts = stage.counts()
    delivered = stage.delivered("on_quote")
    assert counts.quotes_received == total
    assert counts.quotes_delivered == len(delivered)
    assert counts.quotes_waiting == 0
    assert stage.delivered("on_order_update") == list(range(0, total, 10))
    for token in range(instruments):
        prices = [q.last_price for q in delivered if q.token == str(token)]
        assert prices == sorted(set(prices))
        assert prices[-1] == max(n + 1 for n in range(total - 50, total) if n % instruments == token)


def test_a_quote_of_a_new_connection_is_not_told_before_that_began() -> None:
    stage = Stage(max_pending=1)
    stage.hold()
    first = [quote(80, 1), quote(81, 1)]
    stage.dispatcher.put_updates(first)
    stage.dispatcher.put("on_close", 1006)
    stage.dispatcher.put("on_connect")
    book.start_afresh()
    stage.dispatcher.put_updates([quote(80, 2), quote(80, 3)])
    counts = stage.counts()
    assert (counts.quotes_waiting, counts.quotes_conflated) == (2, 2)
    stage.finish()
    assert [name for name, _ in stage.calls] == ["hold", "on_quote", "on_close", "on_connect", "on_quote"]
    old, new = stage.delivered("on_quote")
    assert (old.token, old.last_price, new.token, new.last_price) == ("81", 1.0, "80", 3.0)
    assert new._before == EMPTY_STATE, "that a connection began can be seen of it"


@pytest.mark.parametrize("left", [0, 3])
def test_a_callback_that_is_stuck_for_many_connections_costs_no_memory(left: int) -> None:
    stage = Stage(max_pending=5)
    stage.hold()
    for number in range(500):
        stage.dispatcher.put_updates([quote(token, number + 1) for token in range(10, 30)])
        stage.dispatcher.put("on_connect")
    for number in range(left):
        stage.dispatcher.put_updates([quote(10, 1_000 + number)])
    assert stage.counts().quotes_waiting == 20
    assert len(stage.dispatcher._pending._queue) < 500 + 20 + 2_000
    assert len(stage.dispatcher._pending) == 500 + 20
    stage.finish()
    assert len(stage.delivered("on_quote")) == 20
    assert stage.counts().quotes_waiting == 0
