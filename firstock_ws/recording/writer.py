"""The thread that brings a recording to the disk, and the bounded queue before it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from firstock_ws._secrets import get_logger
from firstock_ws.errors import RecordingError
from firstock_ws.recording.format import Moment, Snapshot, frame_lines, line, redacted, snapshot_values
from firstock_ws.recording.sink import Sink
from firstock_ws.taps import Odd
from firstock_ws.worker import Worker

logger = get_logger("firstock_ws.recording")

PAUSE = 0.5
"""Seconds for which frames are gathered before they are written."""
CHUNK = 2**20
"""Bytes, before compression, of what is written at a time."""
IDLE = 1.0
"""Seconds between two looks, while nothing comes, at whether anything ever will."""
RETRY = 2.0
"""Seconds after trouble with the disk before it is tried again."""


class Frames(NamedTuple):
    """Text frames that were read together; `odd` as of `firstock_ws.taps.Tap.frames`."""

    moment: Moment
    texts: Sequence[bytes]
    odd: Sequence[Odd]
    size: int


class Line(NamedTuple):
    """Anything else."""

    moment: Moment
    values: Mapping[str, Any]
    frames: int = 0
    size: int = 0


OVERHEAD = 256
"""Bytes that anything in the queue counts for beyond its payload."""


class Lost(NamedTuple):
    """What is not in the file."""

    frames: int = 0
    others: int = 0


class Start(NamedTuple):
    """The beginning of a file, or a new beginning in one."""

    moment: Moment
    path: Path
    snapshot: Snapshot
    lost: Lost | None = None
    """What was lost before it, if anything."""


Item = Frames | Line | Start


class WriterCounts(NamedTuple):
    """The writer's figures, taken in one moment."""

    frames: int
    bytes: int
    waiting: int
    dropped: int
    written: int
    file: Path | None
    error: str | None


