"""The simulator's REST side on real sockets, and updates that get lost on connections that are well."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
import trustme
import websocket

from firstock_ws.simulator import Simulator
from firstock_ws.simulator.history import History
from firstock_ws.simulator.state import World

QUIET: dict[str, Any] = {"rate": 0, "order_interval": None, "ping_interval": None}
USERS = {"AB1234": "secret", "CD5678": "other"}
PASSWORD = "correct horse"
TIMEOUT = 10
UNAUTHENTICATED = '{"status":"failed","message":"unauthenticated"}'
ORDER_FIELDS = [
    "orderNumber",
    "exchange",
    "token",
    "tradingSymbol",
    "transactionType",
    "quantity",
    "price",
    "priceType",
    "product",
    "retention",
    "status",
    "fillShares",
    "averagePrice",
    "rejectReason",
    "remarks",
    "orderTime",
    "lotSize",
    "tickSize",
    "userId",
]


class Caller:
    """A client of the REST calls that knows the key of the first user."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.http = requests.Session()
        # Else a proxy of the environment would be asked.
        self.http.trust_env = False

    def post(self, call: str, **options: Any) -> requests.Response:
        return self.http.post(f"{self.sim.rest_url}/{call}", timeout=TIMEOUT, allow_redirects=False, **options)

    def login(self, **changes: object) -> requests.Response:
        return self.post("login", json=credentials(**changes))

    def book(self, name: str, user: str = "AB1234") -> requests.Response:
        return self.post(name, json={"userId": user, "jKey": USERS[user]})

    def orders(self) -> list[dict[str, str]]:
        answer = self.book("orderBook").json()
        assert answer["status"] == "success"
        return list(answer["data"])

    def positions(self) -> list[dict[str, str]]:
        answer = self.book("positionBook").json()
        assert answer["status"] == "success"
        return list(answer["data"])


def digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def credentials(**changes: object) -> dict[str, object]:
    body: dict[str, object] = {
        "userId": "AB1234",
        "password": digest(PASSWORD),
        "TOTP": "123456",
        "vendorCode": "AB1234_API",
        "apiKey": "an api key",
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def dial(sim: Simulator, key: str = "secret") -> websocket.WebSocket:
    query = urlencode({"userId": "AB1234", "jKey": key, "source": "developer-api"})
    ws = websocket.create_connection(f"{sim.url}?{query}", timeout=5)
    assert "successful" in ws.recv()
    return ws


def receive(ws: websocket.WebSocket, count: int) -> list[dict[str, Any]]:
    return [json.loads(ws.recv()) for _ in range(count)]


def threads_of_rest() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("firstock-simulator")]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=5, users=USERS, passwords={"AB1234": PASSWORD, "EF9": "x"}, **QUIET) as simulator:
        yield simulator


@pytest.fixture
def rest(sim: Simulator) -> Iterator[Caller]:
    caller = Caller(sim)
    yield caller
    caller.http.close()


# Login and logout


def test_a_login_hands_out_a_new_key_and_ends_the_sessions_on_the_old_one(sim: Simulator, rest: Caller) -> None:
    ws = dial(sim)
    answer = rest.login()
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    body = answer.json()
    data = body.pop("data")
    assert body == {"status": "success", "message": "Login successful"}
    assert set(data) == {"actid", "userName", "susertoken", "email"}
    assert data["actid"] == "AB1234"
    assert len(bytes.fromhex(data["susertoken"])) == 32
    assert sim.jkey == data["susertoken"] != "secret"
    assert ws.recv() == UNAUTHENTICATED
    ws.shutdown()
    dial(sim, sim.jkey).close()
    assert rest.book("orderBook").status_code == 401
    again = rest.login().json()["data"]["susertoken"]
    assert again != data["susertoken"]


def test_a_login_elsewhere_is_seen_as_the_behaviour_says(sim: Simulator, rest: Caller) -> None:
    sim.behaviour = replace(sim.behaviour, expiry="close", expiry_close_code=4001)
    ws = dial(sim)
    other = rest.login(userId="CD5678", password=digest("anything"))
    assert other.status_code == 200
    sim.push("still here")
    assert ws.recv() == "still here"
    rest.login()
    opcode, data = ws.recv_data(control_frame=True)
    assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 4001)
    ws.shutdown()


