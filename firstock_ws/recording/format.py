"""The lines of a recording: JSON objects, one for each thing that happened, in order.

Every line begins with ``{"t":...,"w":...``: the monotonic and the wall clock of the computer that recorded,
both in nanoseconds. What follows says what happened:

- ``"frame"``: a usual market frame, as it came (any JSON reader takes the line as it is);
- ``"text"``, ``"base64"``: any other text frame, the second where it is no UTF-8; ``"told"`` says what became of
  the order and position updates in it: true delivered, false held back, a number: delivered with that filled
  quantity;
- ``"binary"``: a binary frame, in base64;
- ``"event"``: a lifecycle callback, with ``"args"``, and the ``"state"`` of the client;
- ``"book"``: an order or a position out of the broker's books that was delivered, and in which way;
- ``"afresh"``: a new connection begins, merging starts over nothing;
- ``"wanted"``: a call of subscribe or its like, with ``"tokens"``, and the ``"symbols"`` that are known of them;
- ``"recording"``: the version of this format, and all that was known at that point. Every file begins with one,
  and there is one wherever a recorder began anew;
- ``"lost"``: what the disk was too slow for; such a line comes just before the next ``"recording"``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from firstock_ws import errors
from firstock_ws._secrets import REDACTOR, TELLING
from firstock_ws.errors import FirstockError, RecordingError
from firstock_ws.feed.book import Frozen
from firstock_ws.models import IST, OrderUpdate, PositionUpdate
from firstock_ws.models.market_state import Level, MarketState, portable
from firstock_ws.taps import Decision, Odd

VERSION = 1
_FRAME = b',"frame":'
_HEAD_LENGTH = 64
"""Bytes within which the name of what happened begins."""
EVENTS = ("on_connect", "on_close", "on_reconnect", "on_noreconnect", "on_error")
"""Lifecycle callbacks: all that an ``"event"`` may call."""
_KINDS = ("event", "book", "afresh", "wanted", "recording", "lost", "binary")


class Moment(NamedTuple):
    """When something happened, by both clocks of the computer, nanoseconds."""

    clock: int
    wall: int


class Record(NamedTuple):
    """One thing that happened."""

    kind: str
    """``"frame"`` for a text frame, or another name of the list above (but ``"text"`` and ``"base64"``)."""
    clock: int
    """Monotonic time, nanoseconds; counts only within what one recorder wrote."""
    wall: int
    """Epoch nanoseconds."""
    frame: bytes
    """What came, of a text or binary frame."""
    decisions: tuple[Decision, ...]
    """What became of the order and position updates in a frame."""
    values: dict[str, Any]
    """The line as it was decoded, of all but usual market frames."""

    @property
    def time(self) -> datetime:
        """When it happened, IST."""
        return moment_of(self.wall)


def moment_of(wall: int) -> datetime:
    """Return epoch nanoseconds as a time in IST, down to the microsecond."""
    seconds, rest = divmod(wall, 1_000_000_000)
    return datetime.fromtimestamp(seconds, IST).replace(microsecond=rest // 1_000)


# --- writing ---------------------------------------------------------------------------------------------


def redacted(text: str) -> str:
    """Return `text` without a jKey in it. One of a few letters stays: it may be a word like any other."""
    return REDACTOR.redact(text, least=TELLING)


def line(moment: Moment, values: Mapping[str, Any]) -> bytes:
    """Return the line of anything but a usual market frame."""
    return json.dumps({"t": moment.clock, "w": moment.wall, **values}, separators=(",", ":")).encode() + b"\n"


def frame_lines(moment: Moment, frames: Sequence[bytes], odd: Sequence[Odd]) -> Iterator[bytes]:
    """Yield the lines of text frames; `odd` are those among them that are no usual market frames, in order."""
    head = b'{"t":%d,"w":%d' % moment + _FRAME
    waiting = iter(odd)
    next_odd = next(waiting, None)
    for frame in frames:
        if next_odd is not None and frame is next_odd.frame:
            yield _odd_line(moment, next_odd)
            next_odd = next(waiting, None)
        elif b"\n" in frame:
            yield _odd_line(moment, Odd(frame))
        else:
            yield head + frame + b"}\n"


def _odd_line(moment: Moment, odd: Odd) -> bytes:
    told = {"told": odd.decisions} if odd.decisions else {}
    try:
        return line(moment, {"text": redacted(odd.frame.decode()), **told})
    except UnicodeDecodeError:
        return line(moment, {"base64": _base64(odd.frame), **told})


def binary_values(frame: bytes) -> dict[str, Any]:
    return {"binary": _base64(frame)}


def _base64(data: bytes) -> str:
    # Taken for letters only to find a key in it: what is none comes out as it went in.
    return base64.b64encode(redacted(data.decode("latin-1")).encode("latin-1")).decode()


def event_values(name: str, args: Sequence[object], state: str) -> dict[str, Any]:
    return {"event": name, "args": [_plain_argument(arg) for arg in args], "state": state}


def _plain_argument(arg: object) -> object:
    if not isinstance(arg, BaseException):
        return REDACTOR.redact(arg) if isinstance(arg, str) else arg
    known = type(arg).__name__ if type(arg).__name__ in errors.__all__ else FirstockError.__name__
    details = {name: _plain_detail(value) for name, value in vars(arg).items() if not name.startswith("_")}
    return {"error": known, "text": REDACTOR.redact(str(arg)), "details": details}


def _plain_detail(value: object) -> object:
    if isinstance(value, (bytes, bytearray)):
        return {"base64": _base64(bytes(value))}
    if isinstance(value, str):
        return REDACTOR.redact(value)
    if isinstance(value, dict):
        return {"object": value}
    return value if value is None or isinstance(value, (bool, int, float)) else REDACTOR.redact(repr(value))


def book_values(update: OrderUpdate | PositionUpdate) -> dict[str, Any]:
    if isinstance(update, PositionUpdate):
        return {"book": "position", "entry": update.raw}
    counts = {"filled_quantity": update.filled_quantity, "fill_quantity": update.fill_quantity}
    return {"book": "order", "entry": update.raw, **counts}


class Snapshot(NamedTuple):
    """All that a client knows at one point of its stream, and that what comes later depends on."""

    connected: bool
    state: str
    subscriptions: Sequence[str]
    option_greeks_subscriptions: Sequence[str]
    book: Frozen
    reported: Sequence[tuple[str, str]]
    """What kinds of frames had which bad fields on this connection: each is said once."""


def snapshot_values(snapshot: Snapshot) -> dict[str, Any]:
    book = snapshot.book
    return {
        "recording": VERSION,
        "connected": snapshot.connected,
        "state": snapshot.state,
        "subscriptions": snapshot.subscriptions,
        "option_greeks_subscriptions": snapshot.option_greeks_subscriptions,
        "quotes": {name: portable(state) for name, state in book.quotes.items()},
        "fresh": sorted(book.fresh),
        "muted": sorted(book.muted),
        "hidden": {name: portable(state) for name, state in book.hidden.items()},
        "symbols": dict(book.symbols),
        "reported": snapshot.reported,
    }


# --- reading ---------------------------------------------------------------------------------------------


def decode(text: bytes) -> Record:
    """Return what one line, without its end, says.

    Raises:
        ValueError: it is no line of a recording.
    """
    at = text.find(_FRAME, 0, _HEAD_LENGTH)
    if at > 0 and text.startswith(b'{"t":') and text.endswith(b"}"):
        clock, _, wall = text[5:at].partition(b',"w":')
        return Record("frame", int(clock), int(wall), text[at + len(_FRAME) : -1], (), {})
    values = json.loads(text)
    if not isinstance(values, dict) or type(values.get("t")) is not int or type(values.get("w")) is not int:
        raise ValueError("no line of a recording")
    clock_, wall_ = values["t"], values["w"]
    if "text" in values:
        # Lone surrogates can stand in JSON; they can't have come from the wire.
        frame = str(values["text"]).encode("utf-8", errors="replace")
        return Record("frame", clock_, wall_, frame, tuple(values.get("told", ())), values)
    if "base64" in values:
        told = tuple(values.get("told", ()))
        return Record("frame", clock_, wall_, base64.b64decode(values["base64"]), told, values)
    kind = next((name for name in _KINDS if name in values), "")
    if not kind:
        raise ValueError("a line of no known kind")
    if kind == "event" and values["event"] not in EVENTS:
        # Whoever wrote the file must not have other methods of the user's class called.
        raise ValueError("an event that is no lifecycle callback")
    data = base64.b64decode(values["binary"]) if kind == "binary" else b""
    return Record(kind, clock_, wall_, data, (), values)


def seconds_between(earlier: Record, later: Record) -> float:
    """Return how long after the one record the next came, 0 at least."""
    # The monotonic clock counts only within what one recorder wrote: each begins with such a record.
    anew = later.kind == "recording"
    past = later.wall - earlier.wall if anew else later.clock - earlier.clock
    return max(0, past) / 1e9


def check_head(record: Record) -> None:
    """Raise RecordingError if `record`, the first of a file, does not begin a recording that can be read."""
    if record.kind not in ("recording", "lost"):
        raise RecordingError("the file is no recording: it does not begin like one")
    version = record.values.get("recording", VERSION)
    if version != VERSION:
        raise RecordingError(
            f"the recording is of version {version!r}, this package reads {VERSION}: pip install -U firstock-ws"
        )


def event_args(record: Record) -> tuple[Any, ...]:
    """Return the arguments of a lifecycle callback."""
    return tuple(_argument(arg) for arg in record.values["args"])


def _argument(arg: Any) -> Any:
    if not isinstance(arg, dict):
        return arg
    kind = getattr(errors, arg["error"]) if arg["error"] in errors.__all__ else FirstockError
    error = kind(arg["text"])
    vars(error).update({name: _detail(value) for name, value in arg["details"].items()})
    return error


def _detail(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"]) if "base64" in value else value["object"]
    return value


def read_snapshot(record: Record) -> Snapshot:
    """Return what a ``"recording"`` line says."""
    values = record.values
    book = Frozen(
        {name: _state(state) for name, state in values["quotes"].items()},
        values["fresh"],
        values["muted"],
        {name: _state(state) for name, state in values["hidden"].items()},
        values.get("symbols", {}),
    )
    return Snapshot(
        values["connected"],
        values["state"],
        values["subscriptions"],
        values["option_greeks_subscriptions"],
        book,
        [(what, name) for what, name in values["reported"]],
    )


def _state(plain: list[Any]) -> MarketState:
    return MarketState(*plain[:-2], *(tuple(Level(*level) for level in side) for side in plain[-2:]))
