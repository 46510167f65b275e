"""Cutting frames out of bytes, against a plain reading of the protocol, however the bytes come."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import websocket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstock_ws.connection import library
from firstock_ws.connection.library import Frames, Messages, TooLargeError
from firstock_ws.connection.split import split

LIMIT = 70_000
ANY_MACHINE = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Frame = tuple[int, bytes]
"""The first byte of a frame, and its payload."""


def built(first: int, payload: bytes, width: int, mask: bytes) -> bytes:
    """Return a frame whose length is told in `width` bytes at least."""
    size = len(payload)
    width = max(width, 1 if size < 126 else 2 if size < 1 << 16 else 8)
    flag = 0x80 if mask else 0
    told = bytes([flag | size]) if width == 1 else bytes([flag | (126 if width == 2 else 127)])
    told += b"" if width == 1 else size.to_bytes(width, "big")
    if mask:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([first]) + told + mask + payload


payloads = st.one_of(
    st.binary(max_size=10),
    st.sampled_from([b"x" * size for size in (0, 1, 124, 125, 126, 127, 200, 65_535, 65_536, 65_537)]),
)
TEXT, PING = 0x81, 0x89
texts = st.builds(
    lambda payload, width, mask: (TEXT, payload, width, mask),
    payloads,
    st.sampled_from([1, 1, 2, 8]),
    st.sampled_from([b"", b"", b"", b"abcd", b"\0\0\0\0"]),
)
others = st.builds(
    lambda first, payload, mask: (first, payload, 1, mask),
    st.sampled_from([PING, 0x8A, 0x82]),
    st.binary(max_size=125),
    st.sampled_from([b"", b"abcd"]),
)
streams = st.lists(st.one_of(texts, texts, others), max_size=8)
Parts = list[tuple[int, bytes, int, bytes]]


class Line:
    """Bytes that come in pieces; an empty piece stands for one that is of TLS alone."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def recv_into(self, buffer: memoryview) -> int:
        if not self._pieces[0]:
            self._pieces.pop(0)
            raise ssl.SSLWantReadError
        piece = self._take(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def recv(self, size: int) -> bytes:
        while not self._pieces[0]:
            self._pieces.pop(0)
        return self._take(size)

    def _take(self, size: int) -> bytes:
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    @property
    def over(self) -> bool:
        return not any(self._pieces)


def taken(pieces: list[bytes]) -> Iterator[Frame]:
    """Yield what a reader of `pieces` gets, as the loop of the fast way reads."""
    line = Line(list(pieces))
    frames, messages = Frames(line.recv, line.recv_into, LIMIT), Messages(LIMIT)
    while not (frames.stuck and line.over):
        yield from ((TEXT, text) for text in frames.take(between_messages=not messages.recving_frames))
        if frames.unusual:
            frame = frames.recv_frame()
            yield frame.fin << 7 | frame.opcode, frame.data
        assert not frames.stuck or (frames.began_at is None) == (frames._end == frames._at), (
            "the clock of half a frame runs"
        )
    assert frames._end == frames._at


def cut(data: bytes, at: list[int]) -> list[bytes]:
    steps = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(steps)]


@ANY_MACHINE
@given(streams, st.lists(st.integers(0, 400_000) | st.integers(0, 300), max_size=12))
def test_frames_come_whole_wherever_they_are_cut(parts: Parts, places: list[int]) -> None:
    data = b"".join(built(*part) for part in parts)
    expected = [(first, payload) for first, payload, _, _ in parts]
    assert list(taken(cut(data, places))) == expected
    assert list(taken([data])) == expected


ALL_WIDTHS: Parts = [
    (TEXT, b"a", 1, b""),
    (TEXT, b"", 1, b""),
    (TEXT, b"bc", 2, b""),
    (PING, b"p", 1, b""),
    (TEXT, b"def", 8, b""),
    (TEXT, b"g" * 126, 1, b""),
    (TEXT, b"m", 1, b"abcd"),
    (0x82, b"binary", 1, b""),
    (TEXT, b"h", 1, b""),
]