def test_a_login_that_renews_nothing(sim: Simulator, rest: Caller) -> None:
    sim.behaviour = replace(sim.behaviour, login_renews_key=False)
    ws = dial(sim)
    assert rest.login().json()["data"]["susertoken"] == "secret"
    sim.push("still here")
    assert ws.recv() == "still here"
    sim.expire_key()
    fresh = rest.login().json()["data"]["susertoken"]
    assert fresh == sim.jkey != "secret"
    assert rest.login().json()["data"]["susertoken"] == fresh
    ws.shutdown()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("userId", "nobody"),
        ("userId", None),
        ("userId", ["AB1234"]),
        ("password", PASSWORD),
        ("password", digest("wrong")),
        ("password", ""),
        ("TOTP", "12345"),
        ("TOTP", "12345x"),
        ("TOTP", 123456),
        ("vendorCode", ""),
        ("vendorCode", None),
        ("apiKey", " "),
    ],
)
def test_a_wrong_credential_is_named(sim: Simulator, rest: Caller, field: str, value: object) -> None:
    answer = rest.login(**{field: value})
    assert answer.status_code == 401
    assert answer.json() == {
        "status": "failed",
        "code": "401",
        "name": "INVALID_CREDENTIALS",
        "error": {"field": field, "message": f"Invalid {field}"},
    }
    assert sim.jkey == "secret"


def test_who_may_log_in(sim: Simulator, rest: Caller) -> None:
    assert rest.login(userId="CD5678", password="A" * 64).status_code == 200
    assert rest.login(userId="EF9", password=digest("x").upper()).status_code == 200
    sim.set_key("NEW1", "k")
    sim.expire_key("NEW1")
    assert rest.login(userId="NEW1").status_code == 200


def test_a_logout_kills_the_key(sim: Simulator, rest: Caller) -> None:
    ws = dial(sim)
    body = {"userId": "AB1234", "jKey": "secret"}
    answer = rest.post("logout", json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "success")
    assert ws.recv() == UNAUTHENTICATED
    ws.shutdown()
    assert sim.jkey == ""
    again = rest.post("logout", json=body)
    assert (again.status_code, again.json()["name"]) == (401, "INVALID_JKEY")
    assert rest.login().status_code == 200


