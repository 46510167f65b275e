"""Market frames decoded by msgspec straight into what a quote is made of, several times faster than through dicts.

Optional, and only for frames in which everything is of the types that the wire has: whatever is not is left to
`firstock_ws.protocol` and `firstock_ws.feed.market`, which take anything and say what is wrong. Of a frame that
both can read, both make the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import astuple

from firstock_ws.feed.market import (
    ASKS,
    BIDS,
    CLOSE,
    CLOSE_AGAIN,
    MAX_LEVELS,
    PLAIN_LIMIT,
    TIME_TEXT,
    TIMES,
    WIRE_NUMBERS,
    Entry,
    MarketUpdate,
)
from firstock_ws.models._fields import market_time
from firstock_ws.models.quote import NO_ZERO_COUNT, NUMBER_COUNT, STATE_NAMES
from firstock_ws.protocol import INSTRUMENT_KEY

_LENGTH = len(STATE_NAMES)
_NOTHING = (None,) * _LENGTH
_QUOTE_MARK = ord('"')
_LONGEST = 4_000
"""Bytes of an instrument's part of a frame; a longer one could hold a number that Python refuses to read."""

_Number = int | float | None
# Floats are ints with binary noise: what would be rounded to 0, or may stand for "no value", is not plain.
_PositiveInt = Annotated[int, msgspec.Meta(gt=0, lt=PLAIN_LIMIT)]
_Positive = _PositiveInt | Annotated[float, msgspec.Meta(ge=1, lt=2**62)]
_Counted = Annotated[int, msgspec.Meta(ge=0, lt=PLAIN_LIMIT)] | Annotated[float, msgspec.Meta(ge=0, lt=2**62)]
_Time = Annotated[int, msgspec.Meta(ge=0)]
_Absent = Literal["\0"]
"""A field that may not be there at all: no value of it is good."""


class _PlainLevel(msgspec.Struct, gc=False, frozen=True):
    """A level that takes the place of whatever was there. Most are, and are used as they come."""

    price: _Positive
    quantity: _PositiveInt
    orders: _PositiveInt


class _AnyLevel(msgspec.Struct, gc=False, frozen=True):
    price: _Number = None
    quantity: _Number = None
    orders: _Number = None


def _decoder(level: type[msgspec.Struct], price: Any, quantity: Any, time: Any) -> Any:
    """Return a decoder of market objects whose first fields are those of a `State`, in its order."""
    wire_names = {name: wire for wire, name in WIRE_NUMBERS.items()}
    side = Annotated[tuple[level, ...], msgspec.Meta(max_length=MAX_LEVELS)] | None  # type: ignore[valid-type]
    fields: list[tuple[str, Any, Any]] = []
    for index, name in enumerate(STATE_NAMES[:NUMBER_COUNT]):
        wire = wire_names[name]
        kind = time if wire in TIMES else price if index < NO_ZERO_COUNT else quantity
        fields.append((wire, kind | None, None))
    fields += [(TIME_TEXT, str | None, None), (BIDS, side, None), (ASKS, side, None)]
    fields += [(CLOSE_AGAIN, price | None, None), ("c_exch_seg", str | None, None), ("c_symbol", str | None, None)]
    # With one of these the frame is of another feed.
    fields += [(name, _Absent, "\0") for name in ("norenordno", "brkname", "gamma")]
    return msgspec.json.Decoder(msgspec.defstruct("_Market", fields, gc=False)).decode


_decode_plain = _decoder(_PlainLevel, _Positive, _Counted, _PositiveInt)
_decode_any = _decoder(_AnyLevel, _Number, _Number, _Time)
_decode_keyed = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _UnusualError(Exception):
    """The frame has to go the long way."""


@lru_cache(maxsize=16_384)
def _instrument(exchange: str | None, token: str | None) -> str:
    if not exchange or not token or exchange.strip() != exchange or token.strip() != token:
        raise _UnusualError
    return f"{exchange}:{token}"


@lru_cache(maxsize=16_384)
def _keyed_instrument(text: str) -> str:
    """Return `text`, as the same object each time: tables find that faster than an equal one."""
    if INSTRUMENT_KEY.fullmatch(text) is None:
        raise _UnusualError
    return text


def _odd_close(update: MarketUpdate, again: Any) -> MarketUpdate:
    """Return `update` with the closing price under whichever of its two names it came."""
    if update[CLOSE] and again and update[CLOSE] != again:
        # They should be the same; which of them counts is not for here.
        raise _UnusualError
    return (*update[:CLOSE], update[CLOSE] or again, *update[CLOSE + 1 :])


def read_frame(frame: bytes) -> list[Entry] | None:
    """Return what a market frame holds, in its order; None if it is no market frame, or an unusual one."""
    # Not all of the text is looked at by the decoders; whether it is UTF-8 at all must be.
    if not frame.isascii():
        return None
    entries: list[Entry] = []
    try:
        flat = frame[frame.find(b":") - 1] == _QUOTE_MARK
        parts: Iterable[tuple[str | None, Any]] = ((None, frame),) if flat else _decode_keyed(frame).items()
        # No function of its own for a part: most frames have one, and the call would be felt.
        for key, raw in parts:
            if len(raw) > _LONGEST:
                return None
            plain = True
            try:
                record = _decode_plain(raw)
            except msgspec.ValidationError:
                plain = False
                record = _decode_any(raw)
            update = astuple(record)[:_LENGTH]
            text = update[NUMBER_COUNT]
            if text is not None and market_time(text) is None:
                return None
            if record.close_price is not None and not (plain and update[CLOSE]):
                update = _odd_close(update, record.close_price)
            if key is None:
                entries.append((_instrument(record.c_exch_seg, record.c_symbol), update, plain, raw))
            elif update == _NOTHING and record.c_symbol is None:
                return None
            else:
                entries.append((_keyed_instrument(key), update, plain, bytes(raw)))
    except (_UnusualError, ValueError, IndexError, RecursionError, OverflowError, OSError):
        # ValueError: also msgspec's own. OverflowError and OSError: a time that is none.
        return None
    return entries or None
