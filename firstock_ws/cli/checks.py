"""What ``doctor`` looks at on this computer. Each check returns in bounded time and raises nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from dataclasses import dataclass
from datetime import datetime, time

from firstock_ws._version import __version__
from firstock_ws.access import Access, clock
from firstock_ws.models import IST
from firstock_ws.settings import fast_path_allowed

GOOD, WARN, FAIL = "ok", "warn", "fail"

OPENS, CLOSES = time(9, 15), time(15, 30)
"""IST, Monday to Friday."""
_LIBRARIES = ("websocket-client", "requests", "urllib3", "msgspec")


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    status: str
    """``ok``, ``warn`` or ``fail``."""
    detail: str
    advice: str = ""
    """What to do, where there is something to do."""


def check_python() -> Finding:
    """The interpreter."""
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", GOOD, text)


def check_libraries() -> Finding:
    """What is installed."""
    found = {name: _version(name) for name in _LIBRARIES}
    text = ", ".join([f"firstock-ws {__version__}", *(f"{name} {of}" for name, of in found.items() if of)])
    if found["websocket-client"] in ("1.9.0", "1.9.1"):
        return Finding(
            "libraries", FAIL, text, 'close() hangs with it: pip install -U "websocket-client!=1.9.0,!=1.9.1"'
        )
    return Finding("libraries", GOOD, text)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_fast_path() -> Finding:
    """Whether frames are read and decoded the fast way."""
    from firstock_ws.connection.library import fits

    if not fast_path_allowed():
        return Finding(
            "fast path", WARN, "off", "unset FIRSTOCK_WS_FAST_PATH, or leave it so at several times the CPU"
        )
    if not fits():
        return Finding("fast path", WARN, "this websocket-client is not known", "pip install -U firstock-ws")
    if importlib.util.find_spec("msgspec") is None:
        return Finding("fast path", WARN, "msgspec is not installed", 'pip install "firstock-ws[fast]"')
    return Finding("fast path", GOOD, f"available, msgspec {_version('msgspec') or 'of unknown version'}")


def check_session(access: Access | None, problem: str = "") -> Finding:
    """Whether there is a session of today.

    Args:
        access: the session; None for none.
        problem: why there is none, if that is a fault.
    """
    if access is None:
        if problem:
            return Finding("session", FAIL, problem)
        return Finding("session", WARN, "none", "firstock-ws login")
    user = f"{access.session.user_id} at {access.server}"
    if access.since is None or access.until is None:
        return Finding("session", GOOD, f"{user}, from the environment; when it began is not known")
    if datetime.now(IST) >= access.until:
        return Finding("session", FAIL, f"{user} ended at {clock(access.until)}", "firstock-ws login")
    return Finding("session", GOOD, f"{user}, since {clock(access.since)}, until {clock(access.until)}")


def check_market(now: datetime | None = None) -> Finding:
    """Whether the market is open by the clock."""
    now = (now or datetime.now(IST)).astimezone(IST)
    is_open = now.weekday() < 5 and OPENS <= now.time() < CLOSES
    text = f"{'open' if is_open else 'closed'} by the clock, {now:%a %H:%M} IST; holidays are not known here"
    return Finding("market", GOOD, text)


def check_encoding() -> Finding | None:
    """Whether stdout can show the table; None where there is nothing to say."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding.startswith("utf"):
        return None
    return Finding("terminal", WARN, f"writes {encoding or 'an unknown encoding'}", "set PYTHONUTF8=1")


def check_symbols(rest_url: str | None) -> Finding:
    """How old the kept symbol files of a server are; nothing is downloaded."""
    from firstock_ws.symbols.master import FILES
    from firstock_ws.symbols.source import next_due
    from firstock_ws.symbols.store import Store, default_folder

    store = Store(default_folder(), rest_url or "")
    kept = {name: found for name in FILES if (found := store.read(name)) is not None}
    if not kept:
        return Finding("symbols", GOOD, "no file kept yet: the first name that is looked up brings it")
    oldest = min(found.version.checked_at for found in kept.values())
    damaged = [name for name, found in kept.items() if not found.whole]
    text = f"{', '.join(kept)}, the oldest of {clock(datetime.fromtimestamp(oldest, IST))}"
    if damaged:
        return Finding("symbols", WARN, f"{', '.join(damaged)} damaged", "they are downloaded again when needed")
    if datetime.now(IST).timestamp() >= next_due(oldest):
        return Finding("symbols", WARN, text, "not today's; they are renewed when a name is looked up")
    return Finding("symbols", GOOD, text)
