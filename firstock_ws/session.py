"""Logging in over REST, which is where the jKey of the stream comes from. Pages: "Login", "Logout"."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import requests

from firstock_ws._http import retry_after_seconds
from firstock_ws._secrets import MASK, REDACTOR
from firstock_ws.errors import AuthenticationError, FirstockError, RateLimitError, ServerError

API_URL = "https://api.firstock.in/V1"


@dataclass(frozen=True, slots=True)
class Session:
    """A login of today. The jKey is not shown when the session is printed."""

    user_id: str
    jkey: str = field(repr=False)
    """The session key (``susertoken``) for `FirstockWS`. It dies at night, and at a login elsewhere."""
    account_id: str | None = None
    user_name: str | None = None
    email: str | None = field(default=None, repr=False)


def login(
    user_id: str,
    password: str,
    totp: str,
    vendor_code: str,
    api_key: str,
    *,
    base_url: str = API_URL,
    timeout: float = 10.0,
) -> Session:
    """Log in and return the session.

    Args:
        user_id: the broker's client code, such as ``"AB1234"``.
        password: in plain; only its SHA-256 is sent.
        totp: the six digits that the authenticator shows now.
        vendor_code: from the broker's API page.
        api_key: from the broker's API page.
        base_url: the address of the REST API, with its version.
        timeout: seconds to wait for a connection, and for each part of the answer.

    Raises:
        AuthenticationError: the broker refused; `field`, `code` and `name` say what of.
        RateLimitError: too many requests (the broker allows 10 a second).
        ServerError: the broker could not be reached, failed, or answered something else than its protocol.
        ValueError: an argument is empty or no string; nothing was sent.
    """
    fields = {
        "user_id": user_id,
        "password": password,
        "totp": totp,
        "vendor_code": vendor_code,
        "api_key": api_key,
    }
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            what = "empty" if isinstance(value, str) else f"of type {type(value).__name__}"
            raise ValueError(f"{name} is {what}: login needs all of {', '.join(fields)}, as strings")
    digest = hashlib.sha256(password.encode()).hexdigest()
    for secret in (password, digest, api_key):
        REDACTOR.remember(secret)
    body = {
        "userId": user_id.strip(),
        "password": digest,
        "TOTP": totp.strip(),
        "vendorCode": vendor_code,
        "apiKey": api_key,
    }
    answer = _post("login", base_url, body, timeout, hide=(totp.strip(),))
    data = answer.get("data")
    jkey = data.get("susertoken") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(jkey, str) or not jkey.strip():
        raise ServerError("login succeeded, but the answer holds no susertoken: try again", status=200)
    REDACTOR.remember(jkey.strip())
    return Session(
        user_id=user_id.strip(),
        jkey=jkey.strip(),
        account_id=_text(data.get("actid")),
        user_name=_text(data.get("userName")),
        email=_text(data.get("email")),
    )


def logout(session: Session, *, base_url: str = API_URL, timeout: float = 10.0) -> None:
    """End `session` at the broker: its jKey is dead afterwards.

    Args and errors are those of `login`; `AuthenticationError` here means that it was dead already.
    """
    if not isinstance(session, Session):
        raise TypeError(f"logout takes the Session that login returned, not {type(session).__name__}")
    _post("logout", base_url, {"userId": session.user_id, "jKey": session.jkey}, timeout, hide=(session.jkey,))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _post(what: str, base_url: str, body: dict[str, str], timeout: float, hide: tuple[str, ...]) -> dict[str, Any]:
    """Send `body` to the REST call `what`; return the decoded answer, which says "success"."""
    response: requests.Response | None = None
    problem = ""
    try:
        # Not followed: a redirect would carry the credentials to another address.
        response = requests.post(
            f"{base_url.rstrip('/')}/{what}", json=body, timeout=timeout, allow_redirects=False
        )
    except requests.exceptions.Timeout:
        problem = f"no answer within {timeout} s"
    except requests.exceptions.SSLError:
        problem = "TLS failed: check this computer's clock and certificates"
    except requests.exceptions.RequestException as error:
        problem = f"no connection ({type(error).__name__}): is the network up?"
    if response is None:
        # Outside the except clause: the library's exception holds the request, and with it the body.
        raise ServerError(f"{what} failed: {problem}")
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    if response.status_code == 200 and str(answer.get("status")).lower() == "success":
        return answer
    raise _failure(what, response, answer, hide)


def _failure(
    what: str, response: requests.Response, answer: dict[str, Any], hide: tuple[str, ...]
) -> FirstockError:
    status = response.status_code
    if status == 429:
        wait = retry_after_seconds(response.headers.get("Retry-After"))
        return RateLimitError(f"{what} failed: too many requests; wait {wait or 1:g} s", retry_after=wait)
    if status >= 500:
        return ServerError(
            f"{what} failed: the broker's side has a fault (HTTP {status}); try later", status=status
        )
    refused = str(answer.get("status")).lower() == "failed"
    if not refused and status not in (401, 403):
        return ServerError(f"{what} failed: HTTP {status} with an answer that is not the broker's", status=status)
    details = answer.get("error")
    details = details if isinstance(details, dict) else {}
    said = _text(details.get("message")) or _text(answer.get("message")) or "no reason given"
    for secret in hide:
        said = said.replace(secret, MASK)
    code = answer.get("code")
    return AuthenticationError(
        f"{what} failed: {REDACTOR.redact(said)[:200]}",
        field=_text(details.get("field")),
        code=str(code) if code is not None else str(status),
        name=_text(answer.get("name")),
    )