# What is no call


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xfd", b"[]", b"null", b"[" * 100_000])
@pytest.mark.parametrize("call", ["login", "orderBook"])
def test_a_body_that_is_no_object(rest: Caller, call: str, body: bytes) -> None:
    answer = rest.post(call, data=body)
    assert (answer.status_code, answer.json()["status"]) == (400, "failed")


def test_paths_and_methods_that_are_none(sim: Simulator, rest: Caller) -> None:
    assert rest.post("nonsense", json={}).status_code == 404
    base = sim.rest_url.removesuffix("/V1")
    assert rest.http.post(f"{base}/login", json=credentials(), timeout=TIMEOUT).status_code == 404
    answer = rest.http.get(f"{sim.rest_url}/orderBook", timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["status"]) == (405, "failed")
    assert sim.rest_requests == ["nonsense", "/login", "orderBook"]


@pytest.mark.parametrize(
    "head",
    [f"Content-Length: {'9' * 5000}", "Content-Length: x", "Content-Length: -1", "Transfer-Encoding: chunked"],
)
def test_a_body_of_unknown_length_ends_the_connection(sim: Simulator, head: str) -> None:
    with socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT) as plug:
        plug.sendall(f"POST /V1/login HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        got = b"".join(iter(lambda: plug.recv(4096), b""))
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close\r\n" in got


def test_a_client_that_leaves_in_the_middle_is_no_request(sim: Simulator, rest: Caller) -> None:
    for text in (b"", b"POST /V1/login HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT) as plug:
            plug.sendall(text)
            plug.shutdown(socket.SHUT_WR)
            assert plug.recv(100) == b""
    assert sim.rest_requests == []
    rest.login()
    assert sim.rest_requests == ["login"]


# The books


@pytest.mark.parametrize("book", ["orderBook", "positionBook"])
@pytest.mark.parametrize(
    "change", [{"jKey": "wrong"}, {"jKey": ""}, {"jKey": None}, {"userId": "nobody"}, {"userId": 1}]
)
def test_a_book_needs_the_key_in_force(rest: Caller, book: str, change: dict[str, object]) -> None:
    answer = rest.post(book, json={"userId": "AB1234", "jKey": "secret", **change})
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"], body["name"]) == (
        401,
        "failed",
        "401",
        "INVALID_JKEY",
    )
    assert body["error"]["field"] == "jKey"


def test_a_key_that_expired_opens_no_book(sim: Simulator, rest: Caller) -> None:
    sim.place_order("NSE:2885")
    assert rest.book("orderBook").status_code == 200
    sim.expire_key()
    assert rest.book("orderBook").status_code == 401
    assert rest.post("orderBook", json={"userId": "AB1234", "jKey": ""}).status_code == 401


@pytest.mark.parametrize("book", ["orderBook", "positionBook"])
def test_an_empty_book(sim: Simulator, rest: Caller, book: str) -> None:
    sim.place_order("NSE:2885", user_id="CD5678")
    failure = rest.book(book)
    assert (failure.status_code, failure.json()["status"]) == (200, "failed")
    assert "no data" in failure.json()["error"]["message"].lower()
    sim.behaviour = replace(sim.behaviour, empty_book="list")
    empty = rest.book(book)
    assert (empty.status_code, empty.json()["status"], empty.json()["data"]) == (200, "success", [])
    assert len(rest.book(book, "CD5678").json()["data"]) == 1


def test_the_order_book_has_each_order_of_the_user_newest_first(sim: Simulator, rest: Caller) -> None:
    done = sim.place_order("NSE:2885", "B", 50, 2424.05)
    open_ = sim.place_order("NFO:44278", "S", 75, 12.5, product="M", price_type="SL-LMT", fill=False)
    refused = sim.place_order("NSE:2885", "B", 1, 1.0, fill=False)
    sim.reject_order(refused, "RED:Margin Shortfall")
    sim.place_order("NSE:2885", user_id="CD5678")
    book = rest.orders()
    assert [entry["orderNumber"] for entry in book] == [refused, open_, done]
    assert all(list(entry) == ORDER_FIELDS for entry in book)
    assert all(isinstance(value, str) for entry in book for value in entry.values())
    assert book[2] == {
        "orderNumber": done,
        "exchange": "NSE",
        "token": "2885",
        "tradingSymbol": "RELIANCE-EQ",
        "transactionType": "B",
        "quantity": "50",
        "price": "2424.05",
        "priceType": "LMT",
        "product": "I",
        "retention": "DAY",
        "status": "COMPLETE",
        "fillShares": "50",
        "averagePrice": "2424.05",
        "rejectReason": " ",
        "remarks": "",
        "orderTime": sim.order_history(done)[0]["tm"],
        "lotSize": "1",
        "tickSize": "0.05",
        "userId": "AB1234",
    }
    assert book[2]["orderTime"] != sim.order_history(done)[-1]["tm"]
    assert [(entry["status"], entry["fillShares"]) for entry in book[:2]] == [("REJECTED", ""), ("OPEN", "")]
    assert book[0]["rejectReason"] == "RED:Margin Shortfall"
    sim.fill_order(open_, 25)
    assert [(e["status"], e["fillShares"]) for e in rest.orders()][1] == ("OPEN", "25")
    sim.cancel_order(open_)
    assert rest.orders()[1]["status"] == "CANCELED"


def test_the_position_book_has_each_position_newest_first(sim: Simulator, rest: Caller) -> None:
    sim.place_order("NSE:2885", "B", 100, 10.0)
    sim.place_order("NSE:2885", "S", 40, 12.0)
    sim.place_order("NFO:44278", "S", 75, 12.5, product="M")
    sim.place_order("NSE:2885", user_id="CD5678")
    option, cash = rest.positions()
    last = sim.truth("NSE:2885")["i_last_traded_price"]
    assert cash == {
        "exchange": "NSE",
        "token": "2885",
        "tradingSymbol": "RELIANCE-EQ",
        "product": "I",
        "netQuantity": "60",
        "netAveragePrice": "10.00",
        "dayBuyQuantity": "100",
        "dayBuyAmount": "1000.00",
        "dayBuyAveragePrice": "10.00",
        "daySellQuantity": "40",
        "daySellAmount": "480.00",
        "daySellAveragePrice": "12.00",
        "cfBuyQty": "",
        "cfBuyAmt": "",
        "cfSellQty": "",
        "cfSellAmt": "",
        "RealizedPNL": "80.00",
        "totalPNL": f"{80 + 60 * (last - 1000) / 100:.2f}",
        "totalMTM": f"{60 * (last - 1000) / 100:.2f}",
        "lastTradedPrice": f"{last / 100:.2f}",
        "uploadPrice": "0.00",
        "netUploadPrice": "0.00",
        "lotSize": "1",
        "tickSize": "0.05",
        "userId": "AB1234",
    }
    assert list(option) == list(cash)
    assert (option["exchange"], option["token"], option["netQuantity"]) == ("NFO", "44278", "-75")
    assert (option["daySellQuantity"], option["dayBuyQuantity"]) == ("75", "0")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_the_books_lag_behind(sim: Simulator, rest: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("firstock_ws.simulator.history.time", clock)
    sim.behaviour = replace(sim.behaviour, book_lag=2.0, empty_book="list")
    number = sim.place_order("NSE:2885", "B", 50, 10.0, fill=False)
    assert rest.orders() == []
    clock.now += 1.5
    sim.fill_order(number, 20)
    clock.now += 1.0
    assert [(e["status"], e["fillShares"]) for e in rest.orders()] == [("OPEN", "")]
    assert rest.positions() == []
    clock.now += 1.0
    assert [e["fillShares"] for e in rest.orders()] == ["20"]
    assert [e["netQuantity"] for e in rest.positions()] == ["20"]
    sim.fill_order(number)
    assert [e["netQuantity"] for e in rest.positions()] == ["20"]
    assert sim.orders()[0]["status"] == "COMPLETE"
    sim.behaviour = replace(sim.behaviour, book_lag=0.0)
    assert [e["netQuantity"] for e in rest.positions()] == ["50"]


def test_a_history_forgets_all_but_the_newest() -> None:
    history: History[str] = History(3)
    assert history.seen_after(0) is None
    for word in "abcd":
        history.add(word)
    assert history.entries() == ["b", "c", "d"]
    assert history.seen_after(0) == "d"
    history.forget()
    assert history.entries() == ["d"]


def test_the_past_of_old_orders_is_let_go(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstock_ws.simulator.trading.KEPT_PASTS", 2)
    first, *others = [sim.place_order("NSE:2885") for _ in range(3)]
    assert [frame["status"] for frame in sim.order_history(first)] == ["COMPLETE"]
    assert all(len(sim.order_history(number)) == 5 for number in others)


# What a test does to the line


def in_background(work: Callable[[], requests.Response]) -> Future[requests.Response]:
    with_one = ThreadPoolExecutor(1)
    future = with_one.submit(work)
    with_one.shutdown(wait=False)
    return future


def test_every_request_is_written_down_and_wakes_who_waits(sim: Simulator, rest: Caller) -> None:
    answer = in_background(rest.login)
    assert sim.wait_for(lambda s: s.rest_requests == ["login"])
    assert answer.result(TIMEOUT).status_code == 200
    sim.refuse_rest()
    rest.book("orderBook")
    rest.book("positionBook")
    rest.post("logout", json={})
    assert sim.rest_requests == ["login", "orderBook", "positionBook", "logout"]


def test_refusals_and_their_end(sim: Simulator, rest: Caller) -> None:
    sim.refuse_rest()
    plain = rest.login()
    assert (plain.status_code, plain.text, plain.headers["Content-Type"]) == (503, "refused\n", "text/plain")
    sim.refuse_rest(429, {"Retry-After": "7", "content-type": "application/json"}, "{}")
    busy = rest.login()
    assert (busy.status_code, busy.headers["Retry-After"], busy.json()) == (429, "7", {})
    assert busy.headers["Content-Type"] == "application/json"
    sim.refuse_rest(302, {"Location": "http://127.0.0.1:1/"}, b"\xff")
    moved = rest.login()
    assert (moved.status_code, moved.headers["Location"], moved.content) == (302, "http://127.0.0.1:1/", b"\xff")
    sim.refuse_rest(None)
    with pytest.raises(requests.ConnectionError):
        rest.login()
    assert sim.jkey == "secret"
    sim.accept_rest()
    assert rest.login().status_code == 200
    assert sim.rest_requests == ["login"] * 5


def test_silence_and_its_end(sim: Simulator, rest: Caller) -> None:
    sim.hush_rest()
    answer = in_background(rest.login)
    assert sim.wait_for(lambda s: s.rest_requests == ["login"])
    sim.push("the stream lives")
    assert not answer.done()
    assert sim.jkey == "secret"
    sim.accept_rest()
    assert answer.result(TIMEOUT).json()["data"]["susertoken"] == sim.jkey


def test_answers_in_dribbles(sim: Simulator, rest: Caller) -> None:
    sim.trickle_rest(0.0001)
    assert rest.login().status_code == 200
    sim.trickle_rest(60)
    with socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT) as plug:
        plug.sendall(b"GET /V1/login HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert plug.recv(4096) == b"H"
        sim.trickle_rest(0)
        rest_of_it = b"".join(iter(lambda: plug.recv(4096), b""))
    assert rest_of_it.startswith(b"TTP/1.1 405 ")
    assert rest_of_it.endswith(b"}}")


def test_many_clients_at_once(sim: Simulator) -> None:
    sim.place_order("NSE:2885")

    def work(_: int) -> list[int]:
        caller = Caller(sim)
        try:
            return [caller.book("orderBook").status_code for _ in range(10)]
        finally:
            caller.http.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[200] * 10] * 8
    assert len(sim.rest_requests) == 80


def test_a_fault_of_the_simulator_is_logged_and_ends_one_connection(
    sim: Simulator, rest: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(World, "digest_of", fail)
    with pytest.raises(requests.ConnectionError):
        rest.login()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "a REST call failed"
    ]
    monkeypatch.undo()
    assert rest.login().status_code == 200


def test_no_secret_is_in_the_log(sim: Simulator, rest: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [digest(PASSWORD), PASSWORD, "123456", "an api key", "secret"]
    rest.login(vendorCode="")
    rest.book("orderBook")
    rest.post("orderBook?jKey=secret", json={"userId": "AB1234", "jKey": "secret2"})
    rest.login()
    secrets.append(sim.jkey)
    mine = [record.getMessage() for record in caplog.records if record.name.startswith("firstock_ws")]
    assert mine == ["refused a login: vendorCode is wrong", "refused a REST call: the key is wrong or has expired"]
    assert not [secret for secret in secrets for line in mine if secret in line]


# Start and stop


def test_the_address_before_the_start_and_after_a_restart() -> None:
    sim = Simulator(**QUIET)
    with pytest.raises(RuntimeError, match="no port"):
        _ = sim.rest_url
    sim.refuse_rest()
    with sim:
        url = sim.rest_url
        assert url == f"http://127.0.0.1:{sim.rest_port}/V1"
        caller = Caller(sim)
        assert caller.login().status_code == 200
        sim.refuse_rest(None)
    with pytest.raises(requests.ConnectionError):
        caller.login()
    with sim:
        assert sim.rest_url == url
        assert caller.login().status_code == 200
    caller.http.close()


def test_a_rest_port_in_use_is_told_to_the_caller_and_frees_the_other(sim: Simulator) -> None:
    late = Simulator(rest_port=sim.rest_port, **QUIET)
    with pytest.raises(OSError, match=f"in use.*{sim.rest_port}"):
        late.start()
    assert not late.running
    socket.create_server(("127.0.0.1", late.port)).close()


def kept_alive(sim: Simulator) -> socket.socket:
    plug = socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT)
    plug.sendall(b"GET /V1/login HTTP/1.1\r\n\r\n")
    assert plug.recv(10) == b"HTTP/1.1 4"
    return plug


def half_a_request(sim: Simulator) -> socket.socket:
    plug = socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT)
    plug.sendall(b"POST /V1/login HTTP/1.1\r\nContent-Length: 5\r\n\r\n{")
    return plug


def hushed(sim: Simulator) -> socket.socket:
    sim.hush_rest()
    plug = socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT)
    plug.sendall(b"GET /V1/login HTTP/1.1\r\n\r\n")
    assert sim.wait_for(lambda s: bool(s.rest_requests))
    return plug


