"""Where symbol files come from: the cache while it is fresh, else the server, else the cache however old it is."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from firstock_ws._http import epoch_of_date, retry_after_seconds
from firstock_ws._secrets import get_logger
from firstock_ws.errors import ServerError
from firstock_ws.models import IST
from firstock_ws.rest.calls import Rest
from firstock_ws.symbols.store import Store, Version
from firstock_ws.symbols.table import BadFileError, Table

logger = get_logger("firstock_ws.symbols")

NEW_FILES_AT = time_of_day(8, 0)
"""IST; the day's files are out by then, and trading has not begun. A file is fresh until the next such moment."""
MAX_FILE = 64 * 2**20
"""Bytes; several times the longest."""
RETRY_AFTER = 300.0
"""Seconds until the server is asked again after it did not answer, while an old file serves."""

Origin = Literal["server", "cache", "stale cache"]


class Loaded(NamedTuple):
    """A file in use."""

    table: Table
    version: Version
    origin: Origin
    """Where it is from; ``"stale cache"`` if it should have been renewed, and could not be."""
    due: float
    """When to look for a newer one, epoch seconds."""


def next_due(checked_at: float) -> float:
    """Return when a file that the server gave at `checked_at` is fresh no more; both epoch seconds."""
    moment = datetime.fromtimestamp(checked_at, IST)
    due = datetime.combine(moment.date(), NEW_FILES_AT, IST)
    return (due if moment < due else due + timedelta(days=1)).timestamp()


def is_this_computer(rest_url: str) -> bool:
    """Whether the server of `rest_url` is on this computer, as simulators are."""
    host = urlsplit(rest_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Source:
    """Gets the symbol files of one server.

    Threads: any; nothing is owned here.
    """

    def __init__(
        self, rest_url: str, folder: Path, ssl_context: ssl.SSLContext | None, timeout: float, revalidate: bool
    ) -> None:
        """
        Args:
            revalidate: whether to ask the server even while the kept file is fresh.
        """
        self._rest_url = rest_url
        self._store = Store(folder, rest_url)
        self._ssl_context = ssl_context
        self._timeout = timeout
        self._revalidate = revalidate

    def load(self, name: str, held: Loaded | None, *, ask: bool = False) -> Loaded:
        """Return the file `name`, as fresh as can be had.

        Args:
            held: what is in use already.
            ask: ask the server, however fresh what is there is.

        Raises:
            ServerError: the server gave none, and none is kept.
        """
        if held is None:
            held = self._kept(name)
            if held is not None and held.origin == "cache" and not (ask or self._revalidate):
                return held
        try:
            return self._renewed(name, held)
        except ServerError as error:
            if held is None:
                why = str(error).rstrip("?.")
                raise ServerError(
                    f"no symbols of {name}: {why}; none are kept on this computer from earlier: try again when "
                    'the server can be reached, or give tokens ("NSE:2885"), which need none',
                    status=error.status,
                    retry_after=error.retry_after,
                ) from error
            at = datetime.fromtimestamp(held.version.checked_at, IST)
            logger.warning("%s; those of %s are used: symbols may be missing", error, f"{at:%d-%b-%Y %H:%M}")
            return held._replace(origin="stale cache", due=time.time() + RETRY_AFTER)

    def _kept(self, name: str) -> Loaded | None:
        stored = self._store.read(name)
        if stored is None:
            return None
        try:
            table = Table(name, stored.data)
        except BadFileError as error:
            logger.warning("the kept symbol file %s is no good: %s", name, error)
            return None
        version = stored.version
        due = next_due(version.checked_at)
        # A clock that went back must not keep a file fresh for long.
        fresh = stored.whole and version.checked_at <= time.time() < due
        return Loaded(table, version, "cache" if fresh else "stale cache", due)

    def _renewed(self, name: str, held: Loaded | None) -> Loaded:
        wanted = _validators(held.version) if held is not None else {}
        rest = Rest(self._rest_url, ssl_context=self._ssl_context, timeout=self._timeout)
        status, data, headers = rest.fetch(f"symbols/{name}", wanted, MAX_FILE)
        now = time.time()
        said = epoch_of_date(headers.get("Date"))
        ahead = said - now if said else 0.0
        if status == 304 and held is not None and wanted:
            version = held.version._replace(checked_at=now, server_ahead=ahead)
            self._note(name, version)
            return Loaded(held.table, version, "server", next_due(now))
        if status != 200:
            wait = retry_after_seconds(headers.get("Retry-After"))
            text = f"symbols/{name} failed: HTTP {status}"
            raise ServerError(text, status=status, retry_after=wait)
        try:
            table = Table(name, data)
            _check_whole(table, data, headers, held)
        except BadFileError as error:
            raise ServerError(f"symbols/{name} failed: what came is no symbol file: {error}", status=200) from None
        version = Version(now, ahead, headers.get("ETag"), headers.get("Last-Modified"))
        self._store.write(name, data, version)
        return Loaded(table, version, "server", next_due(now))

    def _note(self, name: str, version: Version) -> None:
        # Another process may have replaced the file meanwhile: then what it noted stands.
        stored = self._store.read(name)
        if stored is not None and stored.whole and _validators(stored.version) == _validators(version):
            self._store.note(name, stored.data, version)


def _validators(version: Version) -> dict[str, str]:
    told = {"If-None-Match": version.etag, "If-Modified-Since": version.last_modified}
    return {name: value for name, value in told.items() if value}


def _check_whole(table: Table, data: bytes, headers: Mapping[str, str], held: Loaded | None) -> None:
    """Raise BadFileError for a file that may have been cut where nobody can tell: its length was not told."""
    if headers.get("Content-Length", "").isdecimal() or "chunked" in headers.get("Transfer-Encoding", "").lower():
        return
    if not data.endswith((b"\n", b"\r")):
        raise BadFileError("its last row has no end")
    if held is not None and len(table) < len(held.table) / 2:
        raise BadFileError(f"it has {len(table)} rows where there were {len(held.table)}")
