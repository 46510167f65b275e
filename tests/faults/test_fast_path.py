"""Frames however they are cut, joined and mixed: the same comes of them, whoever reads them."""

from __future__ import annotations

import contextlib
import itertools
import logging
import struct
import threading
import time
from collections.abc import Callable

import pytest

from firstock_ws import ConnectionLostError, FrameError
from firstock_ws.callbacks import CALLBACK_NAMES
from firstock_ws.connection import library
from firstock_ws.settings import fast_path_allowed
from tests.faults.conftest import Fault
from tests.faults.peers import WAYS, Peer, connect, prices, quote, quotes, said_by, text
from tests.faults.servers import accept_upgrade, close_frame, frame, read_to_end
from tests.support import AUTHENTICATED, DEADLINE, wait_until
from tests.test_updates import FILL

pytestmark = pytest.mark.faults("fast-path")
every_way = pytest.mark.parametrize("way", WAYS)
FAST = WAYS[:2]
fast_ways = pytest.mark.parametrize("way", FAST)

MACHINE = 5.0
PING, PONG, BINARY = 9, 10, 2


def saying(data: bytes, *, cut: int = 0) -> Callable[[Peer], None]:
    """Return a server that says `data`, in pieces of `cut` bytes on the wire, and then listens."""

    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        wire = peer.wire(data)
        for at in range(0, len(wire), cut or len(wire)):
            peer.sock.sendall(wire[at : at + (cut or len(wire))])
        read_to_end(peer)

    return serve


def masked(data: bytes) -> bytes:
    """Return the frame of a payload `data` as only clients should send it."""
    return (
        bytes([0x81, 0x80 | len(data)]) + b"abcd" + bytes(byte ^ b"abcd"[at % 4] for at, byte in enumerate(data))
    )


def halves(price: int, between: bytes = b"") -> bytes:
    """Return a market message in three pieces, with `between` after each but the last."""
    whole = text(price).encode()
    pieces = (whole[:7], b"", whole[7:])
    return between.join(frame(piece, opcode=int(at == 0), fin=at == 2) for at, piece in enumerate(pieces))


def long_header(price: int, size: int) -> bytes:
    """Return a market frame whose length is told in more bytes than it needs."""
    payload = text(price).encode()
    told = struct.pack("!BBH" if size == 2 else "!BBQ", 0x81, 126 if size == 2 else 127, len(payload))
    return told + payload


def padded(price: int, size: int) -> bytes:
    """Return a market frame with a payload of `size` bytes."""
    whole = text(price).encode()
    return frame(whole + b" " * (size - len(whole)))


# --- what is well ------------------------------------------------------------------------------------------------

STREAMS = {
    "many whole": (quotes(1, 40), 40),
    "pieces between": (quote(1) + halves(2) + quotes(3, 4) + halves(5) + halves(6) + quote(7), 7),
    "pings between": (quote(1) + frame("a", opcode=PING) + quote(2) + frame("", opcode=PING) + quote(3), 3),
    "pongs between": (quote(1) + frame("a", opcode=PONG) + quote(2), 2),
    "pings among pieces": (
        quote(1) + halves(2, frame("p", opcode=PING) + frame("", opcode=PONG)) + quote(3),
        3,
    ),
    "masked": (quote(1) + masked(text(2).encode()) + quote(3), 3),
    "16 bits for a short one": (quote(1) + long_header(2, 2) + quote(3), 3),
    "64 bits for a short one": (quote(1) + long_header(2, 8) + quote(3), 3),
    "lengths around the steps": (
        b"".join(padded(at, size) for at, size in enumerate((125, 126, 127, 65_535), 1)),
        4,
    ),
    "64 bits": (padded(1, 65_536) + quote(2) + padded(3, 70_000), 3),
    "all of it": (
        quote(1)
        + padded(2, 126)
        + halves(3, frame("p", opcode=PING))
        + masked(text(4).encode())
        + long_header(5, 8)
        + frame("", opcode=PING)
        + padded(6, 70_000)
        + quote(7),
        7,
    ),
}
"""Frames of rising prices from 1 on, and the last price."""
CUTS = [0, 1, 3, 1_000]


