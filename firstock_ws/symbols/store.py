"""The symbol files on disk: kept in the user's cache folder, apart by server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from firstock_ws._secrets import get_logger

logger = get_logger("firstock_ws.symbols")

CACHE_VARIABLE = "FIRSTOCK_WS_CACHE_DIR"
"""Environment variable that names another folder than the user's cache."""


_LATEST = 1e11
"""Epoch seconds; no clock shows a later time."""


class Version(NamedTuple):
    """Which version of a file the server gave, and when."""

    checked_at: float
    """When the server last gave it, or said that it still is the newest; epoch seconds."""
    server_ahead: float = 0.0
    """Seconds by which the server's clock was ahead of ours then."""
    etag: str | None = None
    last_modified: str | None = None


class Stored(NamedTuple):
    """A file of the cache."""

    data: bytes
    version: Version
    whole: bool
    """Whether it is as it was written, and `version` is its own."""


def default_folder() -> Path:
    """Return the folder for what this package keeps; none is made."""
    named = os.environ.get(CACHE_VARIABLE, "").strip()
    if named:
        return Path(named).expanduser()
    # Here, since a program that only streams has no use for it.
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("firstock-ws", appauthor=False))


def _version_of(note: dict[str, Any]) -> Version:
    """Return what a note says; raise ValueError where that makes no sense."""
    checked_at, server_ahead = float(note["checked_at"]), float(note["server_ahead"])
    marks = note["etag"], note["last_modified"]
    if not (0 <= checked_at < _LATEST and abs(server_ahead) < _LATEST):
        raise ValueError("a time that is none")
    if not all(mark is None or isinstance(mark, str) for mark in marks):
        raise ValueError("a mark that is no text")
    return Version(checked_at, server_ahead, *marks)


class Store:
    """The files of one server. What was read and can't be trusted is said to be so; writing never raises.

    Threads and processes: any; each file is replaced whole, and a pair that does not fit is noticed by a checksum.
    """

    def __init__(self, folder: Path, rest_url: str) -> None:
        self._folder = folder / "symbols" / re.sub(r"[^a-z0-9.-]+", "_", rest_url.lower())

    def read(self, name: str) -> Stored | None:
        """Return a file, None if it is not there or can't be read."""
        path = self._folder / f"{name}.csv"
        try:
            data, written = path.read_bytes(), path.stat().st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("the kept symbol file %s can't be read (%s)", name, type(error).__name__)
            return None
        try:
            note = json.loads((self._folder / f"{name}.json").read_bytes())
            version = _version_of(note)
            if note["checksum"] == _checksum(data):
                return Stored(data, version, whole=True)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            logger.debug("the note on the symbol file %s is missing or makes no sense", name)
        return Stored(data, Version(written), whole=False)

    def write(self, name: str, data: bytes, version: Version) -> None:
        """Keep a file."""
        self._replace(f"{name}.csv", data)
        self.note(name, data, version)

    def note(self, name: str, data: bytes, version: Version) -> None:
        """Keep what is known of a file that is there already."""
        note = {**version._asdict(), "checksum": _checksum(data)}
        self._replace(f"{name}.json", json.dumps(note).encode())

    def _replace(self, name: str, data: bytes) -> None:
        temporary = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=f"{name}.", delete=False) as file:
                temporary = file.name
                file.write(data)
            os.replace(temporary, self._folder / name)
        except OSError as error:
            logger.warning("the symbol file %s can't be kept on disk (%s)", name, error.strerror)
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)


def _checksum(data: bytes) -> str:
    return f"{len(data)}-{zlib.crc32(data):08x}"
