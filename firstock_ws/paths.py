"""Where the session and the profiles of the command line are kept on this system."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs

APP = "firstock-ws"


def session_file() -> Path:
    """The session of today: a secret."""
    return platformdirs.user_data_path(APP, appauthor=False) / "session.json"


def profile_file(name: str) -> Path:
    """What a profile holds; nothing of it is secret."""
    return platformdirs.user_config_path(APP, appauthor=False) / "profiles" / f"{name}.json"


def make_private(folder: Path) -> None:
    """Make `folder`, and keep others out of it.

    Raises:
        OSError: it can't be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)
