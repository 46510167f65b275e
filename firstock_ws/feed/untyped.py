"""Usual market frames decoded with the standard library's json: the way for when msgspec is not installed.

Only a shortcut: whatever is unusual is left to `firstock_ws.protocol`, and of a frame that both can read, both
make the same.
"""

from __future__ import annotations

import json
from typing import Any

from firstock_ws.feed.market import Entry, read_market
from firstock_ws.protocol import Kind, parts

_decoder = json.JSONDecoder()
_OTHER_FEEDS = ("norenordno", "brkname", "gamma")


def _entry(instrument: str, fields: dict[str, Any], raw: bytes | dict[str, Any]) -> Entry | None:
    bad: list[str] = []
    update, plain = read_market(fields, bad)
    return None if bad else (instrument, update, plain, raw)


def read_frame(frame: bytes) -> list[Entry] | None:
    """Return what a market frame holds, in its order; None if it is no market frame, or an unusual one."""
    try:
        text = frame.decode()
        # Not json.loads, which would look for white space at both ends, for a tenth of the whole cost.
        message, end = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if end != len(text) or not isinstance(message, dict):
        return None
    exchange, token = message.get("c_exch_seg"), message.get("c_symbol")
    if type(exchange) is str and type(token) is str and not any(name in message for name in _OTHER_FEEDS):
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
