"""What ``doctor`` looks at on the network. Each check returns in bounded time and raises nothing."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from firstock_ws._secrets import Secret
from firstock_ws.access import Access
from firstock_ws.cli.checks import FAIL, GOOD, WARN, Finding
from firstock_ws.client import FirstockWS
from firstock_ws.errors import AuthenticationError, FirstockError, SessionLimitError
from firstock_ws.flag import Flag
from firstock_ws.models import Quote
from firstock_ws.rest.calls import Rest, failure
from firstock_ws.tls import default_context

PATIENCE = 5.0
"""Seconds that each step may take."""
FIRST_QUOTE = "NSE:26000"
"""The Nifty 50: what everybody may stream."""
_CERTIFICATE_DAYS = 7
_NO_SUCH_PATH = 404
_CLOCK_GOOD, _CLOCK_BAD = 2.0, 25.0
"""Seconds; the header is cut to whole ones, and a TOTP lives thirty."""


@dataclass(frozen=True)
class Place:
    """A host to reach."""

    name: str
    host: str
    port: int
    secure: bool


def place_of(name: str, url: str) -> Place:
    """Return where `url` leads."""
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "https")
    return Place(name, str(parts.hostname), parts.port or (443 if secure else 80), secure)


def check_place(place: Place) -> list[Finding]:
    """Look up, connect and shake hands; what can't be tried any more is left out."""
    findings = []
    addresses, found = _look_up(place)
    findings.append(found)
    if addresses:
        sock, found = _dial(place, addresses)
        findings.append(found)
        if sock is not None:
            with sock:
                findings.append(_shake_hands(place, sock))
    return findings


def _look_up(place: Place) -> tuple[list[Any], Finding]:
    name = f"{place.name} dns"
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    began = time.monotonic()
    # On a thread: a look-up can't be cut short.
    threading.Thread(target=ask, name="doctor-dns", daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE)
    except queue.Empty:
        answer = TimeoutError()
    if isinstance(answer, Exception):
        why = (
            "no answer"
            if isinstance(answer, TimeoutError)
            else getattr(answer, "strerror", None) or "no host name"
        )
        return [], Finding(name, FAIL, f"{place.host}: {why}", "is the network up? is the name right?")
    shown = answer[0][4][0]
    return answer, Finding(name, GOOD, f"{place.host} is {shown}, {_ms(began)}")


def _dial(place: Place, addresses: list[Any]) -> tuple[socket.socket | None, Finding]:
    name = f"{place.name} tcp"
    began = time.monotonic()
    why = "no address"
    for family, kind, protocol, _, address in addresses:
        left = began + PATIENCE - time.monotonic()
        if left <= 0:
            break
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(left)
            sock.connect(address)
            return sock, Finding(name, GOOD, f"port {place.port}, {_ms(began)}")
        except OSError as error:
            why = (
                "no answer"
                if isinstance(error, TimeoutError)
                else (error.strerror or type(error).__name__).lower()
            )
            if sock is not None:
                sock.close()
    return None, Finding(name, FAIL, f"port {place.port}: {why}", "does a firewall stop it? is the server up?")


def _shake_hands(place: Place, sock: socket.socket) -> Finding:
    name = f"{place.name} tls"
    if not place.secure:
        return Finding(name, GOOD, "not used")
    began = time.monotonic()
    sock.settimeout(PATIENCE)
    try:
        with default_context().wrap_socket(sock, server_hostname=place.host) as secured:
            certificate = secured.getpeercert() or {}
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        advice = "check this computer's clock and certificates; does something between read along?"
        return Finding(name, FAIL, f"the certificate was refused: {error.verify_message}", advice)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        return Finding(name, FAIL, f"the handshake failed: {why}", "is it a TLS server?")
    days = _days_left(certificate)
    if days is None:
        return Finding(name, GOOD, f"{version}, {_ms(began)}")
    text = f"{version}, certificate good for {days} days, {_ms(began)}"
    return Finding(name, WARN if days < _CERTIFICATE_DAYS else GOOD, text)


def _days_left(certificate: dict[str, Any]) -> int | None:
    try:
        ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    except (KeyError, ValueError):
        return None
    return int((ends - time.time()) // 86_400)


def check_rest(rest_url: str, access: Access | None) -> list[Finding]:
    """Ask for the order book: tells whether REST answers, of its clock, and of the key."""
    user_id, jkey = (access.session.user_id, access.session.jkey) if access is not None else ("", "")
    began = time.monotonic()
    try:
        answer = Rest(rest_url, timeout=PATIENCE).call("orderBook", {"userId": user_id, "jKey": Secret(jkey)})
    except FirstockError as error:
        return [Finding("rest", FAIL, str(error), "is --rest-url right?")]
    took = time.monotonic() - began
    if answer.status == _NO_SUCH_PATH:
        return [Finding("rest", FAIL, "no such path", "is --rest-url right?")]
    findings = [
        Finding("rest", FAIL, f"HTTP {answer.status}", "a fault of the broker's: try later")
        if answer.status >= 500
        else Finding("rest", GOOD, f"answers, {took * 1000:.0f} ms")
    ]
    if answer.epoch:
        findings.append(_clock(answer.epoch, took))
    if access is not None and answer.status < 500:
        refusal = None if answer.ok else failure("orderBook", answer, about_key=False)
        if isinstance(refusal, AuthenticationError):
            findings.append(Finding("key", FAIL, "the broker refuses it", "firstock-ws login"))
        else:
            findings.append(Finding("key", GOOD, "accepted over REST"))
    return findings


def _clock(epoch: int, took: float) -> Finding:
    # The header is of some moment within the call, cut to the second.
    ahead = time.time() - took / 2 - (epoch + 0.5)
    if abs(ahead) <= _CLOCK_GOOD + took:
        return Finding("clock", GOOD, "agrees with the server's")
    server = datetime.fromtimestamp(epoch, timezone.utc)
    text = (
        f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's, {server:%Y-%m-%d %H:%M:%S} UTC"
    )
    advice = "set this computer's clock: a TOTP is good for 30 s (a simulator with --seed has a clock of its own)"
    return Finding("clock", FAIL if abs(ahead) > _CLOCK_BAD else WARN, text, advice)


def check_stream(access: Access) -> list[Finding]:
    """Connect, and wait for a first quote: tells of the key, of the session limit, and of the feed."""
    came = Flag()

    def on_quote(quote: Quote) -> None:
        came.set()

    client = FirstockWS(
        access.session.user_id,
        access.session.jkey,
        tokens=FIRST_QUOTE,
        url=access.url,
        reconcile=False,
        reconnect=False,
        connect_timeout=PATIENCE,
        on_quote=on_quote,
    )
    with client:
        began = time.monotonic()
        try:
            client.connect(2 * PATIENCE)
        except SessionLimitError as error:
            return [Finding("sessions", FAIL, str(error), "close one of the other programs")]
        except AuthenticationError as error:
            return [Finding("stream", FAIL, str(error), "firstock-ws login")]
        except FirstockError as error:
            return [Finding("stream", FAIL, str(error))]
        findings = [
            Finding("stream", GOOD, f"connected and authenticated, {_ms(began)}"),
            Finding("sessions", GOOD, "the broker had room for one more"),
        ]
        if came.wait(PATIENCE):
            findings.append(Finding("first quote", GOOD, f"{FIRST_QUOTE} after {_ms(began)}"))
        else:
            advice = "normal while the market is closed; else try again"
            findings.append(Finding("first quote", WARN, f"none of {FIRST_QUOTE} within {PATIENCE:g} s", advice))
    return findings


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


def _ms(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"
