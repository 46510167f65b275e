"""Binary frames of two other Indian brokers, for their own clients: the richest kind that each of them sends."""

from __future__ import annotations

import random
import struct

from benchmarks.frames import SEED

KITE_PACKET = 184
"""Bytes of a packet in Kite's mode "full"."""
SMART_PACKET = 379
"""Bytes of a packet in SmartAPI's mode 3, "snap quote"."""
_KITE_EQUITY = 1
_SNAP_QUOTE = 3
_NSE = 1
_LEVELS = 5
_MORNING = 1_767_325_500


def kite_tokens(count: int) -> list[int]:
    """Kite's numbers for `count` instruments; the low byte is the segment, and decides how prices are read."""
    return [(1_000 + number) << 8 | _KITE_EQUITY for number in range(count)]


def kite_frames(instruments: int, packets: int, frames: int) -> list[bytes]:
    """`frames` frames of `packets` packets each, over all instruments in turn."""
    rng = random.Random(SEED)
    numbers = kite_tokens(instruments)
    made = []
    for frame in range(frames):
        parts = [struct.pack(">H", packets)]
        for place in range(packets):
            packet = _kite_packet(rng, numbers[(frame * packets + place) % instruments])
            parts += [struct.pack(">H", len(packet)), packet]
        made.append(b"".join(parts))
    return made


def _kite_packet(rng: random.Random, token: int) -> bytes:
    close = rng.randint(10_000, 400_000)
    last = close + rng.randint(-500, 500)
    head = struct.pack(
        ">16I",
        *(token, last, rng.randint(1, 900), last, rng.randint(10_000, 9_000_000)),
        *(rng.randint(1, 900_000), rng.randint(1, 900_000)),
        *(close + 20, close + 900, close - 900, close),
        *(_MORNING, 0, 0, 0, _MORNING),
    )
    levels = b"".join(
        struct.pack(">IIHxx", rng.randint(1, 20_000), last + 5 * step, rng.randint(1, 90))
        for step in (-1, -2, -3, -4, -5, 1, 2, 3, 4, 5)
    )
    packet = head + levels
    assert len(packet) == KITE_PACKET
    return packet


def smart_frames(instruments: int, frames: int) -> list[bytes]:
    """`frames` frames; SmartAPI sends one packet in each."""
    rng = random.Random(SEED)
    return [_smart_packet(rng, str(1_000 + frame % instruments)) for frame in range(frames)]


def _smart_packet(rng: random.Random, token: str) -> bytes:
    close = rng.randint(10_000, 400_000)
    last = close + rng.randint(-500, 500)
    head = struct.pack("<BB25sqq", _SNAP_QUOTE, _NSE, token.encode(), rng.randint(1, 10**9), _MORNING * 1_000)
    day = struct.pack(
        "<4q2d4q",
        *(last, rng.randint(1, 900), last, rng.randint(10_000, 9_000_000)),
        *(float(rng.randint(1, 900_000)), float(rng.randint(1, 900_000))),
        *(close + 20, close + 900, close - 900, close),
    )
    contract = struct.pack("<3q", _MORNING, 0, 0)
    book = b"".join(
        struct.pack("<HqqH", side, rng.randint(1, 20_000), last + 5 * step, rng.randint(1, 90))
        for side in (0, 1)
        for step in range(1, _LEVELS + 1)
    )
    limits = struct.pack("<4q", close * 11 // 10, close * 9 // 10, close * 13 // 10, close * 7 // 10)
    packet = head + day + contract + book + limits
    assert len(packet) == SMART_PACKET
    return packet
