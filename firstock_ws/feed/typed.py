"""Market frames decoded by msgspec straight into what a quote is made of, several times faster than through dicts.

Optional, and only for frames in which everything is of the types that the wire has: whatever is not is left to
`firstock_ws.protocol` and `firstock_ws.feed.market`, which take anything and say what is wrong. Of a frame that
both can read, both make the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, get_args, get_type_hints

import msgspec
from msgspec.structs import astuple, replace

from firstock_ws.feed.market import CLOSE_AGAIN, CLOSE_INDEX, MAX_LEVELS, PLAIN_LIMIT, TIMES, Entry
from firstock_ws.models._fields import market_time
from firstock_ws.models.market_state import (
    ASKS,
    BIDS,
    CLOSE,
    NUMBER_COUNT,
    STATE_NAMES,
    TIME_TEXT,
)
from firstock_ws.protocol import INSTRUMENT_KEY

_LENGTH = len(STATE_NAMES)
_NOTHING = (None,) * _LENGTH
_QUOTE_MARK = ord('"')
_LONGEST = 4_000
"""Bytes of an instrument's part of a frame; a longer one could hold a number that Python refuses to read."""
_MANY = 8
"""Objects in a frame from which on they are read together."""
_Number = int | float | None
# Floats are ints with binary noise: what would be rounded to 0, or may stand for "no value", is not plain.
_PositiveInt = Annotated[int, msgspec.Meta(gt=0, lt=PLAIN_LIMIT)]
_Positive = _PositiveInt | Annotated[float, msgspec.Meta(ge=1, lt=2**62)]
_Counted = Annotated[int, msgspec.Meta(ge=0, lt=PLAIN_LIMIT)] | Annotated[float, msgspec.Meta(ge=0, lt=2**62)]
_Time = Annotated[int, msgspec.Meta(ge=0)] | None
_Absent = Literal["\0"]
"""A field that may not be there at all: no value of it is good."""
_OTHER_FEEDS = ("norenordno", "brkname", "gamma")
"""With one of these the frame is of another feed."""
_EXCHANGE, _TOKEN = "c_exch_seg", "c_symbol"
_TIME: Callable[[Any], str] = attrgetter(TIME_TEXT)


class _PlainLevel(msgspec.Struct, gc=False, frozen=True):
    """A level that takes the place of whatever was there. Most are, and are used as they come."""

    price: _Positive
    quantity: _PositiveInt
    orders: _PositiveInt


class _AnyLevel(msgspec.Struct, gc=False, frozen=True):
    price: _Number = None
    quantity: _Number = None
    orders: _Number = None


_Levels = tuple[_PlainLevel, _PlainLevel, _PlainLevel, _PlainLevel, _PlainLevel]
"""A side as the wire has it, all of it plain."""
_LEVELS = len(get_args(_Levels))
if TYPE_CHECKING:
    # Bytes come there later.
    _Side = _Levels | bytes
else:
    _Side = _Levels


class _Sides(msgspec.Struct, gc=False):
    best_buy: _Levels | None = None
    best_sell: _Levels | None = None


_decode_sides = msgspec.json.Decoder(_Sides).decode


