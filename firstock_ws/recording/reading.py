"""Reads the lines of a recording, one after another, however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from firstock_ws._secrets import get_logger
from firstock_ws.errors import RecordingError
from firstock_ws.recording.compression import is_compressed, zstandard
from firstock_ws.recording.format import Record, check_head, decode, read_snapshot

logger = get_logger("firstock_ws.recording")

_PIECE = 131_072
"""Bytes of the file that are read at a time."""
LONGEST_LINE = 256 * 2**20
"""Bytes; a file with a longer line is no recording."""


class Reader:
    """One reading of a file, from its beginning to its end or to where it is torn.

    Threads: one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            RecordingError: zstandard is needed and not installed.
        """
        self._path = path
        self._zstandard = zstandard() if is_compressed(path) else None
        self.torn = False
        """Whether the file ended in the middle of something: what came before it was read."""

    def __iter__(self) -> Iterator[Record]:
        """Yield the records.

        Raises:
            RecordingError: the file can't be read, or is no recording.
        """
        try:
            with self._path.open("rb") as file:
                yield from self._records(file)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RecordingError(f"the recording {self._path} can't be read: {reason}") from None

    def _records(self, file: BinaryIO) -> Iterator[Record]:
        count = 0
        for text in self._lines(file):
            try:
                record = decode(text)
                if not count or record.kind == "recording":
                    check_head(record)
                if record.kind == "recording":
                    read_snapshot(record)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                self._tear(f"line {count + 1} is damaged")
                break
            count += 1
            yield record
        if not count:
            # Also a file of which only the first moment, before anything was whole, got to the disk.
            why = "it holds no whole line of one" if self.torn else "it is empty"
            raise RecordingError(f"{self._path} is no recording that can be played: {why}")

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        rest: list[bytes] = []
        size = 0
        for piece in self._plain(file) if self._zstandard is None else self._decompressed(file):
            head, newline, tail = piece.rpartition(b"\n")
            if not newline:
                rest.append(piece)
                size += len(piece)
                if size > LONGEST_LINE:
                    raise RecordingError(f"{self._path} is no recording: it has no lines")
                continue
            yield from b"".join((*rest, head)).split(b"\n")
            rest, size = [tail], len(tail)
        if any(rest):
            self._tear("its last line is not whole")

    def _plain(self, file: BinaryIO) -> Iterator[bytes]:
        while piece := file.read(_PIECE):
            yield piece

    def _decompressed(self, file: BinaryIO) -> Iterator[bytes]:
        library = self._zstandard
        assert library is not None
        chunk, begun = library.ZstdDecompressor().decompressobj(), False
        while data := file.read(_PIECE):
            while data:
                try:
                    plain = chunk.decompress(data)
                except library.ZstdError:
                    self._tear(f"it is damaged, about {file.tell()} bytes after its beginning")
                    return
                begun, data = True, b""
                if plain:
                    yield plain
                if chunk.eof:
                    data = chunk.unused_data
                    chunk, begun = library.ZstdDecompressor().decompressobj(), False
        if begun:
            self._tear("its last chunk is not whole")

    def _tear(self, why: str) -> None:
        if not self.torn:
            self.torn = True
            logger.warning("the recording %s ends early: %s; what comes before that is good", self._path, why)