def dribbling(sim: Simulator) -> socket.socket:
    sim.trickle_rest(60)
    plug = socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT)
    plug.sendall(b"GET /V1/login HTTP/1.1\r\n\r\n")
    assert plug.recv(1) == b"H"
    return plug


def does_not_read(sim: Simulator) -> socket.socket:
    sim.refuse_rest(200, body=b"x" * 30_000_000)
    plug = kept = socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT)
    plug.sendall(b"GET /V1/login HTTP/1.1\r\n\r\n")
    assert plug.recv(1) == b"H"
    return kept


@pytest.mark.parametrize("client", [kept_alive, half_a_request, hushed, dribbling, does_not_read])
def test_stop_ends_every_connection_and_leaves_nothing_behind(
    client: Callable[[Simulator], socket.socket],
) -> None:
    # What earlier tests left to the collector must not go away in the middle of this one.
    gc.collect()
    before = descriptors()
    sim = Simulator(**QUIET).start()
    plug = client(sim)
    sim.stop()
    assert threads_of_rest() == []
    try:
        while plug.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    plug.close()
    assert descriptors() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT)


def test_tls() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    with authority.cert_pem.tempfile() as bundle, Simulator(ssl_context=server, **QUIET) as sim:
        assert sim.rest_url.startswith("https://127.0.0.1:")
        never_begins = socket.create_connection(("127.0.0.1", sim.rest_port), timeout=TIMEOUT)
        caller = Caller(sim)
        with pytest.raises(requests.exceptions.SSLError):
            caller.login()
        caller.http.verify = bundle
        assert caller.login().status_code == 200
        sim.stop()
        assert threads_of_rest() == []
        assert never_begins.recv(1) == b""
        never_begins.close()
        caller.http.close()