class _Batch:
    """Lines that are written together."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.length = 0
        self.frames = self.bytes = self.others = self.cost = 0
        self.lost = Lost()

    def add(self, item: Frames | Line) -> None:
        if isinstance(item, Frames):
            self.lines += frame_lines(item.moment, item.texts, item.odd)
            self.frames += len(item.texts)
        else:
            self.lines.append(line(item.moment, item.values))
            self.frames += item.frames
            self.others += not item.frames
            self.length += len(self.lines[-1])
        self.bytes += item.size
        self.length += item.size
        self.cost += item.size + OVERHEAD

    def begin(self, start: Start) -> None:
        if start.lost is not None:
            self.lost = start.lost
            self.lines.append(line(start.moment, {"lost": self.lost._asdict()}))
        self.lines.append(line(start.moment, snapshot_values(start.snapshot)))


class Writer:
    """Queue and thread of one recorder.

    Threads: any thread puts and looks; the writing thread takes. The queue and the figures are owned here, their
    lock is ``_lock``, with the condition ``_wake``, never held while the disk is used. The file and `_skipping`
    are the writing thread's.
    """

    def __init__(
        self,
        open_sink: Callable[[Path], Sink],
        report: Callable[[RecordingError], None],
        max_frames: int,
        max_bytes: int,
    ) -> None:
        """
        Args:
            open_sink: opens a file.
            report: told of each trouble with the disk, on the writing thread.
            max_frames, max_bytes: what may wait.
        """
        self._open_sink = open_sink
        self._report = report
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._ring_at = min(max_bytes // 4, 4 * CHUNK), max_frames // 4
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._queue: deque[Item] = deque()
        self._closing = self._abandoned = False
        self._worker = Worker(self._run, "firstock-ws-recorder")
        self._path: Path | None = None
        self._waiting_frames = self._waiting_bytes = 0
        self._frames = self._bytes = self._dropped = self._written = 0
        self._lost = Lost()
        self._error: str | None = None
        self._retry_at = 0
        self.gap = False
        """Whether something is missing, so that nothing more is taken before a `Start`. Guarded by the lock."""
        self._sink: Sink | None = None
        self._skipping = False

    # --- any thread ------------------------------------------------------------------------------------------

    def start(self, path: Path) -> None:
        """Open the first file, and start the thread.

        Raises:
            OSError, RecordingError: the file can't be used.
        """
        self._sink = self._open_sink(path)
        self._path = path
        self._worker.start()

    def put(self, item: Frames | Line) -> None:
        """Queue `item`; where too much waits, it is lost instead, and all after it up to the next `Start`."""
        count = len(item.texts) if isinstance(item, Frames) else item.frames
        with self._lock:
            full = self._waiting_frames + count > self._max_frames or (
                self._waiting_bytes + item.size + OVERHEAD > self._max_bytes
            )
            # However small the limits, one batch must fit.
            overrun = not self.gap and full and self._waiting_bytes > 0
            self.gap = self.gap or overrun
            if self.gap:
                self._lose(Lost(count, not count))
            else:
                self._queue.append(item)
                self._waiting_frames += count
                self._waiting_bytes += item.size + OVERHEAD
                self._ring()
        if overrun:
            logger.warning("the disk is too slow for the recording: frames are dropped until it has caught up")

    def put_start(self, start: Start) -> None:
        """Begin a file, or anew in one; what was lost before is said in it."""
        with self._lock:
            if self.gap:
                start = start._replace(lost=self._lost)
                self._lost, self.gap = Lost(), False
            self._path = start.path
            self._queue.append(start)
            self._ring()

    def path_after_gap(self, clock: int) -> Path | None:
        """Return where to begin anew at `clock`, monotonic nanoseconds; None while there is no room, or no gap."""
        with self._lock:
            room = 2 * self._waiting_frames <= self._max_frames and 2 * self._waiting_bytes <= self._max_bytes
            return self._path if self.gap and room and clock >= self._retry_at else None

    def counts(self) -> WriterCounts:
        """Return all figures as of one moment."""
        with self._lock:
            return WriterCounts(
                self._frames,
                self._bytes,
                self._waiting_frames,
                self._dropped,
                self._written,
                self._path,
                self._error,
            )

    def close(self, timeout: float) -> bool:
        """Write what waits, and end, within `timeout` seconds; return whether that was enough."""
        with self._lock:
            self._closing = True
            self._wake.notify()
        return self._worker.wait(timeout)

    def abandon(self) -> None:
        """End when nothing has come for a while. Takes no lock: garbage collections call it anywhere."""
        self._abandoned = True

    def _ring(self) -> None:
        """Wake the thread, under the lock, where it sleeps without an end, or enough waits to be written."""
        size, frames = self._ring_at
        if len(self._queue) == 1 or self._waiting_bytes >= size or self._waiting_frames >= frames:
            self._wake.notify()

    def _lose(self, lost: Lost) -> None:
        self._dropped += lost.frames
        self._lost = Lost(self._lost.frames + lost.frames, self._lost.others + lost.others)

    # --- writing thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (items := self._next()) is not None:
                self._write_all(items)
        finally:
            if self._sink is not None:
                self._sink.close()

    def _next(self) -> deque[Item] | None:
        """Wait for something, and a while for more to come; return it, None at the end."""
        size, frames = self._ring_at
        with self._lock:
            while not self._wake.wait_for(lambda: self._queue or self._closing, IDLE):
                if self._abandoned:
                    return None
            self._wake.wait_for(
                lambda: self._closing or self._waiting_bytes >= size or self._waiting_frames >= frames, PAUSE
            )
            items, self._queue = self._queue, deque()
        return items or None

    def _write_all(self, items: deque[Item]) -> None:
        batch = _Batch()
        while items:
            # Let go of one by one: what is written must not stay in memory.
            item = items.popleft()
            if isinstance(item, Start):
                self._write(batch)
                batch = _Batch()
                self._begin(item, batch)
            else:
                batch.add(item)
            if batch.length >= CHUNK:
                self._write(batch)
                batch = _Batch()
        self._write(batch)
        try:
            if self._sink is not None:
                self._sink.sync()
        except OSError as error:
            self._fail(error)

    def _begin(self, start: Start, batch: _Batch) -> None:
        batch.begin(start)
        self._skipping = False
        if self._sink is not None and self._sink.path == start.path and not self._sink.gone:
            return
        if self._sink is not None:
            self._sink.close()
            self._sink = None
        try:
            self._sink = self._open_sink(start.path)
        except (OSError, RecordingError) as error:
            self._fail(error)

    def _write(self, batch: _Batch) -> None:
        if not batch.lines:
            return
        written = 0
        if self._skipping or self._sink is None:
            self._forget(batch)
            return
        try:
            # Whole lines of valid UTF-8 nearly always; what is not goes through as it is.
            text = b"".join(batch.lines).decode("utf-8", errors="surrogateescape")
            written = self._sink.write(redacted(text).encode("utf-8", errors="surrogateescape"))
        except OSError as error:
            self._forget(batch)
            self._fail(error)
            return
        with self._lock:
            self._done(batch)
            self._frames += batch.frames
            self._bytes += batch.bytes
            self._written += written
            well_again, self._error = self._error is not None, None
        if well_again:
            logger.info("recording again")

    def _forget(self, batch: _Batch) -> None:
        with self._lock:
            self._done(batch)
            self._lose(Lost(batch.frames, batch.others))
            self._lost = Lost(self._lost.frames + batch.lost.frames, self._lost.others + batch.lost.others)
            self.gap = True

    def _done(self, batch: _Batch) -> None:
        self._waiting_frames -= batch.frames
        self._waiting_bytes -= batch.cost

    def _fail(self, error: OSError | RecordingError) -> None:
        """Take note of trouble, and tell of it; nothing more is written before a `Start`."""
        reason = str(error) if isinstance(error, RecordingError) else error.strerror or type(error).__name__
        self._skipping = True
        with self._lock:
            self.gap = True
            self._retry_at = time.monotonic_ns() + int(RETRY * 1e9)
            self._error = reason
            path = self._path
        logger.warning("%s can't be recorded to: %s; it will be tried again", path, reason)
        self._report(
            RecordingError(f"{path} can't be recorded to ({reason}): frames are missing in it until it can")
        )
