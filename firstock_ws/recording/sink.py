"""The file that a recorder writes: chunks that are on the disk whole, or not at all for a reader."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from firstock_ws._secrets import get_logger
from firstock_ws.errors import RecordingError
from firstock_ws.recording.compression import LEVEL, MAGIC, is_compressed, last_whole_chunk, zstandard
from firstock_ws.recording.reading import Reader

logger = get_logger("firstock_ws.recording")

Opener = Callable[[Path], BinaryIO]
_BLOCK = 65_536


def open_private(path: Path) -> BinaryIO:
    """Open `path` for reading and writing, made for its owner alone if it is not there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)


_open_here: weakref.WeakSet[Sink] = weakref.WeakSet()
"""The files of this process; the threads that write them do not outlive a fork."""


def _let_go_after_fork() -> None:
    """Give up the files of the parent: through its copies of them, a child would go on holding their locks."""
    for sink in list(_open_here):
        number = sink._number()
        if number is not None:
            nothing = os.open(os.devnull, os.O_RDWR)
            # Not closed: the number could be another file's by the time when it is closed once more.
            os.dup2(nothing, number, inheritable=False)
            os.close(nothing)
    _open_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)


class Sink:
    """One file of a recording, written at its end. What is there already stays, but for a torn tail.

    Threads: one thread at a time.
    """

    def __init__(self, path: Path, opener: Opener = open_private) -> None:
        """
        Raises:
            RecordingError: zstandard is missing, another recorder writes there, or something else is there.
            OSError: the file can't be opened.
        """
        self.path = path
        self._compress = (
            zstandard().ZstdCompressor(LEVEL, write_checksum=True).compress if is_compressed(path) else bytes
        )
        self._file = opener(path)
        try:
            self._lock()
            self._end = self._cut_tail()
        except BaseException:
            self._file.close()
            raise
        _open_here.add(self)

    def write(self, data: bytes) -> int:
        """Write lines, as one chunk; return how many bytes they take on the disk.

        Raises:
            OSError: that did not work; nothing of them is in the file then, or a torn tail if even that fails.
        """
        chunk = memoryview(self._compress(data))
        try:
            self._file.seek(self._end)
            written = 0
            while written < len(chunk):
                written += self._file.write(chunk[written:]) or 0
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(chunk)
        return len(chunk)

    def close(self) -> None:
        _open_here.discard(self)
        self._file.close()

    def sync(self) -> None:
        """Have the system bring it to the disk itself.

        Raises:
            OSError: that did not work; what was written since the last time may be lost.
        """
        number = self._number()
        if number is not None:
            getattr(os, "fdatasync", os.fsync)(number)
        if self.gone:
            raise FileNotFoundError(errno.ENOENT, "the file was removed or moved away")

    @property
    def gone(self) -> bool:
        """Whether what is written would not be found under the file's name any more."""
        number = self._number()
        if number is None:
            return False
        try:
            return not os.path.samestat(os.fstat(number), os.stat(self.path))
        except OSError:
            return True

    def _number(self) -> int | None:
        try:
            return self._file.fileno()
        except (AttributeError, io.UnsupportedOperation):
            return None

    def _lock(self) -> None:
        number = self._number()
        try:
            import fcntl
        except ImportError:
            return  # Windows
        if number is not None:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RecordingError(f"another recorder writes to {self.path}: give each its own file") from None

    def _cut_tail(self) -> int:
        """Cut off what an earlier recorder did not get to the end of; return where to go on."""
        size = self._file.seek(0, os.SEEK_END)
        if not size:
            return 0
        end = self._good_end(size)
        if end:
            self._check()
        elif not self._is_torn_beginning():
            raise RecordingError(f"{self.path} is something else than a recording: give another name")
        if end < size:
            logger.warning("%s: cut off %d bytes that an earlier recorder did not finish", self.path, size - end)
            self._file.truncate(end)
        return end

    def _check(self) -> None:
        for _ in Reader(self.path):
            return

    def _is_torn_beginning(self) -> bool:
        """Whether a recorder that was killed in its first second may have left this."""
        self._file.seek(0)
        begin = self._file.read(4)
        return begin == (MAGIC if is_compressed(self.path) else b'{"t"')[: len(begin)]

    def _good_end(self, size: int) -> int:
        if not is_compressed(self.path):
            return self._last_line_end(size)
        begin, end = last_whole_chunk(self._file, size)
        library = zstandard()
        try:
            self._file.seek(begin)
            library.ZstdDecompressor().decompressobj().decompress(self._file.read(end - begin))
        except library.ZstdError:
            return begin
        return end

    def _last_line_end(self, size: int) -> int:
        at = size
        while at > 0:
            start = max(0, at - _BLOCK)
            self._file.seek(start)
            found = self._file.read(at - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            at = start
        return 0