# Updates that get lost


def test_updates_get_lost_on_a_stream_that_is_well(sim: Simulator, rest: Caller) -> None:
    ws = dial(sim)
    sim.lose_updates(2)
    number = sim.place_order("NSE:2885", "B", 50, 10.0, fill=False)
    assert receive(ws, 1)[0]["reporttype"] == "New"
    sim.lose_updates()
    sim.fill_order(number, 20)
    sim.fill_order(number, 10)
    sim.lose_updates(0)
    sim.push("nothing in between")
    assert ws.recv() == "nothing in between"
    assert rest.orders()[0]["fillShares"] == "30"
    assert rest.positions()[0]["netQuantity"] == "30"
    history = sim.order_history(number)
    assert [frame["reporttype"] for frame in history] == ["PendingNew", "NewAck", "New", "Fill", "Fill"]
    assert [frame["fillshares"] for frame in history] == ["0", "0", "0", "20", "30"]
    assert [frame["netqty"] for frame in sim.position_history()] == ["20", "30"]
    assert sim.position_history("CD5678") == []
    sim.fill_order(number)
    assert receive(ws, 2) == [sim.order_history(number)[-1], sim.position_history()[-1]]
    with pytest.raises(KeyError):
        sim.order_history("404")
    with pytest.raises(ValueError, match="-1"):
        sim.lose_updates(-1)
    ws.close()