def test_each_cut_and_each_pair_of_cuts() -> None:
    data = b"".join(built(*part) for part in ALL_WIDTHS)
    expected = [(first, payload) for first, payload, _, _ in ALL_WIDTHS]
    for places in itertools.combinations(range(len(data) + 1), 2):
        assert list(taken(cut(data, list(places)))) == expected, places
    assert list(taken([data[at : at + 1] for at in range(len(data))])) == expected


def reference(data: bytes, limit: int) -> tuple[list[bytes], int, int, bool]:
    """Do as `split` does, one frame at a time, as RFC 6455 has it."""
    texts: list[bytes] = []
    rest = data
    while True:
        at = len(data) - len(rest)
        if len(rest) < 2:
            return texts, at, 2, False
        if rest[0] != TEXT or rest[1] > 127:
            return texts, at, 0, True
        header = {126: 4, 127: 10}.get(rest[1], 2)
        if len(rest) < header:
            return texts, at, header, False
        size = int(rest[2:header].hex(), 16) if header > 2 else rest[1]
        if size > limit:
            return texts, at, 0, True
        if len(rest) < header + size:
            return texts, at, header + size, False
        texts.append(rest[header : header + size])
        rest = rest[header + size :]


@ANY_MACHINE
@given(streams, st.integers(0, 200), st.binary(max_size=12), st.sampled_from([-1, 0, 1, 125, 126, LIMIT]))
def test_split_does_as_the_protocol_says(parts: Parts, short: int, tail: bytes, limit: int) -> None:
    data = b"".join(built(*part) for part in parts) + tail
    data = data[: max(0, len(data) - short)]
    assert split(data, limit) == reference(data, limit)


@given(st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"\x81")), st.integers(-1, 20))
def test_split_of_any_bytes(data: bytes, limit: int) -> None:
    assert split(data, limit) == reference(data, limit)


# --- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 40, (1 << 64) - 1])
def test_a_frame_that_is_too_long_is_refused_before_its_payload_is_asked_for(size: int) -> None:
    line = Line([built(TEXT, b"a", 1, b"") + b"\x81\x7f" + size.to_bytes(8, "big")])
    frames = Frames(line.recv, line.recv_into, LIMIT)
    assert frames.take(between_messages=True) == [b"a"]
    assert frames.unusual
    with pytest.raises(TooLargeError):
        frames.recv_frame()


def test_a_text_among_pieces_is_left_to_the_library() -> None:
    line = Line([built(TEXT, b"", 1, b"") + built(TEXT, b"a", 1, b"")])
    frames = Frames(line.recv, line.recv_into, LIMIT)
    assert frames.take(between_messages=False) == []
    assert frames.unusual


def test_the_end_is_an_error_of_the_library() -> None:
    frames = Frames(lambda size: b"", lambda buffer: 0, LIMIT)
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        frames.take(between_messages=True)


def test_a_long_frame_in_little_pieces_is_not_copied_over_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(library, "split", lambda data, limit: looked.append(len(data)) or split(data, limit))
    data = built(TEXT, b"x" * 60_000, 1, b"")
    assert [text for _, text in taken([data[at : at + 10] for at in range(0, len(data), 10)])] == [b"x" * 60_000]
    assert len(looked) <= 3


# --- what the keeper looks at ------------------------------------------------------------------------------------


def test_the_clock_of_a_frame_runs_from_its_first_byte_to_its_last() -> None:
    text, ping = built(TEXT, b"abc", 1, b""), built(PING, b"abc", 1, b"")
    line = Line([text + text[:1], text[1:3], text[3:] + ping[:1], ping[1:], text])
    frames: Any = Frames(line.recv, line.recv_into, LIMIT)
    assert frames.began_at is None
    frames.take(between_messages=True)
    began = frames.began_at
    assert (began is not None, frames.read) == (True, 1)
    frames.take(between_messages=True)
    assert frames.began_at == began, "it goes on"
    assert frames._end - frames._at == 3
    frames.take(between_messages=True)
    assert frames.began_at is not None
    assert frames.began_at != began, "another has begun"
    frames.take(between_messages=True)
    assert frames.unusual
    frames.recv_frame()
    assert frames.began_at is None
    frames.take(between_messages=True)
    assert frames.began_at is None
