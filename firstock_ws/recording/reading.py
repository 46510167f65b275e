"""Reads the lines of a recording, one after another, however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from firstock_ws._secrets import get_logger
from firstock_ws.errors import RecordingError
from firstock_ws.recording.compression import MAGIC, is_compressed, zstandard
from firstock_ws.recording.format import Record, check_head, decode, read_snapshot

logger = get_logger("firstock_ws.recording")

_PIECE = 131_072
"""Bytes of the file that are read at a time."""
LONGEST_LINE = 256 * 2**20
"""Bytes; a file with a longer line is no recording."""


class Reader:
    """One reading of a file, from its beginning to its end or to where it is torn.

    Where it is damaged in the middle, what follows is left out up to where a recorder began anew: quotes could not
    be merged over what is missing.

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
        self.damage: str | None = None
        """Where it is damaged first, in words, other than by an end that was torn off; None for nowhere."""
        self._skipping = False
        self._skipped = 0
        self._damage_before: str | None = None

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
        for number, text in enumerate(self._lines(file), start=1):
            try:
                record = decode(text)
                if not count or record.kind == "recording":
                    check_head(record)
                if record.kind == "recording":
                    read_snapshot(record)
                    self._skipping = False
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                self._skip(f"line {number} is damaged")
                if not count:
                    break
                continue
            if self._skipping:
                self._skipped += 1
            else:
                count += 1
                yield record
        if self._skipping:
            self.torn = True
            if not self._skipped:
                # There was nothing good behind it: rubbish at the end, as a crash may leave it.
                self.damage = self._damage_before
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
                    self._skip(f"it is damaged, about {file.tell()} bytes after its beginning")
                    chunk, begun = library.ZstdDecompressor().decompressobj(), False
                    data = _from_next_chunk(file, data)
                    # What there was of a line must not become one with what comes.
                    yield b"\n"
                    continue
                begun, data = True, b""
                if plain:
                    yield plain
                if chunk.eof:
                    data = chunk.unused_data
                    chunk, begun = library.ZstdDecompressor().decompressobj(), False
        if begun:
            self._tear("its last chunk is not whole")

    def _skip(self, why: str) -> None:
        if not self._skipping:
            self._skipping, self._skipped = True, 0
            self._damage_before, self.damage = self.damage, self.damage or why
            logger.warning("the recording %s has a gap: %s", self._path, why)

    def _tear(self, why: str) -> None:
        if not self.torn:
            self.torn = True
            logger.warning("the recording %s ends early: %s; what comes before that is good", self._path, why)


def _from_next_chunk(file: BinaryIO, data: bytes) -> bytes:
    """Return `data`, or what follows it in `file`, from where the next chunk begins; nothing for none."""
    data = data[1:]
    while (at := data.find(MAGIC)) < 0:
        more = file.read(_PIECE)
        if not more:
            return b""
        data = data[1 - len(MAGIC) :] + more
    return data[at:]
