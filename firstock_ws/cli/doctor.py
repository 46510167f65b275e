"""``doctor``: checks everything between this computer and the first quote."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from rich.console import Console
from rich.text import Text

from firstock_ws.access import Access, check_addresses, find_access
from firstock_ws.cli.checks import (
    FAIL,
    GOOD,
    WARN,
    Finding,
    check_encoding,
    check_fast_path,
    check_libraries,
    check_market,
    check_python,
    check_session,
    check_symbols,
)
from firstock_ws.cli.network import Place, check_place, check_rest, check_stream, place_of
from firstock_ws.errors import AuthenticationError, UsageError
from firstock_ws.models import IST
from firstock_ws.showable import showable

_STYLES = {GOOD: "green", FAIL: "bold red"}


def run_doctor(*, url: str | None, rest_url: str | None, as_json: bool) -> int:
    """Print what was found, each as soon as it is; return 1 if anything failed, else 0.

    Args:
        url: the WebSocket to look at; None for that of the session.
        rest_url: the REST address; None for that of the session.
        as_json: whether to print one JSON object.
    """
    # Before the first line: a wrong address is no finding.
    if url or rest_url:
        check_addresses(url, rest_url)
    findings = []
    console = Console(highlight=False)
    for finding in _examine(url, rest_url):
        findings.append(finding)
        if not as_json:
            _print(console, finding)
    failed = any(finding.status == FAIL for finding in findings)
    if as_json:
        json.dump({"ok": not failed, "checks": [asdict(finding) for finding in findings]}, sys.stdout, indent=2)
        print()
    return 1 if failed else 0


def _print(console: Console, finding: Finding) -> None:
    text = Text()
    text.append(f"{finding.status:<5}", style=_STYLES.get(finding.status, "yellow"))
    text.append(f"{finding.name:<12}", style="bold")
    text.append(showable(finding.detail))
    if finding.advice:
        text.append(f": {finding.advice}", style="yellow")
    console.print(text, soft_wrap=True)


def _examine(url: str | None, rest_url: str | None) -> Iterator[Finding]:
    yield check_python()
    yield check_libraries()
    yield check_fast_path()
    encoding = check_encoding()
    if encoding is not None:
        yield encoding
    access, problem = _session()
    yield check_session(access, problem)
    yield check_market()
    if access is not None and not url and not rest_url:
        url, rest_url = access.url, access.rest_url
    else:
        url, rest_url = check_addresses(
            url or os.environ.get("FIRSTOCK_URL"), rest_url or os.environ.get("FIRSTOCK_REST_URL"), both=False
        )
    yield check_symbols(rest_url)
    # A key is shown to nobody but the server it is from.
    at_home = access is not None and (access.url, access.rest_url) == (url, rest_url)
    usable = access if access is not None and at_home and _is_alive(access) else None
    yield from _network(url, rest_url, usable)


def _session() -> tuple[Access | None, str]:
    try:
        return find_access(), ""
    except AuthenticationError:
        return None, ""
    except (UsageError, OSError) as error:
        return None, str(error)


def _is_alive(access: Access) -> bool:
    return access.until is None or datetime.now(IST) < access.until


def _network(url: str, rest_url: str | None, access: Access | None) -> Iterator[Finding]:
    stream = list(check_place(place_of("stream", url)))
    yield from stream
    rest: list[Finding] = []
    if rest_url is not None:
        place: Place = place_of("rest", rest_url)
        rest = check_place(place)
        yield from rest
        if all(finding.status != FAIL for finding in rest):
            rest = check_rest(rest_url, access)
            yield from rest
    refused = any(finding.status == FAIL for finding in [*stream, *(one for one in rest if one.name == "key")])
    if access is not None and not refused:
        yield from check_stream(access)
    elif access is None:
        what = "key, stream and first quote were not tried: there is no live session for this server"
        yield Finding("not tried", WARN, what, "firstock-ws login, with the same --url and --rest-url")
