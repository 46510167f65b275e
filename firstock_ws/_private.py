"""Files that only their owner may read."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from firstock_ws.errors import UsageError


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to a file of mode 0600, in place of what was there.

    Raises:
        OSError: the file can't be written.
    """
    target = Path(path)
    # Made for its owner alone, and put in place whole: at no moment can another user read it, or half of it.
    descriptor, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def read_private(path: str | os.PathLike[str]) -> bytes:
    """Return what is in a file.

    Raises:
        UsageError: others than the owner can read or write it.
        OSError: it can't be read.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        # Windows has no such bits: there the folder decides who can read it.
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            name = os.fspath(path)
            raise UsageError(f"others can read {name}: chmod 600 it, and log in again if they may have")
        return file.read()
