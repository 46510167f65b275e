"""Usual market frames decoded with the standard library's json: the way for when msgspec is not installed.

Only a shortcut: whatever is unusual is left to `firstock_ws.protocol`, and of a frame that both can read, both
make the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from firstock_ws.feed.market import Entry, read_market
from firstock_ws.protocol import Kind, parts

_decoder = json.JSONDecoder()
_OTHER_FEEDS = ("norenordno", "brkname", "gamma")


def _entry(instrument: str, fields: dict[str, Any], raw: bytes | dict[str, Any]) -> Entry | None:
    bad: list[str] = []
    update = read_market(fields, bad)
    return None if bad else (instrument, update, raw)


def read_frames(frames: Iterator[bytes], entries: list[Entry], enough: int) -> bytes | None:
    """Do as `firstock_ws.feed.typed.read_frames` does, with what Python brings along."""
    for frame in frames:
        read = _read_frame(frame)
        if read is None:
            return frame
        entries += read
        if len(entries) >= enough:
            return None
    return None


def _read_frame(frame: bytes) -> list[Entry] | None:
    try:
        text = frame.decode()
        # Not json.loads, which would look for white space at both ends, for a tenth of the whole cost.
        message, end = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if end != len(text) or not isinstance(message, dict):
        return None
    exchange, token = message.get("c_exch_seg"), message.get("c_symbol")
    if type(exchange) is str and type(token) is str and message.keys().isdisjoint(_OTHER_FEEDS):
        exchange, token = exchange.strip(), token.strip()
        # The bytes, not the dict, are kept in the quote: they are a quarter of its size, and seldom looked at.
        entry = _entry(f"{exchange}:{token}", message, frame) if exchange and token else None
        return [entry] if entry is not None else None
    entries: list[Entry] = []
    for part in parts(message):
        entry = _entry(part.instrument, part.fields, part.fields) if part.kind is Kind.MARKET else None
        if entry is None:
            return None
        entries.append(entry)
    return entries or None