def test_updates_are_held_and_come_late_and_in_order(sim: Simulator) -> None:
    ws = dial(sim)
    sim.hold_updates()
    number = sim.place_order("NSE:2885", "B", 50, 10.0)
    sim.push("first")
    assert ws.recv() == "first"
    ws.close()
    assert sim.wait_for(lambda s: s.session_count() == 0)
    late = dial(sim)
    sim.release_updates()
    frames = receive(late, 7)
    assert [f for f in frames if "norenordno" in f] == sim.order_history(number)
    assert [f for f in frames if "brkname" in f] == sim.position_history()
    sim.release_updates()
    sim.place_order("NSE:2885", fill=False)
    assert len(receive(late, 3)) == 3
    late.close()


def test_an_order_is_modified(sim: Simulator, rest: Caller) -> None:
    ws = dial(sim)
    number = sim.place_order("NSE:2885", "B", 50, 10.0, fill=False)
    receive(ws, 3)
    sim.modify_order(number, price=11.5, quantity=60)
    pending, replaced = receive(ws, 2)
    told = ("status", "reporttype", "qty", "prc")
    assert [pending[name] for name in told] == ["PENDING", "PendingReplace", "50", "10.00"]
    assert [replaced[name] for name in told] == ["OPEN", "Replaced", "60", "11.50"]
    sim.fill_order(number, 20)
    sim.modify_order(number, price=12.0)
    entry = rest.orders()[0]
    assert (entry["quantity"], entry["price"], entry["fillShares"]) == ("60", "12.00", "20")
    with pytest.raises(ValueError, match="more than the 20"):
        sim.modify_order(number, quantity=20)
    sim.modify_order(number, quantity=21)
    sim.fill_order(number)
    assert rest.orders()[0]["status"] == "COMPLETE"
    with pytest.raises(ValueError, match="has ended"):
        sim.modify_order(number, price=1.0)
    with pytest.raises(KeyError):
        sim.modify_order("404")
    ws.close()
