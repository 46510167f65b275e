"""`Replay`, a recording to look at and to play, and `replay`, which does the latter at once."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from firstock_ws import protocol
from firstock_ws._secrets import get_logger
from firstock_ws.callbacks import CALLBACK_NAMES
from firstock_ws.client import FirstockWS
from firstock_ws.errors import FrameError, RecordingError, UsageError
from firstock_ws.feed.feed import frame_reader
from firstock_ws.flag import Flag
from firstock_ws.instruments import Tokens
from firstock_ws.models import IST
from firstock_ws.protocol import Kind
from firstock_ws.recording.format import Record, moment_of, seconds_between
from firstock_ws.recording.player import Player
from firstock_ws.recording.reading import Reader

if TYPE_CHECKING:
    import pandas

logger = get_logger("firstock_ws.recording")

Speed = float | Literal["max"]
Time = datetime | str | None
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_SLICE = 0.5
"""Seconds for which a wait can't be broken by Ctrl-C on some systems."""


class _Summary(NamedTuple):
    ended: datetime
    frames: int
    instruments: frozenset[str]
    gaps: int
    torn: bool
    damage: str | None


class Replay:
    """One file of a recording. Iterating yields its `Record` objects; the file is read anew each time, piece by
    piece, and never held in memory.

    Threads: one thread at a time.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """
        Args:
            path: the file that a `Recorder` wrote, ``.jsonl`` or ``.jsonl.zst``.

        Raises:
            RecordingError: it can't be read, is no recording, or needs zstandard, which is not installed.
        """
        self.path = Path(path)
        self.client: FirstockWS | None = None
        """The client that it was played to last."""
        self._first = next(iter(Reader(self.path)))
        self._summary: _Summary | None = None

    def __iter__(self) -> Iterator[Record]:
        """Yield all records in order; see `firstock_ws.recording.format` for what there is.

        Raises:
            RecordingError: the file can't be read any more.
        """
        return iter(Reader(self.path))

    @property
    def started(self) -> datetime:
        """When the recording began, IST."""
        return self._first.time

    @property
    def ended(self) -> datetime:
        """When the last thing in it happened, IST. This and what follows reads through the file, once."""
        return self._read_through().ended

    @property
    def frames(self) -> int:
        """Text and binary frames in it."""
        return self._read_through().frames

    @property
    def instruments(self) -> frozenset[str]:
        """Instruments that it has quotes or greeks of."""
        return self._read_through().instruments

    @property
    def gaps(self) -> int:
        """How often something is missing in the middle, since the disk was too slow."""
        return self._read_through().gaps

    @property
    def torn(self) -> bool:
        """Whether the file ends in the middle of something, as after a crash; what comes before that is played."""
        return self._read_through().torn

    @property
    def damage(self) -> str | None:
        """Where the file is damaged first, in words; None if it is not, or just torn at its end.

        What comes after that is left out, up to where a recorder began anew: quotes can't be merged over a gap.
        """
        return self._read_through().damage

    def _read_through(self) -> _Summary:
        if self._summary is None:
            reader, read_frame = Reader(self.path), frame_reader()
            frames = gaps = wall = 0
            instruments: set[str] = set()
            for record in reader:
                wall = max(wall, record.wall)
                frames += record.kind in ("frame", "binary")
                gaps += record.kind == "lost"
                if record.kind == "frame":
                    entries = read_frame(record.frame)
                    found = _instruments(record.frame) if entries is None else [entry[0] for entry in entries]
                    instruments.update(found)
                elif record.kind == "recording":
                    instruments.update(record.values["quotes"])
            self._summary = _Summary(
                moment_of(wall), frames, frozenset(instruments), gaps, reader.torn, reader.damage
            )
        return self._summary

    def run(
        self,
        client: FirstockWS | None = None,
        *,
        speed: Speed = 1.0,
        start: Time = None,
        end: Time = None,
        **callbacks: Callable[..., object],
    ) -> Replay:
        """Play the recording; arguments, result and errors are those of `replay`."""
        factor = _factor(speed)
        first, last = self._wall(start, "start"), self._wall(end, "end")
        if first is not None and last is not None and first > last:
            raise ValueError("start is later than end")
        for name in callbacks:
            if name not in CALLBACK_NAMES:
                raise TypeError(f"replay() takes no {name!r}: callbacks are {', '.join(CALLBACK_NAMES)}")
        if client is None:
            client = FirstockWS("REPLAY", _no_key, reconcile=False)
        player = Player(client)
        for name, callback in callbacks.items():
            setattr(client, name, callback)
        self.client = client
        _play(Reader(self.path), player, _Pace(factor, player.stop), first, last)
        return self

    def to_frame(self, instruments: Tokens | None = None, fields: Sequence[str] | None = None) -> pandas.DataFrame:
        """Return the quotes as a pandas data frame, one row for each update.

        The index, named ``time``, is when the update arrived, in IST. Prices are floats in rupees, quantities are
        nullable integers, ``instrument`` is a category; what is not known is missing. The rows are what
        ``on_quote`` is called with, value by value, but for the depth, of which there are ``bid``,
        ``bid_quantity``, ``ask`` and ``ask_quantity``.

        Args:
            instruments: ``"NSE:26000"``, ``"NSE:26000|BSE:1"``, a trading symbol by which it was subscribed while
                recording (``"NSE:RELIANCE-EQ"``), or several; None for all.
            fields: columns beside ``instrument``, in this order; None for all.

        Raises:
            ValueError: something in `instruments` is no instrument, or in `fields` no field.
            RecordingError: the file can't be read any more.
            FirstockError: pandas is not installed.
        """
        from firstock_ws.recording.frame import quotes_of

        return quotes_of(self, instruments, fields)

    def _wall(self, moment: Time, name: str) -> int | None:
        """Return `moment` in epoch nanoseconds."""
        if moment is None:
            return None
        if isinstance(moment, str):
            found = _CLOCK.fullmatch(moment.strip())
            if found is None:
                raise ValueError(f'{name} must look like "09:30" or "09:30:15" (IST), not {moment!r}')
            hour, minute, second = (int(part or 0) for part in found.groups())
            moment = self.started.replace(hour=hour, minute=minute, second=second, microsecond=0)
        if not isinstance(moment, datetime):
            raise TypeError(f'{name} must be a datetime, or a text like "09:30", not {moment!r}')
        if moment.utcoffset() is None:
            raise ValueError(f"{name} has no time zone: use datetime(..., tzinfo=firstock_ws.IST)")
        moment = moment.astimezone(IST)
        return int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + moment.microsecond * 1_000

    def __repr__(self) -> str:
        return f"<Replay {self.path} from {self.started:%Y-%m-%d %H:%M:%S}>"


def replay(
    path: str | os.PathLike[str],
    client: FirstockWS | None = None,
    *,
    speed: Speed = 1.0,
    start: Time = None,
    end: Time = None,
    **callbacks: Callable[..., object],
) -> Replay:
    """Play a recording: the callbacks get what they got when it was made, in the same order.

    All is called on the calling thread, which comes back at the end of the recording, when a callback calls
    ``client.close()``, or at Ctrl-C. A client that has subscriptions, or makes some on the way, gets only what it
    subscribed to, and one that has none gets everything. Nothing is sent anywhere, and the client can't connect
    afterwards. A recording that begins in the middle of a connection begins with ``on_connect``.

    Args:
        path: the file that a `Recorder` wrote.
        client: whose callbacks are called, one that is not connected: an object of your strategy's class, say;
            None for one that has nothing but `callbacks`.
        speed: how many times as fast as it was; ``"max"`` for as fast as can be.
        start: where to begin: a time with its zone, or ``"HH:MM"`` or ``"HH:MM:SS"``, IST on the day of the
            recording. What comes before is merged into the quotes without calling anything.
        end: where to stop, likewise.
        callbacks: ``on_quote=...`` and its like, set on the client.

    Returns:
        The recording; its `Replay.client` has the quotes and figures of the end.

    Raises:
        RecordingError: the file can't be read, or is no recording.
        UsageError: `client` is connected, is being recorded, or plays already.
        ValueError, TypeError: an argument is none of these.
    """
    return Replay(path).run(client, speed=speed, start=start, end=end, **callbacks)


class _Pace:
    """Waits until the next record is due."""

    def __init__(self, factor: float | None, stop: Flag) -> None:
        self._factor = factor
        self._stop = stop
        self._last: Record | None = None
        self._due = 0.0

    def wait(self, record: Record) -> None:
        if self._factor is None:
            return
        now = time.monotonic()
        if self._last is None:
            self._due = now
        else:
            self._due += seconds_between(self._last, record) / self._factor
        self._last = record
        while (left := self._due - time.monotonic()) > 0 and not self._stop.is_set():
            self._stop.wait(min(left, _SLICE))


def _play(reader: Reader, player: Player, pace: _Pace, first: int | None, last: int | None) -> None:
    closed, begun = False, first is None
    try:
        for record in reader:
            if last is not None and record.wall > last:
                break
            if not begun and first is not None and record.wall < first:
                player.merge(record)
                continue
            if not begun:
                begun = True
                player.begin()
            pace.wait(record)
            if player.stop.is_set():
                break
            player.play(record)
        closed = player.stop.is_set()
        if reader.damage is not None and not closed:
            player.report(RecordingError(f"the recording has a gap: {reader.damage}; a part is missing"))
    except KeyboardInterrupt:
        logger.info("Ctrl-C: the replay ends")
        closed = True
    finally:
        player.finish(closed=closed)


def _factor(speed: Speed) -> float | None:
    if speed == "max":
        return None
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0 < speed < float("inf"):
        raise ValueError(f'speed must be a number above 0, or "max", not {speed!r}')
    return float(speed)


def _instruments(frame: bytes) -> list[str]:
    try:
        parts = protocol.parts(protocol.decode(frame))
        return [part.instrument for part in parts if part.kind in (Kind.MARKET, Kind.GREEKS)]
    except FrameError:
        return []


def _no_key() -> str:
    raise UsageError("this client plays a recording: make a new one to connect")
