"""The client on real sockets, against the simulator: connecting, closing, subscribing, looking."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from firstock_ws import (
    V1_URL,
    AuthenticationError,
    ConnectError,
    ConnectTimeoutError,
    FirstockError,
    FirstockWS,
    Quote,
    State,
    UsageError,
)
from firstock_ws.protocol import MAX_TOKENS_PER_FRAME
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, KEY, Watched, closed_port, connect, wait_until


def tokens_sent(sim: Simulator, action: str = "subscribe") -> list[list[str]]:
    frames = [json.loads(text) for text in sim.actions]
    return [frame["tokens"].split("|") for frame in frames if frame["action"] == action]


# --- connecting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["url", "url_v2"])
def test_connect_streams_what_was_asked_for(sim: Simulator, make_client: ClientMaker, wire: str) -> None:
    client = make_client(tokens=["NSE:26000", "BSE:1"], option_greeks_tokens="NFO:44278", url=getattr(sim, wire))
    watched = Watched(client)
    client.connect(DEADLINE)
    assert client.is_connected
    assert client.state is State.CONNECTED
    quotes = watched.wait("on_quote", 2)
    assert {quote.instrument for quote in quotes} == {"NSE:26000", "BSE:1"}
    assert all(quote.last_price > 0 for quote in quotes)
    assert watched.wait("on_option_greeks")[0].instrument == "NFO:44278"
    assert watched.names()[0] == "on_connect", "before any quote"
    assert watched.threads == {"firstock-ws-callbacks"}
    stats = client.stats
    assert (stats.connections, stats.quotes_received, stats.option_greeks) == (1, 2, 1)
    assert stats.frames == len(watched.of("on_message"))
    assert stats.bytes == sum(len(text) for text in watched.of("on_message"))
    assert stats.last_frame_at is not None
    assert stats.last_frame_at.utcoffset() is not None
    assert stats.to_dict()["connections"] == 1


def test_the_credentials_arrive_whatever_signs_are_in_them(sim: Simulator, make_client: ClientMaker) -> None:
    odd = "a b&c=d/é+%41"
    sim.set_key("AB1234", odd)
    make_client(jkey=f" {odd}\n").connect(DEADLINE)
    assert sim.session_count() == 1


def test_callbacks_in_the_constructor_by_assignment_and_in_a_subclass(make_client: ClientMaker) -> None:
    seen: dict[str, Quote] = {}
    done = threading.Semaphore(0)

    class Mine(FirstockWS):
        def on_quote(self, quote: Quote) -> None:
            super().on_quote(quote)
            note("subclass")(quote)

    def note(name: str) -> Any:
        def callback(quote: Quote) -> None:
            seen[name] = quote
            done.release()

        return callback

    first = make_client(Mine, tokens="NSE:26000")
    second = make_client(tokens="NSE:26000")
    third = make_client(tokens="NSE:26000", on_quote=note("constructor"))
    second.on_quote = note("assigned")
    for client in (first, second, third):
        client.connect(DEADLINE)
    for _ in range(3):
        assert done.acquire(timeout=DEADLINE)
    assert set(seen) == {"subclass", "constructor", "assigned"}


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("on_qoute", "on_quote"),
        ("on_quotes", "on_quote"),
        ("on_ticks", "on_quote"),
        ("on_orders", "on_order_update"),
    ],
)
def test_a_misspelt_callback_is_refused(make_client: ClientMaker, misspelt: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=f"did you mean '{meant}'"):
        setattr(make_client(), misspelt, print)
    with pytest.raises(AttributeError, match=f"did you mean '{meant}'"):
        type("Mine", (FirstockWS,), {misspelt: print})


def test_only_functions_are_callbacks_and_none_is_nothing(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens="NSE:26000", on_quote=print)
    with pytest.raises(TypeError, match="on_quote must be a function"):
        client.on_quote = 5  # type: ignore[assignment]
    client.on_quote = None  # type: ignore[assignment]
    watched = Watched(client, ("on_error", "on_order_update"))
    client.connect(DEADLINE)
    sim.place_order("NSE:1")
    watched.wait("on_order_update")
    assert watched.of("on_error") == []


def test_a_function_that_takes_other_arguments_is_refused(make_client: ClientMaker) -> None:
    client = make_client(on_quote=print, on_connect=lambda: None, on_close=lambda *args: None)
    for name in ("on_quote", "on_connect", "on_error"):
        with pytest.raises(TypeError, match=f"{name} is called as {name}"):
            setattr(client, name, lambda ws, ticks: None)
    with pytest.raises(TypeError, match=r"on_close is called as on_close\(code, reason\)"):
        type("Mine", (FirstockWS,), {"on_close": lambda self, ws, code, reason: None})
    with pytest.raises(TypeError, match="on_quote"):
        make_client(on_quote=lambda: None)


def test_a_subclass_may_have_callbacks_of_its_own(make_client: ClientMaker) -> None:
    class Mine(FirstockWS):
        on_bar: object = None

        def on_signal(self) -> None: ...

    client = make_client(Mine)
    client.on_bar = print
    client.on_breakout = print  # type: ignore[attr-defined]
    assert client.on_bar is print


def test_a_callback_may_be_exchanged_while_connected(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens="NSE:26000")
    connect(client, sim)
    watched = Watched(client)
    sim.tick("NSE:26000")
    assert watched.wait("on_quote")
    assert watched.wait("on_message")


def test_a_server_that_is_not_there_in_time(make_client: ClientMaker) -> None:
    client = make_client(url=f"ws://127.0.0.1:{closed_port()}/ws")
    with pytest.raises(ConnectTimeoutError, match="refused") as caught:
        client.connect(timeout=0.3)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, ConnectError)
    assert client.state is State.STOPPED


def test_a_server_that_is_not_there_without_reconnect(make_client: ClientMaker) -> None:
    client = make_client(url=f"ws://127.0.0.1:{closed_port()}/ws", reconnect=False)
    with pytest.raises(ConnectError, match="refused"):
        client.connect(DEADLINE)


def test_a_server_that_comes_up_while_connecting(sim: Simulator, make_client: ClientMaker) -> None:
    sim.stop()
    client = make_client()
    client.on_reconnect = lambda attempt, delay: threading.Thread(target=sim.start).start()
    client.connect(DEADLINE)
    assert client.is_connected


def test_connect_when_connected_returns_at_once(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client()
    client.connect(DEADLINE)
    client.connect(DEADLINE)
    assert sim.handshakes == 1


def test_wait_connected(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client()
    assert not client.wait_connected(0.01)
    threading.Thread(target=client.connect).start()
    wait_until(lambda: client.state is not State.STOPPED)
    assert client.wait_connected(DEADLINE)
    sim.refuse(503)
    sim.drop()
    wait_until(lambda: not client.is_connected)
    assert not client.wait_connected(0.05)


def test_a_subclass_that_forgets_the_client_is_told_so() -> None:
    class Forgetful(FirstockWS):
        def __init__(self) -> None:
            self.mine = 1

    client = Forgetful()
    for call in (client.connect, client.close, client.run_forever):
        with pytest.raises(AttributeError, match=r"Forgetful\.__init__ has to call super\(\)\.__init__\(user_id"):
            call()
    assert client.mine == 1
    with pytest.raises(AttributeError, match="'FirstockWS' object has no attribute 'conect'"):
        FirstockWS("AB1234", "a key").conect()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"user_id": 1234}, "no text"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": None}, "user_id"),
        ({"jkey": ""}, "jkey is empty"),
        ({"jkey": "  "}, "jkey is empty"),
        ({"tokens": ["NSE:X"]}, "NSE:X"),
        ({"option_greeks_tokens": ["NSE:X"]}, "NSE:X"),
        ({"url": "http://x/"}, "url must look"),
        ({"reconnect_max_delay": 0}, "reconnect_max_delay"),
        ({"reconnect_max_tries": -1}, "reconnect_max_tries"),
        ({"connect_timeout": -1}, "connect_timeout"),
        ({"max_pending": 0}, "max_pending"),
        ({"ping_interval": float("nan")}, "ping_interval"),
        ({"io_timeout": float("inf")}, "io_timeout"),
        ({"reconnect_max_delay": 1e6}, "at most"),
    ],
)
def test_bad_arguments_raise_at_the_call(make_client: ClientMaker, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        make_client(**wrong)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stale_after": "5"}, "stale_after must be a number of seconds"),
        ({"reconcile_interval": True}, "reconcile_interval must be a number of seconds"),
        ({"max_message_size": 2048.5}, "max_message_size must be a whole number"),
        ({"max_pending": 1.5}, "max_pending must be a whole number"),
        ({"reconnect_max_tries": 2.5}, "reconnect_max_tries must be a whole number"),
        ({"reconcile": "no"}, "reconcile must be True or False"),
        ({"ssl_context": "x"}, "ssl_context must be an ssl.SSLContext"),
    ],
)
def test_settings_of_another_type_are_refused_by_name(
    make_client: ClientMaker, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        make_client(**wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stale_after": 0}, "stale_after must be above 0"),
        ({"reconcile_interval": -1.0}, "reconcile_interval must be above 0"),
        ({"max_message_size": 100}, "max_message_size must be at least"),
        ({"rest_url": "ftp://x"}, "REST address"),
        ({"rest_url": ""}, "REST address"),
        ({"url": "ws://h/ws x"}, "url must look like"),
        ({"jkey": "a\ud800b"}, "jKey holds signs"),
    ],
)
def test_settings_out_of_range_are_refused(make_client: ClientMaker, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_client(**wrong)


def test_a_key_of_another_type_is_refused(make_client: ClientMaker) -> None:
    with pytest.raises(TypeError, match="jkey must be"):
        make_client(jkey=12345)


def test_the_default_url_is_the_brokers() -> None:
    client = FirstockWS("AB1234", KEY)
    assert client._settings.url == V1_URL == "wss://socket.firstock.in/ws"
    assert repr(client) == "<FirstockWS user_id='AB1234' state=stopped subscriptions=0>"
    assert KEY not in repr(vars(client))


# --- run_forever and close ---------------------------------------------------------------------------------------


def run_in_thread(client: FirstockWS) -> tuple[threading.Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            client.run_forever()
        except FirstockError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def test_run_forever_till_close(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client()
    thread, raised = run_in_thread(client)
    assert sim.wait_for(lambda sim: sim.session_count() == 1)
    client.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert raised == []
    assert sim.wait_for(lambda sim: sim.session_count() == 0)


def test_run_forever_after_connect_only_blocks(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client()
    client.connect(DEADLINE)
    inside, start = threading.Event(), client._lifecycle.start

    def note(what: str) -> None:
        start(what)
        inside.set()

    client._lifecycle.start = note  # type: ignore[method-assign]
    thread, _ = run_in_thread(client)
    assert inside.wait(DEADLINE), "a close() before it would have been for nothing"
    client.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert sim.handshakes == 1


def test_run_forever_raises_why_it_gave_up_after_the_callbacks(make_client: ClientMaker) -> None:
    client = make_client(jkey="wrong")
    watched = Watched(client)
    with pytest.raises(AuthenticationError):
        client.run_forever()
    assert watched.names() == ["on_error", "on_noreconnect"]


def test_what_was_received_is_delivered_before_close_returns(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens="NSE:26000")
    watched = Watched(client)
    connect(client, sim)
    sim.tick("NSE:26000", count=500)
    wait_until(lambda: client.stats.quotes_received == 501)
    client.close()
    assert len(watched.of("on_quote")) == 501
    assert watched.names()[-1] == "on_close"


def test_quotes_from_before_a_close_are_not_delivered_after_it(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens="NSE:2885")
    entered, release = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert release.wait(3 * DEADLINE)

    watched = Watched(client)
    client.on_connect = block
    connect(client, sim)
    assert entered.wait(DEADLINE)
    sim.tick("NSE:2885", count=5)
    wait_until(lambda: client.stats.quotes_received == 6)
    client.close()
    release.set()
    client.connect(DEADLINE)
    watched.wait("on_quote")
    client.close()
    assert len(watched.of("on_quote")) == 1, "the new session's snapshot alone"
    assert client.stats.quotes_conflated == 6


def test_the_context_manager_closes(sim: Simulator, make_client: ClientMaker) -> None:
    with make_client() as client:
        assert client.state is State.STOPPED
        client.connect(DEADLINE)
    assert client.state is State.STOPPED

    def fail_inside() -> None:
        with make_client() as other:
            other.connect(DEADLINE)
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail_inside()
    assert sim.wait_for(lambda sim: sim.session_count() == 0)


def test_connect_from_the_function_that_brings_the_key_is_refused(make_client: ClientMaker) -> None:
    holder: list[FirstockWS] = []

    def key() -> str:
        holder[0].connect()
        return KEY

    holder.append(make_client(jkey=key, reconnect=False))
    with pytest.raises(UsageError, match="another thread"):
        holder[0].connect(DEADLINE)


@pytest.mark.parametrize("call", ["connect", "run_forever"])
def test_connect_from_a_callback_is_refused(make_client: ClientMaker, call: str) -> None:
    client = make_client()
    watched = Watched(client)
    client.on_connect = getattr(client, call)
    client.connect(DEADLINE)
    assert "another thread" in str(watched.wait("on_error")[0])
    assert isinstance(watched.of("on_error")[0], UsageError)


def test_many_clients_in_one_process(sim: Simulator, make_client: ClientMaker) -> None:
    sim.set_key("CD5678", KEY)
    clients = [
        make_client(user_id=user, tokens=f"NSE:{number}")
        for number in range(1, 4)
        for user in ("AB1234", "CD5678")
    ]
    seen = [Watched(client) for client in clients]
    for client in clients:
        client.connect(DEADLINE)
    assert sim.session_count() == 6
    for client, watched in zip(clients, seen, strict=True):
        assert watched.wait("on_quote")[0].instrument in client.subscriptions
    clients[0].close()
    assert all(client.is_connected for client in clients[1:])


# --- subscriptions -----------------------------------------------------------------------------------------------


def test_subscribing_before_and_after_connecting(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens="NSE:1")
    client.subscribe(["NSE:2", "NSE:3|NSE:1"])
    client.unsubscribe("NSE:3")
    client.connect(DEADLINE)
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:1", "NSE:2"})
    client.subscribe("NSE:4|NSE:4|NSE:1")
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:1", "NSE:2", "NSE:4"})
    client.unsubscribe(iter(["NSE:1", "NSE:99"]))
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:2", "NSE:4"})
    assert client.subscriptions == {"NSE:2", "NSE:4"}
    assert tokens_sent(sim) == [["NSE:1", "NSE:2"], ["NSE:4"]], "each once, in one go"
    assert tokens_sent(sim, "unsubscribe") == [["NSE:1"]]


def test_option_greeks_are_subscribed_apart(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client()
    watched = Watched(client)
    client.connect(DEADLINE)
    client.subscribe_option_greeks(["NFO:44278", "NFO:44279"])
    assert {greeks.instrument for greeks in watched.wait("on_option_greeks", 2)} == {"NFO:44278", "NFO:44279"}
    client.unsubscribe_option_greeks("NFO:44278")
    assert sim.wait_for(lambda sim: sim.greeks_subscriptions() == {"NFO:44279"})
    assert client.option_greeks_subscriptions == {"NFO:44279"}
    assert client.subscriptions == frozenset()
    assert sim.subscriptions() == set()


def test_long_lists_are_split(sim: Simulator, make_client: ClientMaker) -> None:
    many = [f"NSE:{number}" for number in range(3, 3 + MAX_TOKENS_PER_FRAME + 5)]
    client = make_client(tokens=many)
    client.connect(DEADLINE)
    client.subscribe([f"BSE:{number}" for number in range(3, 3 + MAX_TOKENS_PER_FRAME + 5)])
    assert sim.wait_for(lambda sim: len(sim.subscriptions()) == 2 * len(many))
    assert [len(frame) for frame in tokens_sent(sim)] == [MAX_TOKENS_PER_FRAME, 5] * 2


def test_a_bad_token_sends_nothing(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client()
    client.connect(DEADLINE)
    for call in (
        client.subscribe,
        client.unsubscribe,
        client.subscribe_option_greeks,
        client.unsubscribe_option_greeks,
    ):
        with pytest.raises(ValueError, match="NSE:SBIN"):
            call(["NSE:1", "NSE:SBIN"])
    client.subscribe("NSE:7")
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:7"})
    assert len(sim.actions) == 1


def test_subscribing_from_a_callback(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens="NSE:1")

    def follow(quote: Quote) -> None:
        if int(quote.token) < 5:
            client.subscribe(f"NSE:{int(quote.token) + 1}")

    client.on_quote = follow
    client.connect(DEADLINE)
    assert sim.wait_for(lambda sim: sim.subscriptions() == {f"NSE:{n}" for n in range(1, 6)})


def test_unsubscribed_instruments_are_forgotten_and_start_afresh(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(tokens="NSE:2885")
    watched = Watched(client)
    client.connect(DEADLINE)
    watched.wait("on_quote")
    client.unsubscribe("NSE:2885")
    assert "NSE:2885" not in client.quotes
    assert sim.wait_for(lambda sim: sim.subscriptions() == set())
    client.subscribe("NSE:2885")
    assert watched.wait("on_quote", 2)[1].open is not None, "a new snapshot"
    assert client.quotes["NSE:2885"] == watched.of("on_quote")[1]
