"""`Recorder`: writes down what a client receives, beside the client and never in its way."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from firstock_ws._secrets import get_logger
from firstock_ws.client import FirstockWS
from firstock_ws.errors import RecordingError, UsageError
from firstock_ws.models import OrderUpdate, PositionUpdate
from firstock_ws.recording.compression import is_compressed, zstandard
from firstock_ws.recording.format import (
    Moment,
    Snapshot,
    binary_values,
    book_values,
    event_values,
    moment_of,
)
from firstock_ws.recording.naming import Naming
from firstock_ws.recording.sink import Opener, Sink, open_private
from firstock_ws.recording.writer import Frames, Line, Start, Writer
from firstock_ws.taps import Odd

logger = get_logger("firstock_ws.recording")

MAX_FRAMES = 200_000
MAX_BYTES = 64 * 2**20
_HOUR = 3_600 * 1_000_000_000
_DAY = 24 * _HOUR
CLOSE_LIMIT = 10.0
"""Seconds that `Recorder.close` waits for the disk."""


class RecorderStats(NamedTuple):
    """Figures of a recorder at one moment. Every frame is counted in one of `frames`, `waiting`, `dropped`."""

    frames: int
    """Frames that are in the file."""
    bytes: int
    """Payload bytes of those."""
    waiting: int
    """Frames that wait for the disk."""
    dropped: int
    """Frames that are not in the file: the disk stalled, or could not be written to."""
    written: int
    """Bytes on the disk, over all files of this recorder."""
    file: Path
    """The file in use."""
    error: str | None
    """Why nothing can be written at the moment, None if all is well."""


class Recorder:
    """Records everything that a client receives from `start` to `close`, through all its connections.

    The file holds each frame with its arrival time, the lifecycle events, and what became of order and position
    updates, so that `replay` calls the same callbacks again. It holds the account's orders too, and is made for
    its owner alone (mode 0600); a jKey never gets into it.

    Threads: any thread may call any method. The client's threads only queue, under the lock ``_wake`` of the
    `Writer`, whose thread does the rest; the moment, the day and the exit handler are written with `Taps.order`
    held.
    """

    def __init__(
        self,
        client: FirstockWS,
        path: str | os.PathLike[str],
        *,
        max_frames: int = MAX_FRAMES,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], int] = time.time_ns,
        opener: Opener = open_private,
    ) -> None:
        """
        Args:
            client: connected or not.
            path: a name that ends in ``.jsonl``, or ``.jsonl.zst`` for a compressed file. The first file gets this
                name; when the day changes (IST), the next one gets the date before the suffix. Fields of
                `datetime.strftime`, such as ``%Y-%m-%d``, are filled in. What an existing recording holds stays:
                it is continued.
            max_frames: frames that may wait for a disk that stalls; what comes beyond is dropped, and the file
                says so.
            max_bytes: the same in bytes.
            clock: tells the wall time in nanoseconds.
            opener: opens a file for reading and writing in binary.

        Raises:
            ValueError: `path` ends in neither suffix, or a limit is below 1.
            RecordingError: the name ends in ``.zst``, and zstandard is not installed.
        """
        if max_frames < 1 or max_bytes < 1:
            raise ValueError("max_frames and max_bytes must be at least 1")
        self._naming = Naming(path)
        if is_compressed(self._naming.template):
            zstandard()
        self._client = weakref.ref(client)
        self._taps = client._taps
        self._clock = clock
        self._writer = Writer(lambda path: Sink(path, opener), self._report, max_frames, max_bytes)
        self._pid = os.getpid()
        self._state = threading.Lock()
        self._started = self._closed = False
        self._at_exit: Callable[[], None] | None = None
        self._moment = Moment(0, 0)
        self._next_day = 0
        self._told = False

    # --- coming and going ------------------------------------------------------------------------------------

    def start(self) -> Recorder:
        """Open the file, and record from here on; no effect if it does already.

        Raises:
            RecordingError: the file can't be opened, or is something else than a recording.
            UsageError: the recorder was closed, or the client plays a recording.
        """
        with self._state:
            if self._closed:
                raise UsageError("this recorder is closed: make a new one, it continues the file")
            if not self._started:
                self._start()
                self._started = True
        return self

    def _start(self) -> None:
        client = self._client()
        if client is None:
            raise UsageError("the client of this recorder is gone")
        if not client._lifecycle.live:
            raise UsageError("this client plays a recording: record a live one")
        path = self._naming.path_at(moment_of(self._clock()))
        try:
            self._writer.start(path)
        except OSError as error:
            raise RecordingError(
                f"{path} can't be recorded to: {error.strerror or type(error).__name__}"
            ) from None
        with self._taps.order:
            self._moment = Moment(time.monotonic_ns(), self._clock())
            self._set_day()
            self._writer.put_start(Start(self._moment, path, self._snapshot()))
            self._taps.add(self)
        # Else the thread would keep the file, and nobody else could record to it.
        weakref.finalize(client, self._writer.abandon).atexit = False
        self._at_exit = _closer(self)
        atexit.register(self._at_exit)

    def close(self) -> None:
        """Write what waits, and end; again and again if you like. The client goes on.

        A disk that stalls is waited for, but not longer than ten seconds: what was not written then is lost. In a
        forked child it does nothing: the recording goes on in the parent.
        """
        if os.getpid() != self._pid:
            return
        with self._state:
            started, self._closed = self._started and not self._closed, True
        if not started:
            return
        self._taps.remove(self)
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)
        if not self._writer.close(CLOSE_LIMIT):
            logger.warning("%s: the disk stalls; the end of the recording may be lost", self.stats.file)

    def __enter__(self) -> Recorder:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def stats(self) -> RecorderStats:
        """The figures at this moment."""
        counts = self._writer.counts()
        file = counts.file or self._naming.path_at(moment_of(self._clock()))
        return RecorderStats(
            counts.frames, counts.bytes, counts.waiting, counts.dropped, counts.written, file, counts.error
        )

    def __repr__(self) -> str:
        return f"<Recorder {self._naming.template}>"

    # --- as a tap, with the order of the client's taps held --------------------------------------------------

    def begin(self) -> None:
        """Note the time; begin another file, or anew after a gap, before anything changes."""
        self._moment = Moment(time.monotonic_ns(), self._clock())
        if not self._next_day - _DAY - _HOUR <= self._moment.wall < self._next_day:
            # Another day; also back to an earlier one, by more than clocks are set by when they are put right.
            self._set_day()
            path = self._naming.path_at(moment_of(self._moment.wall))
            self._writer.put_start(Start(self._moment, path, self._snapshot()))
        elif self._writer.gap and (path_now := self._writer.path_after_gap(self._moment.clock)) is not None:
            self._writer.put_start(Start(self._moment, path_now, self._snapshot()))

    def frames(self, frames: Sequence[bytes], odd: Sequence[Odd]) -> None:
        self._writer.put(Frames(self._moment, frames, odd, sum(map(len, frames))))

    def binary(self, frame: bytes) -> None:
        self._writer.put(Line(self._moment, binary_values(frame), frames=1, size=len(frame)))

    def afresh(self) -> None:
        self._writer.put(Line(self._moment, {"afresh": True}))

    def event(self, name: str, args: tuple[object, ...]) -> None:
        client = self._client()
        state = "connected" if name == "on_connect" or client is None else client._state.now.value
        self._writer.put(Line(self._moment, event_values(name, args, state)))

    def book(self, update: OrderUpdate | PositionUpdate) -> None:
        self._writer.put(Line(self._moment, book_values(update)))

    def wanted(self, action: str, instruments: Sequence[str], symbols: Mapping[str, str]) -> None:
        values: dict[str, object] = {"wanted": action, "tokens": list(instruments)}
        if symbols:
            values["symbols"] = dict(symbols)
        self._writer.put(Line(self._moment, values))

    def _set_day(self) -> None:
        now = moment_of(self._moment.wall)
        tomorrow = datetime(now.year, now.month, now.day, tzinfo=now.tzinfo) + timedelta(days=1)
        self._next_day = int(tomorrow.timestamp()) * 1_000_000_000

    def _snapshot(self) -> Snapshot:
        client = self._client()
        assert client is not None, "a tap is only called by its client"
        return Snapshot(
            connected=self._taps.connected,
            state=client._state.now.value,
            subscriptions=sorted(client._subscriptions.quotes),
            option_greeks_subscriptions=sorted(client._subscriptions.greeks),
            book=client._book.freeze(),
            reported=sorted(client._feed.reported),
        )

    # --- from the writing thread -----------------------------------------------------------------------------

    def _report(self, error: RecordingError) -> None:
        """Tell the user of trouble with the disk: once, since it may come and go."""
        client = self._client()
        if client is not None and not self._told:
            self._told = True
            self._taps.put(client._dispatcher.put, "on_error", error)


def _closer(recorder: Recorder) -> Callable[[], None]:
    reference, pid = weakref.ref(recorder), os.getpid()

    def close_at_exit() -> None:
        found = reference()
        # A forked child inherits this function, and not the thread that writes.
        if found is not None and os.getpid() == pid:
            found.close()

    return close_at_exit