@every_way
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("cut", CUTS, ids=["whole", "by one", "by three", "by thousand"])
def test_frames_of_any_kind_in_any_pieces(fault: Fault, way: str, stream: str, cut: int) -> None:
    data, last = STREAMS[stream]
    if cut and len(data) > 10_000:
        cut = max(cut, 997)
    client, watched = connect(fault, way, saying(data, cut=cut))
    watched.wait("on_quote", last)
    assert prices(watched) == list(range(1, last + 1))
    assert watched.of("on_error") == []
    assert client.stats.frames == last + 1, "and the word on the key"
    fault.measured("{} kinds of streams, whole and cut, over TCP and TLS", len(STREAMS))


@every_way
def test_pings_in_a_burst_are_answered_in_order(fault: Fault, way: str) -> None:
    pongs: list[bytes] = []
    done = threading.Event()

    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        burst = (quotes(10 * turn + 1, 10 * turn + 10) + frame(f"{turn}", opcode=PING) for turn in range(20))
        peer.sendall(b"".join(burst))
        for opcode, payload in said_by(peer):
            pongs.extend([payload] * (opcode == PONG))
            if len(pongs) == 20:
                done.set()

    _, watched = connect(fault, way, serve)
    assert done.wait(DEADLINE)
    assert pongs == [f"{turn}".encode() for turn in range(20)]
    watched.wait("on_quote", 200)
    assert prices(watched) == list(range(1, 201))


@every_way
def test_an_empty_text_is_told_of_and_costs_nothing_else(fault: Fault, way: str) -> None:
    client, watched = connect(fault, way, saying(quote(1) + frame("") + frame("", opcode=BINARY) + quote(2)))
    watched.wait("on_quote", 2)
    assert [type(error) for error in watched.wait("on_error", 2)] == [FrameError, FrameError]
    assert client.stats.unknown_frames == 2


@every_way
def test_the_word_on_the_key_and_quotes_come_with_the_answer_to_the_upgrade(fault: Fault, way: str) -> None:
    def serve(peer: Peer) -> None:
        accept_upgrade(peer, more=quotes(1, 50) + frame("x", opcode=PING) + quotes(51, 100))
        read_to_end(peer)

    _, watched = connect(fault, way, serve)
    watched.wait("on_quote", 100)
    assert prices(watched) == list(range(1, 101))
    assert watched.names()[0] == "on_connect"


@every_way
def test_quotes_and_orders_of_a_batch_come_in_its_order(fault: Fault, way: str) -> None:
    expected: list[str] = []
    data = b""
    for turn in range(50):
        fill = {**FILL, "norenordno": f"{turn}", "flid": f"{turn}"}
        data += quotes(3 * turn + 1, 3 * turn + 3) + frame(str(fill).replace("'", '"'))
        expected += [*(str(price) for price in range(3 * turn + 1, 3 * turn + 4)), f"order {turn}"]
    _, watched = connect(fault, way, saying(data))
    watched.wait("on_order_update", 50)
    came = [
        str(round(args[0].last_price * 100)) if name == "on_quote" else f"order {args[0].order_number}"
        for name, args in watched.calls
        if name in ("on_quote", "on_order_update")
    ]
    assert came == expected


@every_way
def test_raw_frames_are_shown_before_what_was_made_of_them(fault: Fault, way: str) -> None:
    _, watched = connect(fault, way, saying(quotes(1, 30) + halves(31) + quote(32)), names=CALLBACK_NAMES)
    watched.wait("on_quote", 32)
    came = [
        args[0] if name == "on_message" else text(round(args[0].last_price * 100))
        for name, args in watched.calls
        if name in ("on_message", "on_quote")
    ]
    assert came == [AUTHENTICATED, *itertools.chain.from_iterable([text(price)] * 2 for price in range(1, 33))]


