"""Market frames decoded by msgspec straight into what a quote is made of, several times faster than through dicts.

Optional, and only for frames in which everything is of the types that the wire has: whatever is not is left to
`firstock_ws.protocol` and `firstock_ws.market`, which take anything and say what is wrong. Of a frame that both
can read, both make the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from firstock_ws.market import (
    ASKS,
    BIDS,
    CLOSE_AGAIN,
    MAX_LEVELS,
    PLAIN_LIMIT,
    TIME_TEXT,
    TIMES,
    WIRE_NUMBERS,
    Entry,
    MarketUpdate,
    clock_text,
)
from firstock_ws.models.quote import NUMBER_COUNT, STATE_NAMES
from firstock_ws.protocol import INSTRUMENT_KEY

_KEYED = re.compile(rb'\s*\{\s*"[A-Za-z][A-Za-z0-9_]*:')
_CLOSE = STATE_NAMES.index("close")

_Number = int | float | None
_Time = Annotated[int, msgspec.Meta(ge=0)] | None
_Counted = Annotated[int, msgspec.Meta(gt=0, lt=PLAIN_LIMIT)]


class _WholeLevel(msgspec.Struct, gc=False):
    """A level that takes the place of whatever was there. Most are, and are used as they come."""

    price: _Counted
    quantity: _Counted
    orders: _Counted


class _AnyLevel(msgspec.Struct, gc=False):
    price: _Number = None
    quantity: _Number = None
    orders: _Number = None


def _decoder(level: type[msgspec.Struct]) -> Any:
    """Return a decoder of market objects whose first fields are the numbers of a `State`, in its order."""
    wire_name = {name: wire for wire, name in WIRE_NUMBERS.items()}
    numbers = [wire_name[name] for name in STATE_NAMES[:NUMBER_COUNT]]
    side = Annotated[list[level], msgspec.Meta(max_length=MAX_LEVELS)] | None  # type: ignore[valid-type]
    fields: list[tuple[str, Any, Any]] = [(name, _Time if name in TIMES else _Number, None) for name in numbers]
    fields += [(CLOSE_AGAIN, _Number, None), (TIME_TEXT, str | None, None), (BIDS, side, None), (ASKS, side, None)]
    fields += [("c_exch_seg", str | None, None), ("c_symbol", str | None, None)]
    # A frame with one of these is of another feed.
    fields += [(name, Any, UNSET) for name in ("norenordno", "brkname", "gamma")]
    return msgspec.json.Decoder(msgspec.defstruct("_Market", fields, gc=False)).decode


_decode_whole = _decoder(_WholeLevel)
_decode_any = _decoder(_AnyLevel)
_decode_keyed = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@lru_cache(maxsize=16_384)
def _instrument(exchange: str, token: str) -> str | None:
    if not exchange or not token or exchange.strip() != exchange or token.strip() != token:
        return None
    return f"{exchange}:{token}"


@lru_cache(maxsize=16_384)
def _is_key(text: str) -> bool:
    return INSTRUMENT_KEY.fullmatch(text) is not None


class _UnusualError(Exception):
    """The frame has to go the long way."""


def _update(raw: bytes | msgspec.Raw) -> tuple[Any, MarketUpdate]:
    """Return the decoded object, and what it says."""
    whole = True
    try:
        record = _decode_whole(raw)
    except msgspec.ValidationError:
        whole = False
        record = _decode_any(raw)
    if record.norenordno is not UNSET or record.brkname is not UNSET or record.gamma is not UNSET:
        raise _UnusualError
    numbers = astuple(record)[:NUMBER_COUNT]
    again = record.close_price
    if again and again != numbers[_CLOSE]:
        if numbers[_CLOSE]:
            # They should be the same; which of them counts is not for here.
            raise _UnusualError
        numbers = (*numbers[:_CLOSE], again, *numbers[_CLOSE + 1 :])
    text = record.c_exch_feed_time
    return record, (numbers, clock_text(text) if text else None, record.best_buy, record.best_sell, whole)


def _keyed(frame: bytes) -> list[Entry]:
    entries: list[Entry] = []
    for key, raw in _decode_keyed(frame).items():
        record, update = _update(raw)
        if not _is_key(key) or (record.c_symbol is None and update[:4] == _NOTHING):
            raise _UnusualError
        entries.append((key, update, bytes(raw)))
    return entries


_NOTHING = ((None,) * NUMBER_COUNT, None, None, None)


def read_frame(frame: bytes) -> list[Entry] | None:
    """Return what a market frame holds, in its order; None if it is no market frame, or an unusual one."""
    if not frame.isascii():
        # Not all of the text is looked at here; whether it is UTF-8 at all must be.
        return None
    try:
        if _KEYED.match(frame) is not None:
            return _keyed(frame)
        record, update = _update(frame)
        exchange, token = record.c_exch_seg, record.c_symbol
        instrument = _instrument(exchange, token) if exchange is not None and token is not None else None
        return [(instrument, update, frame)] if instrument is not None else None
    except (_UnusualError, ValueError, RecursionError, OverflowError, OSError):
        # Also msgspec's errors, and those of a time that is none.
        return None
