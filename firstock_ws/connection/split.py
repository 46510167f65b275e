"""Cuts WebSocket frames out of what was read, many at a time."""

from __future__ import annotations

import struct

SHORTEST = 2
"""Bytes of the shortest frame."""
FINAL_TEXT = 0x81
"""First byte of a text frame that is a message by itself."""
_MASKED = 0x80
_MIDDLE = struct.Struct(">HH")
"""The head of a frame of 126 to 65,535 bytes."""
_MIDDLE_TEXT = FINAL_TEXT << 8 | 126


def split(data: bytes, limit: int) -> tuple[list[bytes], int, int, bool]:
    """Cut whole, final, unmasked text frames off the front of `data`.

    Args:
        limit: bytes that a payload may have.

    Returns:
        Their payloads; how many bytes of `data` they took; how many there must be, behind those, to go on; whether
        what follows is something else.
    """
    texts: list[bytes] = []
    at, end = 0, len(data)
    while True:
        # Nearly all are of this kind: what holds for each follows below, at twice the time.
        while end - at >= _MIDDLE.size:
            head, length = _MIDDLE.unpack_from(data, at)
            stop = at + _MIDDLE.size + length
            if head != _MIDDLE_TEXT or length > limit or stop > end:
                break
            texts.append(data[at + _MIDDLE.size : stop])
            at = stop
        if end - at < SHORTEST:
            return texts, at, SHORTEST, False
        length = data[at + 1]
        if data[at] != FINAL_TEXT or length & _MASKED:
            return texts, at, 0, True
        start = at + 2
        if length >= 126:
            start += 2 if length == 126 else 8
            if start > end:
                return texts, at, start - at, False
            length = int.from_bytes(data[at + 2 : start], "big")
        if length > limit:
            return texts, at, 0, True
        stop = start + length
        if stop > end:
            return texts, at, stop - at, False
        texts.append(data[start:stop])
        at = stop