@every_way
@pytest.mark.parametrize("begun", [b"\x89\x04p", b"\x01\x30{", b"\x82\x7e"], ids=["ping", "piece", "binary"])
def test_quotes_do_not_wait_for_the_rest_of_another_frame(fault: Fault, way: str, begun: bytes) -> None:
    go_on = threading.Event()

    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        assert go_on.wait(DEADLINE)
        peer.sendall(quotes(1, 3) + begun)
        read_to_end(peer)

    client, watched = connect(fault, way, serve, io_timeout=4 * DEADLINE)
    watched.wait("on_connect")
    # A callback thread that is awake looks for itself.
    wait_until(lambda: client._dispatcher._idle)
    go_on.set()
    watched.wait("on_quote", 3)


# --- what is not -------------------------------------------------------------------------------------------------

BROKEN = {
    "a text among pieces": frame("{", fin=False) + quote(9),
    "a text among pieces, after a ping": frame("{", fin=False) + frame("", opcode=PING) + quote(9),
    "an empty text among pieces": frame("{", fin=False) + frame(""),
    "a piece of nothing": frame("}", opcode=0),
    "a last piece twice": halves(6) + frame("}", opcode=0),
    "reserved bit 1": b"\xc1\x02{}",
    "reserved bit 2": b"\xa1\x02{}",
    "reserved bit 3": b"\x91\x02{}",
    "opcode 3": b"\x83\x02{}",
    "opcode 11": b"\x8b\x02{}",
    "a ping in pieces": b"\x09\x01a",
    "a long ping": frame(b"a" * 126, opcode=PING),
    "a close frame of one byte": b"\x88\x01a",
    "a code that may not be sent": close_frame(1005),
    "one byte too many": padded(9, (1 << 20) + 1),
    "16 EiB": b"\x81\x7f" + b"\xff" * 8,
}


@every_way
@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_the_protocol_ends_the_connection_behind_what_came_before(
    fault: Fault, way: str, broken: str
) -> None:
    _, watched = connect(fault, way, saying(quotes(1, 5) + BROKEN[broken]))
    error = watched.wait("on_error")[0]
    assert isinstance(error, ConnectionLostError)
    assert error.code in (1002, 1009), error
    assert watched.wait("on_close")[0][0] == error.code
    assert prices(watched)[:5] == [1, 2, 3, 4, 5]
    watched.wait("on_connect", 2)
    assert 9 not in prices(watched)


@every_way
def test_messages_of_just_the_limit_are_taken(fault: Fault, way: str) -> None:
    _, watched = connect(fault, way, saying(padded(1, 1 << 20) + padded(2, (1 << 20) - 1) + quote(3)))
    watched.wait("on_quote", 3)
    assert watched.of("on_error") == []


# --- the end -----------------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("ending", ["close frame", "FIN", "RST", "goodbye"])
def test_all_that_came_before_the_end_is_delivered(fault: Fault, way: str, ending: str) -> None:
    once = itertools.count()

    def serve(peer: Peer) -> None:
        accept_upgrade(peer)
        if next(once):
            read_to_end(peer)
            return
        if ending == "RST":
            peer.sendall(quotes(1, 300))
            # What is still on its way would be lost with it.
            wait_until(lambda: client.stats.quotes_received >= 1)
            peer.reset()
            return
        last = close_frame(1001) if ending == "close frame" else b""
        wire = peer.wire(quotes(1, 300) + last)
        peer.sock.sendall(wire + (peer.goodbye() if ending == "goodbye" else b""))
        if ending == "close frame":
            read_to_end(peer)

    client, watched = connect(fault, way, serve, wait=False, reconnect_max_delay=2.0)
    client.connect(DEADLINE)
    code, _ = watched.wait("on_close")[0]
    assert code == (1001 if ending == "close frame" else 1006)
    assert prices(watched) == list(range(1, 301))


@every_way
@pytest.mark.parametrize(
    "begun", [b"\x81", b"\x81\x7e", b"\x81\x7f\0\0\0", b'\x81\x30{"c', b"\x89", b"\x01\x05{", b"\x89\0\x81"]
)
def test_half_a_frame_and_then_silence(fault: Fault, way: str, begun: bytes) -> None:
    started = time.monotonic()
    _, watched = connect(fault, way, saying(quotes(1, 2) + begun), io_timeout=0.3)
    assert "middle of a frame" in str(watched.wait("on_error")[0])
    assert time.monotonic() - started < 0.3 + MACHINE
    assert prices(watched)[:2] == [1, 2]
    watched.wait("on_connect", 2)


