"""What a test can do to the simulator's sessions, and that one client's trouble stays its own."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
import websocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from firstock_ws.simulator import Behaviour, Simulator
from firstock_ws.simulator.sessions import MAX_QUEUED_FRAMES

QUIET: dict[str, Any] = {"rate": 0, "order_interval": None, "ping_interval": None}
SUCCESS = '{"status":"success","message":"Authentication successful"}'
#: More than the kernel buffers for a client that does not read.
TOO_MUCH = "x" * 30_000_000
UNAUTHENTICATED = '{"status":"failed","message":"unauthenticated"}'


def address(sim: Simulator, key: str = "") -> str:
    query = urlencode({"userId": sim.user_id, "jKey": key or sim.jkey, "source": "developer-api"})
    return f"{sim.url}?{query}"


def enter(sim: Simulator, key: str = "") -> websocket.WebSocket:
    ws = websocket.create_connection(address(sim, key), timeout=5)
    assert ws.recv() == SUCCESS
    return ws


def closed_by(ws: ClientConnection) -> tuple[int, str] | None:
    """Code and reason of the close frame that ended a connection; None if there was none."""
    with pytest.raises(ConnectionClosed) as closed:
        ws.recv(timeout=5)
    return (closed.value.rcvd.code, closed.value.rcvd.reason) if closed.value.rcvd else None


def ending_of(ws: websocket.WebSocket) -> tuple[int, str] | None:
    """Code and reason of the close frame that is next; None for an end without one."""
    try:
        opcode, data = ws.recv_data(control_frame=True)
    except (websocket.WebSocketConnectionClosedException, ConnectionResetError):
        return None
    finally:
        ws.shutdown()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return struct.unpack("!H", data[:2])[0], data[2:].decode()


def silent(ws: websocket.WebSocket, seconds: float = 0.2) -> bool:
    ws.settimeout(seconds)
    try:
        ws.recv_data(control_frame=True)
    except websocket.WebSocketTimeoutException:
        return True
    finally:
        ws.settimeout(5)
    return False


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=5, **QUIET) as simulator:
        yield simulator


def test_push_sends_exactly_these_bytes(sim: Simulator) -> None:
    assert sim.push("nobody hears it") == 0
    one, two = enter(sim), enter(sim)
    assert sim.push('{"é":1}') == 2
    for ws in (one, two):
        assert ws.recv_data() == (websocket.ABNF.OPCODE_TEXT, '{"é":1}'.encode())
    assert sim.push(b"\xff\xfe", sim.user_id, binary=True) == 2
    assert one.recv_data() == (websocket.ABNF.OPCODE_BINARY, b"\xff\xfe")
    assert sim.push("x", "nobody") == 0
    sim.push(b"bad \xff text")
    one.recv_frame()
    with pytest.raises(websocket.WebSocketPayloadException):
        two.recv(), two.recv()
    for ws in (one, two):
        ws.shutdown()


@pytest.mark.parametrize(
    ("behaviour", "frame", "ending"),
    [
        (Behaviour(), UNAUTHENTICATED, (1000, "")),
        (Behaviour(failure_close_code=1008), UNAUTHENTICATED, (1008, "")),
        (Behaviour(close_after_failure="fin"), UNAUTHENTICATED, None),
        (Behaviour(expiry="close"), None, (1008, "")),
        (Behaviour(expiry="fin"), None, None),
    ],
)
def test_a_key_expires(sim: Simulator, behaviour: Behaviour, frame: str | None, ending: object) -> None:
    sim.behaviour = behaviour
    ws = enter(sim)
    sim.expire_key(new_key="tomorrow")
    if frame is not None:
        assert ws.recv() == frame
    assert ending_of(ws) == ending
    with connect(address(sim, "secret")) as late:
        assert late.recv() == UNAUTHENTICATED
    assert sim.jkey == "tomorrow"
    enter(sim).close()


def test_a_key_expires_without_a_new_one_until_one_is_set(sim: Simulator) -> None:
    sim.expire_key()
    assert sim.jkey == ""
    with connect(address(sim, "secret")) as ws:
        assert ws.recv() == UNAUTHENTICATED
    sim.set_key(sim.user_id, "fresh")
    ws = enter(sim)
    sim.set_key(sim.user_id, "fresher")
    assert sim.push("still here") == 1
    assert ws.recv() == "still here"
    ws.close()


def test_drop_sends_what_is_queued_and_then_a_close_frame(sim: Simulator) -> None:
    ws = enter(sim)
    sim.push("last words")
    sim.drop(4321, "go away")
    assert sim.session_count() == 0
    assert ws.recv() == "last words"
    assert ending_of(ws) == (4321, "go away")
    with connect(address(sim)) as polite:
        polite.recv()
        sim.drop()
        assert closed_by(polite) == (1001, "")
    assert sim.wait_for(lambda s: s.close_codes[-1:] == [1001])
    with pytest.raises(ValueError, match="1006"):
        sim.drop(1006)


def test_hang_up_is_a_fin_without_a_close_frame(sim: Simulator) -> None:
    ws = enter(sim)
    sim.push("last words")
    sim.hang_up()
    assert sim.session_count() == 0
    assert ws.recv() == "last words"
    ws.settimeout(0.5)
    assert ws.sock.recv(100) == b""
    ws.shutdown()


def test_reset_is_an_rst(sim: Simulator) -> None:
    ws = enter(sim)
    sim.reset()
    assert sim.session_count() == 0
    with pytest.raises(ConnectionResetError):
        ws.sock.recv(100)
    ws.shutdown()


def test_silence_and_its_end() -> None:
    with Simulator(seed=1, rate=500, order_interval=0.01, ping_interval=0.02, ping_timeout=0.4) as sim:
        ws = enter(sim)
        ws.send('{"action":"subscribe","tokens":"NSE:2885"}')
        ws.recv()
        sim.go_silent()
        while not silent(ws):
            pass
        ws.ping("anybody there?")
        late = socket.create_connection(("127.0.0.1", sim.port), timeout=0.2)
        request = address(sim).split(f"{sim.port}")[1]
        late.sendall(
            f"GET {request} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        with pytest.raises(TimeoutError):
            late.recv(100)
        before = sim.truth("NSE:2885")
        assert silent(ws)
        assert sim.truth("NSE:2885") == before
        assert (sim.handshakes, sim.session_count()) == (1, 1)
        sim.push("while silent")
        sim.resume()
        late.settimeout(5)
        assert late.recv(100).startswith(b"HTTP/1.1 101")
        pong = (websocket.ABNF.OPCODE_PONG, b"anybody there?")
        awaited = {pong, (websocket.ABNF.OPCODE_TEXT, b"while silent")}
        while awaited:
            awaited.discard(ws.recv_data(control_frame=True))
        assert sim.wait_for(lambda s: s.session_count() == 2)
        late.close()
        ws.close()


def test_a_ping_that_silence_overtakes_does_not_count() -> None:
    with Simulator(rate=0, order_interval=None, ping_interval=0.02, ping_timeout=0.3) as sim:
        ws = enter(sim)
        assert not sim.wait_for(lambda s: s.session_count() == 0, timeout=0.1)
        sim.go_silent()
        assert not sim.wait_for(lambda s: s.session_count() == 0, timeout=0.5)
        ws.shutdown()


def test_a_client_that_does_not_pong_is_dropped_and_one_that_does_is_not() -> None:
    with Simulator(rate=0, order_interval=None, ping_interval=0.05, ping_timeout=0.2) as sim:
        mute = enter(sim)
        with connect(address(sim)) as ws:
            ws.recv()
            assert sim.wait_for(lambda s: s.session_count() == 2)
            assert sim.wait_for(lambda s: s.session_count() == 1)
            assert sim.wait_for(lambda s: s.pongs >= 5)
            sim.push("alive")
            assert ws.recv() == "alive"
        opcode, data = mute.recv_data(control_frame=True)
        while opcode == websocket.ABNF.OPCODE_PING:
            frame = mute.recv_frame()
            opcode, data = frame.opcode, frame.data
        assert (opcode, struct.unpack("!H", data[:2])) == (websocket.ABNF.OPCODE_CLOSE, (1011,))
        mute.shutdown()


def test_refusals_over_http_and_their_end(sim: Simulator) -> None:
    old = enter(sim)
    for status, headers in ((503, {"Retry-After": "7"}), (429, {}), (302, {"Location": "/x"}), (599, {})):
        sim.refuse(status, headers)
        with socket.create_connection(("127.0.0.1", sim.port), timeout=5) as plug:
            plug.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
            answer = plug.recv(4096).decode()
        assert answer.split()[1] == str(status)
        for name, value in headers.items():
            assert f"{name}: {value}\r\n" in answer
    sim.refuse(503, {"Content-Type": "application/json"})
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        enter(sim)
    assert refused.value.resp_headers["content-type"] == "application/json"
    assert sim.push("old sessions live") == 1
    assert old.recv() == "old sessions live"
    sim.accept()
    enter(sim).close()
    old.close()


def test_refusing_to_listen_and_its_end(sim: Simulator) -> None:
    old = enter(sim)
    sim.refuse(None)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sim.port), timeout=5)
    sim.refuse(None)
    assert sim.push("old sessions live") == 1
    assert old.recv() == "old sessions live"
    port = sim.port
    sim.accept()
    sim.accept()
    assert sim.port == port
    enter(sim).close()
    old.close()


def test_slow_down_waits_before_each_frame(sim: Simulator) -> None:
    ws = enter(sim)
    sim.slow_down(0.1)
    began = time.monotonic()
    for _ in range(3):
        sim.push("slow")
    assert time.monotonic() - began < 0.1
    for _ in range(3):
        ws.recv()
    assert 0.28 < time.monotonic() - began < 2
    sim.slow_down(0)
    ws.close()


def test_trickle_breaks_frames_and_handshakes_into_dribbles(sim: Simulator) -> None:
    sim.trickle(7)
    ws = enter(sim)
    sim.push("0123456789" * 3)
    sim.push("next")
    pieces = []
    while sum(map(len, pieces)) < 38:
        pieces.append(ws.sock.recv(4096))
    assert b"".join(pieces) == b"\x81\x1e" + b"0123456789" * 3 + b"\x81\x04next"
    assert len(pieces) > 3
    sim.push("x" * 20_000)
    sim.trickle(0)
    sim.push("fast again")
    assert [ws.recv(), ws.recv()] == ["x" * 20_000, "fast again"]
    ws.close()


@pytest.mark.parametrize("ending", ["drop", "hang_up", "reset"])
def test_endings_while_dribbling(sim: Simulator, ending: str) -> None:
    ws = enter(sim)
    sim.trickle(3)
    sim.push("0123456789" * 5)
    getattr(sim, ending)()
    if ending != "reset":
        assert ws.recv() == "0123456789" * 5
    assert ending_of(ws) == ((1001, "") if ending == "drop" else None)


def test_a_client_that_does_not_read_is_dropped_and_holds_nobody_up(sim: Simulator) -> None:
    deaf = enter(sim)
    got = []

    def read() -> None:
        with connect(address(sim), max_size=None) as reader:
            while (text := reader.recv(timeout=10)) != "end":
                got.append(len(text))

    thread = threading.Thread(target=read)
    thread.start()
    assert sim.wait_for(lambda s: s.session_count() == 2)
    sim.push(TOO_MUCH)
    assert sim.push("x") == 2
    for _ in range(MAX_QUEUED_FRAMES - 2):
        sim.push("x")
    assert sim.session_count() == 2
    for _ in range(3):
        sim.push("x")
    assert sim.session_count() == 1
    sim.push("end")
    thread.join(10)
    assert not thread.is_alive()
    assert got == [len(SUCCESS), len(TOO_MUCH)] + [1] * (MAX_QUEUED_FRAMES + 2)
    deaf.shutdown()


def test_a_rate_beyond_what_the_only_reader_can_read_does_not_cost_it_its_session() -> None:
    with Simulator(seed=1, rate=1_000_000, order_interval=None) as sim:
        ws = enter(sim)
        ws.send('{"action":"subscribe","tokens":"NSE:2885|NSE:26000"}')
        assert sim.wait_for(lambda s: bool(s.subscriptions()))
        sim.slow_down(0.0005)
        for _ in range(200):
            assert json.loads(ws.recv())["c_exch_seg"] == "NSE"
        assert not sim.wait_for(lambda s: s.session_count() == 0, timeout=1.0)
        sim.slow_down(0)
        ws.shutdown()


def test_start_and_stop_are_idempotent_and_the_server_comes_back_on_its_port() -> None:
    sim = Simulator(seed=5, **QUIET)
    with pytest.raises(RuntimeError, match="no port"):
        _ = sim.url
    with pytest.raises(RuntimeError, match="not running"):
        sim.go_silent()
    with pytest.raises(RuntimeError, match="not running"):
        sim.accept()
    assert (sim.stop(), sim.running) == (None, False)
    sim.start().start()
    port = sim.port
    with connect(address(sim)) as ws:
        ws.recv()
        sim.refuse(503)
        sim.stop()
        sim.stop()
        assert closed_by(ws) == (1001, "server shutting down")
    assert (sim.running, sim.session_count()) == (False, 0)
    assert not [thread for thread in threading.enumerate() if thread.name == "firstock-simulator"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert sim.start().port == port
    enter(sim).close()
    assert sim.handshakes == 2
    sim.stop()


def test_a_port_in_use_is_told_to_the_caller(sim: Simulator) -> None:
    with pytest.raises(OSError, match="in use"):
        Simulator(port=sim.port, **QUIET).start()


def stuck(sim: Simulator) -> websocket.WebSocket:
    ws = enter(sim)
    sim.push(TOO_MUCH)
    return ws


def raw(sim: Simulator) -> socket.socket:
    plug = socket.create_connection(("127.0.0.1", sim.port), timeout=5)
    plug.sendall(b"GET /ws HT")
    return plug


@pytest.mark.parametrize(
    ("client", "trouble"),
    [
        (enter, lambda sim: sim.go_silent()),
        (enter, lambda sim: sim.slow_down(30)),
        (enter, lambda sim: sim.trickle(1, pause=30)),
        (enter, lambda sim: sim.refuse(None)),
        (enter, lambda sim: None),
        (stuck, lambda sim: None),
        (raw, lambda sim: None),
    ],
    ids=["silent", "slow", "trickling", "not listening", "does not answer", "does not read", "half a request"],
)
def test_stop_is_quick_whatever_the_sessions_do(
    client: Callable[[Simulator], Any], trouble: Callable[[Simulator], None]
) -> None:
    sim = Simulator(**{**QUIET, "order_interval": 60.0, "rate": 0.01}).start()
    ws = client(sim)
    trouble(sim)
    sim.push("x" * 100)
    began = time.monotonic()
    sim.stop()
    assert time.monotonic() - began < 2
    assert not [thread for thread in threading.enumerate() if thread.name == "firstock-simulator"]
    plug = ws if isinstance(ws, socket.socket) else ws.sock
    plug.settimeout(5)
    try:
        while plug.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    plug.close()


def test_silence_ends_with_a_restart(sim: Simulator) -> None:
    sim.go_silent()
    sim.stop()
    sim.start()
    enter(sim).close()


def test_wait_for_wakes_at_a_change_and_gives_up_in_time(sim: Simulator) -> None:
    began = time.monotonic()
    assert not sim.wait_for(lambda s: False, timeout=0.1)
    assert time.monotonic() - began < 1
    timer = threading.Timer(0.05, lambda: setattr(sim, "behaviour", replace(sim.behaviour, greeks_scale=2.0)))
    timer.start()
    assert sim.wait_for(lambda s: s.behaviour.greeks_scale == 2.0)
    timer.join()


def test_many_threads_push_at_once_and_every_frame_arrives_whole(sim: Simulator) -> None:
    ws = enter(sim)
    threads = [threading.Thread(target=lambda n=n: [sim.push(f"{n}:{i}") for i in range(50)]) for n in range(8)]
    for thread in threads:
        thread.start()
    got = [ws.recv() for _ in range(400)]
    for thread in threads:
        thread.join()
    for n in range(8):
        assert [text for text in got if text.startswith(f"{n}:")] == [f"{n}:{i}" for i in range(50)]
    ws.close()