class _Whole(msgspec.Struct, gc=False, kw_only=True):
    """A `State` in which everything is known, and five levels of each side: what an object says that leaves
    nothing out, and what becomes of that by deltas.

    Where nobody reads an instrument's levels, the bytes that they were decoded from, and found good, are kept in
    their place, and decoded once more should somebody read them after all. Ten levels are half of what would have
    to stay in the processor's caches, and to be fetched again to be freed.

    Threads: any thread may be the first to read a side. There is no lock: each finds the bytes or the levels, and
    puts the same levels in their place. All else is done before others have the object.
    """

    # In the order of the wire, in which msgspec finds them sooner.
    c_exch_seg: str | None = None
    c_symbol: str | None = None
    i_last_traded_price: _Positive
    i_last_trade_quantity: _Counted
    i_last_trade_time: _PositiveInt
    i_average_trade_price: _Positive
    i_open_price: _Positive
    i_high_price: _Positive
    i_low_price: _Positive
    i_closing_price: _Positive
    close_price: _Positive | None = None
    i_volume_traded_today: _Counted
    i_total_tradevalue: _Counted
    i_total_buy_quantity: _Counted
    i_total_sell_quantity: _Counted
    i_open_interest: _Counted
    i_total_open_interest: _Counted
    i_lower_circuit_limit: _Positive
    i_upper_circuit_limit: _Positive
    i_yearly_low_price: _Positive
    i_yearly_high_price: _Positive
    best_buy: _Side
    best_sell: _Side
    i_feed_time: _PositiveInt
    c_exch_feed_time: str
    # Of other feeds.
    norenordno: _Absent = "\0"
    brkname: _Absent = "\0"
    gamma: _Absent = "\0"

    level_counts = (_LEVELS, _LEVELS)

    @property
    def bids(self) -> _Levels:
        side = self.best_buy
        return self._unpack(side, 0) if isinstance(side, bytes) else side

    @property
    def asks(self) -> _Levels:
        side = self.best_sell
        return self._unpack(side, 1) if isinstance(side, bytes) else side

    def _unpack(self, raw: bytes, wanted: int) -> _Levels:
        sides: tuple[_Levels, _Levels] = astuple(_decode_sides(raw))
        # A side may have come later than the other.
        if self.best_buy is raw:
            self.best_buy = sides[0]
        if self.best_sell is raw:
            self.best_sell = sides[1]
        return sides[wanted]

    @staticmethod
    def of(raw: bytes) -> _Whole:
        """Return what was once decoded from `raw`."""
        return _decode_whole(raw)

    def pack(self, raw: bytes) -> None:
        """Put the bytes of the object that this was decoded from in the place of its levels."""
        self.best_buy = self.best_sell = raw

    def merged(self, delta: dict[str, Any], raw: bytes, pack: bool) -> _Whole:
        if (BIDS in delta or ASKS in delta) and (pack or type(self.best_buy) is bytes):
            delta |= {name: raw for name in (BIDS, ASKS) if name in delta}
        return replace(self, **delta)


def _delta_decoder() -> Any:
    """Return a decoder of plain market objects, to dicts of what is in them."""
    fields = get_type_hints(_Whole, include_extras=True) | {_EXCHANGE: str, _TOKEN: str, CLOSE_AGAIN: _Positive}
    return msgspec.json.Decoder(TypedDict("_Delta", fields, total=False)).decode  # type: ignore[operator]


def _any_decoder() -> Any:
    """Return a decoder of market objects, to structs whose first fields are those of a `State`, in its order."""
    side = Annotated[tuple[_AnyLevel, ...], msgspec.Meta(max_length=MAX_LEVELS)] | None
    fields: list[Any] = [(name, _Time if name in TIMES else _Number, None) for name in STATE_NAMES[:NUMBER_COUNT]]
    fields += [(TIME_TEXT, str | None, None), (BIDS, side, None), (ASKS, side, None)]
    fields += [(CLOSE_AGAIN, _Number, None), (_EXCHANGE, str | None, None), (_TOKEN, str | None, None)]
    fields += [(name, _Absent, "\0") for name in _OTHER_FEEDS]
    return msgspec.json.Decoder(msgspec.defstruct("_Market", fields, gc=False)).decode


_SHORTEST_WHOLE = len(
    msgspec.json.encode(
        dict.fromkeys(STATE_NAMES, 1) | dict.fromkeys((BIDS, ASKS), [_PlainLevel(1, 1, 1)] * _LEVELS)
    )
)
"""Bytes of the shortest object that leaves nothing out; none is looked for in less."""
_decode_whole: Callable[[bytes], _Whole] = msgspec.json.Decoder(_Whole).decode
_decode_delta, _decode_any = _delta_decoder(), _any_decoder()
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


def _odd_close(update: tuple[Any, ...], again: Any) -> tuple[Any, ...]:
    """Return `update` with the closing price under whichever of its two names it came."""
    known = update[CLOSE_INDEX]
    if known and again and known != again:
        # They should be the same; which of them counts is not for here.
        raise _UnusualError
    return (*update[:CLOSE_INDEX], known or again, *update[CLOSE_INDEX + 1 :])