@every_way
def test_a_server_that_has_gone_without_a_word(fault: Fault, way: str) -> None:
    stay = threading.Event()

    def serve(peer: Peer) -> None:
        accept_upgrade(peer, more=quotes(1, 5))
        stay.wait(2 * DEADLINE)

    client, watched = connect(fault, way, serve, ping_interval=0.2, ping_timeout=0.2)
    watched.wait("on_quote", 5)
    quiet = time.monotonic()
    code, reason = watched.wait("on_close")[0]
    assert (code, "ping" in reason) == (1006, True)
    assert time.monotonic() - quiet < 0.4 + MACHINE
    client.close()
    stay.set()


# --- close() -----------------------------------------------------------------------------------------------------


def flood(peer: Peer) -> None:
    accept_upgrade(peer)
    block = quotes(1, 200)
    while True:
        peer.sendall(block)


@every_way
def test_close_during_a_flood(fault: Fault, way: str) -> None:
    client, watched = connect(fault, way, flood)
    watched.wait("on_quote", 1_000)
    took = fault.close(client)
    assert took < 1.0 + MACHINE
    assert len(prices(watched)) == client.stats.quotes_delivered
    fault.measured("close() in a flood: {} s", took)


@every_way
def test_close_from_a_callback_during_a_flood(fault: Fault, way: str) -> None:
    closed = threading.Event()
    client, _ = connect(fault, way, flood, wait=False, names=("on_error",))

    def close(quote: object) -> None:
        client.close()
        closed.set()

    client.on_quote = close
    client.connect(DEADLINE)
    assert closed.wait(DEADLINE)


@every_way
@pytest.mark.parametrize("begun", [b"\x81", b'\x81\x30{"c', b"\x89\x05"], ids=["byte", "text", "ping"])
def test_close_in_the_middle_of_a_frame(fault: Fault, way: str, begun: bytes) -> None:
    client, watched = connect(fault, way, saying(quote(1) + begun))
    watched.wait("on_quote")
    assert fault.close(client) < 1.0 + MACHINE


# --- the way back ------------------------------------------------------------------------------------------------


def without_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_TRIAL_RESULT", [])
    library.fits.cache_clear()


@pytest.mark.skipif(not fast_path_allowed(), reason="the library is not tried then")
@fast_ways
def test_an_unknown_library_reads_by_itself(fault: Fault, way: str, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[bool] = []
    take = library.Frames.take
    # Not the fixture: to undo it is to undo what holds the invariants as well.
    with contextlib.ExitStack() as stack:
        stack.callback(library.fits.cache_clear)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        without_the_fast_way(patch)
        patch.setattr(library.Frames, "take", lambda self, **options: asked.append(True) or take(self, **options))
        stream = quotes(1, 10) + halves(11, frame("p", opcode=PING)) + quote(12) + close_frame(1001)
        _, watched = connect(fault, way, saying(stream))
        watched.wait("on_connect", 3)
        watched.wait("on_quote", 24)
        tried = len(asked)
        assert prices(watched)[:24] == [*range(1, 13), *range(1, 13)]
        assert watched.of("on_close")[0][0] == 1001
    warned = [record for record in caplog.records if "not as this package knows it" in record.getMessage()]
    assert [record.levelno for record in warned] == [logging.WARNING]
    assert tried <= 4, "only by the trial"


def test_the_library_of_today_fits() -> None:
    library.fits.cache_clear()
    assert library.fits()


@pytest.mark.parametrize("value", ["0", "off", " No ", "FALSE"])
def test_the_environment_turns_it_off(fault: Fault, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FIRSTOCK_WS_FAST_PATH", value)
    monkeypatch.setattr(library, "_Fast", None)
    _, watched = connect(fault, "plain", saying(quotes(1, 3)))
    watched.wait("on_quote", 3)
