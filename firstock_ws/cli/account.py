"""``login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from firstock_ws.access import Access, check_addresses, clock, find_access
from firstock_ws.cli.credentials import gather, open_values
from firstock_ws.cli.profiles import check_name, read_profile, write_profile
from firstock_ws.errors import AuthenticationError, FirstockError, ServerError, UsageError
from firstock_ws.models import IST
from firstock_ws.protocol import V1_URL, V2_URL
from firstock_ws.rest.session import login, logout
from firstock_ws.showable import showable

_HERE = ("127.0.0.1", "::1", "localhost")


def run_login(given: Mapping[str, str | None], profile: str | None, save_profile: str | None) -> int:
    """Log in, and keep the session; return the exit code.

    Args:
        given: options by name: user_id, vendor_code, url, rest_url.
        profile: name of the profile to read.
        save_profile: name of the profile to write.
    """
    if save_profile is not None:
        check_name(save_profile)
    kept: dict[str, str] = {}
    if profile is not None:
        kept, strange = read_profile(profile)
        if strange:
            names = ", ".join(sorted(strange))
            _warn(f"profile {profile!r} holds {names}: ignored; take it out, a profile is no place for secrets")
    values = open_values(given, kept)
    url, rest_url = check_addresses(values["url"], values["rest_url"])
    assert rest_url is not None
    parts = urlsplit(rest_url)
    asked = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme == "http" and parts.hostname not in _HERE:
        _warn(f"{parts.hostname} is not this computer, and http:// is not encrypted: others can read along")
    Access.check_place()
    found = gather(values)
    try:
        session = login(
            found.user_id, found.password, found.totp, found.vendor_code, found.api_key, base_url=rest_url
        )
    except ServerError as error:
        raise ServerError(f"{error} (asked at {asked})") from None
    access = Access(session, url, rest_url, datetime.now(IST).replace(microsecond=0))
    path = access.save()
    print(f"Logged in as {_name(access)} at {access.server}, until {clock(access.until or datetime.now(IST))}.")
    print(f"The session is kept in {path}, which only you can read; firstock-ws logout ends it.")
    if save_profile is not None:
        wanted = {"user_id": found.user_id, "vendor_code": found.vendor_code}
        if url not in (V1_URL, V2_URL):
            wanted |= {"url": url, "rest_url": rest_url}
        print(f"Profile {save_profile}: {write_profile(save_profile, wanted)}")
    return 0


def run_logout() -> int:
    """End the session and forget it, also when the broker says that it was dead; return the exit code."""
    access = find_access()
    if access.rest_url is None:
        raise UsageError("the REST address is not known: set FIRSTOCK_REST_URL")
    said = "Logged out"
    try:
        logout(access.session, base_url=access.rest_url)
    except AuthenticationError:
        said = "The session was dead already"
    except FirstockError as error:
        # Kept then: without its key nobody could end it before the night.
        forget = f"; to forget it here alone, delete {access.file}" if access.file is not None else ""
        raise ServerError(f"still logged in: {error}{forget}") from None
    if access.file is not None:
        access.file.unlink(missing_ok=True)
        said += "; forgotten here"
    print(f"{said}: {access.session.user_id} at {access.server}.")
    return 0


def run_whoami() -> int:
    """Print who is logged in, as this computer knows it; return the exit code."""
    access = find_access()
    access.check_alive()
    print(f"user    {_name(access)}")
    print(f"since   {clock(access.since) if access.since else 'not known: the session is from the environment'}")
    print(f"until   {clock(access.until) if access.until else 'about 03:00 IST of the day after the login'}")
    print(f"server  {access.server}")
    print(f"kept    {access.file or 'nowhere: FIRSTOCK_USER_ID and FIRSTOCK_JKEY are set'}")
    return 0


def _name(access: Access) -> str:
    session = access.session
    return showable(f"{session.user_id} ({session.user_name})" if session.user_name else session.user_id)


def _warn(text: str) -> None:
    print(f"firstock-ws: {text}", file=sys.stderr)
