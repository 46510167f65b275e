"""What the files of a recorder are called, day by day."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

_SUFFIXES = (".jsonl.zst", ".jsonl")


class Naming:
    """Gives each day's file its name.

    Threads: only called with the order of the client's taps held, or before the recorder has started.
    """

    def __init__(self, template: str | os.PathLike[str]) -> None:
        """
        Raises:
            ValueError: the name ends in no suffix of a recording.
        """
        self.template = Path(template)
        self._suffix = next((s for s in _SUFFIXES if self.template.name.lower().endswith(s)), "")
        if not self._suffix:
            raise ValueError(
                f'the name of a recording must end in ".jsonl" or ".jsonl.zst": {self.template.name!r}'
            )
        self._first: tuple[str, str] | None = None
        """The first day, and its name."""

    def path_at(self, now: datetime) -> Path:
        """Return the name of the file for `now`, an IST time."""
        name = now.strftime(str(self.template)) if "%" in str(self.template) else str(self.template)
        day = now.strftime("%Y-%m-%d")
        if self._first is None:
            self._first = day, name
        if day != self._first[0] and name == self._first[1]:
            stem, suffix = name[: -len(self._suffix)], name[-len(self._suffix) :]
            name = f"{stem}-{day}{suffix}"
        return Path(name)