def _read_part(raw: bytes, key: str | None) -> Entry:
    """Return what one market object says.

    Args:
        raw: the object's bytes.
        key: its key, None if it is the whole frame.

    Raises:
        Exception: one of `_REFUSALS`; the object is no market object, or an unusual one.
    """
    if len(raw) > _LONGEST:
        raise _UnusualError
    if len(raw) >= _SHORTEST_WHOLE:
        try:
            whole = _decode_whole(raw)
        except msgspec.ValidationError as error:
            if "missing" not in str(error):
                # Then it is a value that is not plain. To find that out once more would cost as much as all else.
                return _read_odd(raw, key)
        else:
            if market_time(whole.c_exch_feed_time) is None:
                raise _UnusualError
            instrument = _instrument(whole.c_exch_seg, whole.c_symbol) if key is None else _keyed_instrument(key)
            return instrument, whole, raw
    try:
        delta = _decode_delta(raw)
    except msgspec.ValidationError:
        return _read_odd(raw, key)
    if CLOSE_AGAIN in delta and CLOSE not in delta:
        return _read_odd(raw, key)
    if TIME_TEXT in delta and market_time(delta[TIME_TEXT]) is None:
        raise _UnusualError
    if key is None:
        return _instrument(delta.get(_EXCHANGE), delta.get(_TOKEN)), delta, raw
    if len(delta) == (_EXCHANGE in delta):
        raise _UnusualError
    return _keyed_instrument(key), delta, raw


def _read_odd(raw: bytes, key: str | None) -> Entry:
    """Do the same for an object that is not plain."""
    record = _decode_any(raw)
    update = astuple(record)[:_LENGTH]
    text = update[NUMBER_COUNT]
    if text is not None and market_time(text) is None:
        raise _UnusualError
    if record.close_price is not None:
        update = _odd_close(update, record.close_price)
    if key is None:
        return _instrument(record.c_exch_seg, record.c_symbol), update, raw
    if update == _NOTHING and record.c_symbol is None:
        raise _UnusualError
    return _keyed_instrument(key), update, raw


def _read_many(parts: dict[str, msgspec.Raw]) -> list[Entry]:
    """Return what the objects of a keyed frame say, sooner than one by one as far as they leave nothing out.

    Raises:
        Exception: one of `_REFUSALS`, as `_read_part` does.
    """
    raws = list(map(bytes, parts.values()))
    wholes: list[_Whole] = []
    if len(raws[0]) >= _SHORTEST_WHOLE and max(map(len, raws)) <= _LONGEST:
        with suppress(msgspec.ValidationError):
            # Keeps those before the first that is none.
            wholes.extend(map(_decode_whole, raws))
        if None in map(market_time, map(_TIME, wholes)):
            raise _UnusualError
    done = len(wholes)
    entries: list[Entry] = list(zip(map(_keyed_instrument, parts), wholes, raws, strict=False))
    entries += map(_read_part, raws[done:], list(parts)[done:])
    return entries


# OverflowError and OSError: a time that is none. msgspec's own errors are not ValueErrors in all of its versions.
_REFUSALS = (_UnusualError, msgspec.MsgspecError, ValueError, IndexError, RecursionError, OverflowError, OSError)


def read_frames(frames: Iterator[bytes], entries: list[Entry], enough: int) -> bytes | None:
    """Read usual market frames; return the first frame that is none, or None.

    Args:
        frames: taken from up to that frame, or till there are enough entries.
        entries: gets what the frames hold, in their order.
        enough: how many entries are enough.
    """
    for frame in frames:
        try:
            # Not all of the text is looked at by the decoders; whether it is UTF-8 at all must be.
            if not frame.isascii():
                return frame
            if frame[frame.find(b":") - 1] == _QUOTE_MARK:
                entries.append(_read_part(frame, None))
            else:
                parts = _decode_keyed(frame)
                if not parts:
                    return frame
                if len(parts) >= _MANY:
                    entries += _read_many(parts)
                else:
                    entries += [_read_part(bytes(raw), key) for key, raw in parts.items()]
        except _REFUSALS:
            return frame
        if len(entries) >= enough:
            return None
    return None
