"""The session of today: from the environment, or the one that ``firstock-ws login`` has kept."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from firstock_ws._private import read_private, write_private
from firstock_ws._secrets import REDACTOR
from firstock_ws.errors import AuthenticationError, UsageError
from firstock_ws.models import IST
from firstock_ws.paths import make_private, session_file
from firstock_ws.protocol import API_URL, V1_URL, V2_URL, check_rest_url, check_url
from firstock_ws.rest.session import Session

DIES_AT = time(3, 0)
"""IST; about then the broker ends all sessions of the day before."""
LOG_IN = "log in with: firstock-ws login"


@dataclass(frozen=True)
class Access:
    """A session, and the addresses that its key may be sent to."""

    session: Session
    url: str
    rest_url: str | None
    since: datetime | None
    """When it was logged in, IST; None where nobody has said."""
    file: Path | None = None
    """Where it is kept; None for one from the environment."""

    @property
    def until(self) -> datetime | None:
        """When the broker ends it, IST."""
        return None if self.since is None else end_of(self.since)

    @property
    def server(self) -> str:
        """The host, for whoever reads it."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def check_alive(self, now: datetime | None = None) -> None:
        """Raise AuthenticationError if the night has ended it."""
        if self.until is not None and (now or datetime.now(IST)) >= self.until:
            raise AuthenticationError(
                f"the session of {self.session.user_id} ended at {clock(self.until)}, as all do at night: {LOG_IN}"
            )

    @staticmethod
    def check_place() -> None:
        """Try whether a session could be kept: a login ends the one before it, and must not be for nothing.

        Raises:
            UsageError: it could not.
        """
        path = session_file()
        try:
            make_private(path.parent)
            probe = path.with_name(f".{path.name}.probe")
            write_private(probe, "")
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(
                f"{path} could not be written ({error.strerror}), so nobody was logged in: give HOME (or "
                "XDG_DATA_HOME) a folder of yours that can be"
            ) from None

    def save(self) -> Path:
        """Keep it for the other commands; return where. `Session.load` reads that file too.

        Raises:
            OSError: it can't be written.
        """
        path = session_file()
        make_private(path.parent)
        values = asdict(self.session) | {"url": self.url, "rest_url": self.rest_url}
        write_private(path, json.dumps(values | {"since": self.since and self.since.isoformat()}))
        return path


def find_access() -> Access:
    """Return the session to work with, dead or alive.

    Raises:
        AuthenticationError: there is none.
        UsageError: the environment makes no sense, or the kept one can't be trusted.
    """
    access = _from_environment() or saved_access()
    if access is None:
        raise AuthenticationError(
            f"no session: {LOG_IN}, or set FIRSTOCK_USER_ID and FIRSTOCK_JKEY in the environment"
        )
    return access


def live_access() -> Access:
    """Return the session to work with; raise AuthenticationError, too, if it is known to be dead."""
    access = find_access()
    access.check_alive()
    return access


def saved_access() -> Access | None:
    """Return the session that ``login`` has kept, None if there is none.

    Raises:
        UsageError: others can read the file, or it holds something else.
    """
    path = session_file()
    try:
        text = read_private(path)
        session = Session.load(path)
    except FileNotFoundError:
        return None
    try:
        values: dict[str, Any] = json.loads(text)
        url, rest_url = check_addresses(values.get("url"), values.get("rest_url"))
        since = datetime.fromisoformat(values["since"]).astimezone(IST)
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} was not written by firstock-ws login: {LOG_IN}") from None
    return Access(session, url, rest_url, since, path)


def _from_environment() -> Access | None:
    user_id, jkey = (os.environ.get(f"FIRSTOCK_{name}", "").strip() for name in ("USER_ID", "JKEY"))
    if not jkey:
        return None
    REDACTOR.remember(jkey)
    if not user_id:
        raise UsageError("FIRSTOCK_JKEY is set, FIRSTOCK_USER_ID is not: set both, or neither")
    url, rest_url = os.environ.get("FIRSTOCK_URL"), os.environ.get("FIRSTOCK_REST_URL")
    # Streams without a REST address are fine: only the books are not read then.
    checked = check_addresses(url, rest_url, both=False)
    return Access(Session(user_id, jkey), *checked, since=None)


def check_addresses(url: str | None, rest_url: str | None, *, both: bool = True) -> tuple[str, str | None]:
    """Return the addresses of the stream and of REST; blanks stand for the broker's own.

    Args:
        both: whether a stream elsewhere needs a REST address, since the key comes from there.

    Raises:
        UsageError: one is no address, or they do not belong together.
    """
    url, rest_url = (url or "").strip() or V1_URL, (rest_url or "").strip() or None
    try:
        check_url(url)
        rest_url = rest_url and check_rest_url(rest_url)
    except ValueError as error:
        raise UsageError(str(error)) from None
    at_broker = url in (V1_URL, V2_URL)
    if at_broker and rest_url is None:
        return url, API_URL
    if (both and rest_url is None) or (at_broker and rest_url != API_URL):
        raise UsageError("--url and --rest-url (FIRSTOCK_URL, FIRSTOCK_REST_URL) belong together: give both")
    return url, rest_url


def end_of(since: datetime) -> datetime:
    """Return when a session that began at `since` dies: the next 03:00 IST."""
    since = since.astimezone(IST)
    night = datetime.combine(since.date(), DIES_AT, IST)
    return night if since < night else night + timedelta(days=1)


def clock(moment: datetime) -> str:
    """Return a time for whoever reads it: ``24 Nov 03:00 IST``."""
    return f"{moment.astimezone(IST):%d %b %H:%M} IST"
