"""Zstandard, which is optional: where it comes from, and where a compressed chunk of a file ends."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from firstock_ws.errors import RecordingError

SUFFIX = ".zst"
LEVEL = 3
MAGIC = b"\x28\xb5\x2f\xfd"
_LONGEST_HEAD = 18
_PIECE = 65_536
_DICTIONARY_SIZES = (0, 1, 2, 4)
_CONTENT_SIZES = (0, 2, 4, 8)
_REPEATED = 1
"""The type of a block that stands for one byte, repeated."""


def is_compressed(path: Path) -> bool:
    """Whether the name says so."""
    return path.name.lower().endswith(SUFFIX)


def zstandard() -> ModuleType:
    """Return the library.

    Raises:
        RecordingError: it is not installed.
    """
    try:
        import zstandard
    except ImportError:
        hint = 'pip install "firstock-ws[record]", or use a name that ends in .jsonl'
        raise RecordingError(f"recordings whose name ends in .zst need the package zstandard: {hint}") from None
    return zstandard


def last_whole_chunk(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return where the last whole chunk of a compressed file of `size` bytes begins and ends; zeros for none.

    Only heads are read, nothing is decompressed.
    """
    begin = end = at = 0
    while 0 <= at < size:
        after = _chunk_end(file, at, size)
        if after is not None:
            begin, end, at = at, after, after
        else:
            # Damaged, perhaps: what comes after that is good must not be taken for a torn tail.
            at = _next_chunk(file, at + 1)
    return begin, end


def _next_chunk(file: BinaryIO, at: int) -> int:
    """Return where a chunk seems to begin, at `at` or after it; -1 for nowhere."""
    file.seek(at)
    rest = b""
    while piece := file.read(_PIECE):
        found = (rest + piece).find(MAGIC)
        if found >= 0:
            return at + found
        rest = (rest + piece)[1 - len(MAGIC) :]
        at = file.tell() - len(rest)
    return -1


def _chunk_end(file: BinaryIO, at: int, size: int) -> int | None:
    """Return where the chunk that begins at `at` ends, None if it is torn or none; RFC 8878, section 3.1.1."""
    file.seek(at)
    head = file.read(_LONGEST_HEAD)
    if len(head) < 6 or not head.startswith(MAGIC):
        return None
    flags = head[4]
    single, checksum = flags >> 5 & 1, flags >> 2 & 1
    content = _CONTENT_SIZES[flags >> 6] or single
    at += 5 + (not single) + _DICTIONARY_SIZES[flags & 3] + content
    last = 0
    while not last:
        file.seek(at)
        block = file.read(3)
        if len(block) < 3:
            return None
        number = int.from_bytes(block, "little")
        last, kind, length = number & 1, number >> 1 & 3, number >> 3
        at += 3 + (1 if kind == _REPEATED else length)
    at += 4 * checksum
    return at if at <= size else None
