"""Nothing is left behind: no key in any text, no thread, no descriptor, no memory."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator

import pytest
import websocket

from firstock_ws import AuthenticationError, FirstockError
from firstock_ws.connection import Connection
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, KEY, Watched, closed_port, wait_until


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """All records of all loggers at DEBUG, tracebacks included, and websocket-client's trace."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    websocket.enableTrace(True, handler=handler)
    # The simulator's side is not under test: its library logs the requests that it reads.
    logging.getLogger("websockets.server").setLevel(logging.WARNING)
    try:
        yield text
    finally:
        websocket.enableTrace(False)
        root.removeHandler(handler)
        root.setLevel(level)
        logging.getLogger("websockets.server").setLevel(logging.NOTSET)


def texts_of(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield "".join(traceback.format_exception(error))
        yield repr(error) + repr(vars(error)) + repr(error.args)
        error = error.__cause__ or error.__context__


def test_the_key_is_in_no_text(
    sim: Simulator, make_client: ClientMaker, everything_logged: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    client = make_client(tokens="NSE:26000", reconnect_max_delay=0.05)
    watched = Watched(client)
    client.connect(DEADLINE)
    watched.wait("on_quote")

    def fail(*args: object) -> None:
        raise ValueError(f"see wss://socket.firstock.in/ws?userId=AB1234&jKey={KEY}")

    client.on_order_update = fail
    sim.place_order("NSE:1", fill=False)
    sim.push(KEY)
    for turn, cut in enumerate((lambda: sim.drop(1011, KEY), sim.reset, sim.hang_up), start=2):
        cut()
        watched.wait("on_connect", turn)
    sim.refuse(403)
    sim.drop(1001, f"jKey={KEY} is dead")
    watched.wait("on_noreconnect")
    told += [repr(watched.of("on_close")), repr(client), repr(vars(client)), repr(client.stats)]
    for error in watched.of("on_error"):
        if isinstance(error, FirstockError) and not hasattr(error, "frame"):
            told += texts_of(error)
    sim.accept()
    with pytest.raises(AuthenticationError) as caught:
        make_client(jkey=KEY[::-1]).connect(DEADLINE)
    told += texts_of(caught.value)
    with pytest.raises(FirstockError) as failed:
        make_client(url=f"ws://127.0.0.1:{closed_port()}/ws").connect(0.2)
    told += texts_of(failed.value)
    logged = everything_logged.getvalue()
    assert "GET /ws?userId=AB1234&jKey=***" in logged, "the trace is on, and would have shown it"
    out, err = capfd.readouterr()
    for text in (logged, out, err, *told):
        assert KEY not in text
        assert KEY[::-1] not in text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_two_hundred_reconnects_leave_no_descriptor_thread_or_object(
    sim: Simulator, make_client: ClientMaker
) -> None:
    client = make_client(tokens="NSE:26000", reconnect_max_delay=0.001)
    watched = Watched(client, ("on_connect",))
    client.connect(DEADLINE)

    def reconnect(times: int) -> None:
        for _ in range(times):
            count = len(watched.of("on_connect"))
            [sim.reset, sim.hang_up, lambda: sim.drop(1001)][count % 3]()
            watched.wait("on_connect", count + 1)

    reconnect(10)
    gc.collect()
    gc.disable()
    try:
        before = (len(os.listdir("/proc/self/fd")), threading.active_count())
        connections = count_connections()
        reconnect(200)
        wait_until(lambda: (len(os.listdir("/proc/self/fd")), threading.active_count()) <= before)
        assert count_connections() <= connections + 1
    finally:
        gc.enable()
    client.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("firstock-ws")]


def count_connections() -> int:
    """What holds the buffers of a connection, ours and websocket-client's."""
    return sum(type(thing) in (Connection, websocket.WebSocket) for thing in gc.get_objects())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_descriptor_above_1024_works(sim: Simulator, make_client: ClientMaker) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        for _ in range(1100):
            stack.callback(os.close, os.dup(reader))
        client = make_client(tokens="NSE:26000")
        watched = Watched(client)
        client.connect(DEADLINE)
        watched.wait("on_quote")
        client.close()


def test_proxy_variables_do_not_apply(
    sim: Simulator, make_client: ClientMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    make_client().connect(DEADLINE)
    assert sim.session_count() == 1
