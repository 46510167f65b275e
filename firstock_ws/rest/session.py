"""Logging in over REST, which is where the jKey of the stream comes from. Pages: "Login", "Logout"."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from dataclasses import asdict, dataclass, field, fields

from firstock_ws._private import read_private, write_private
from firstock_ws._secrets import REDACTOR, Secret
from firstock_ws.errors import ServerError, UsageError
from firstock_ws.protocol import API_URL
from firstock_ws.rest.calls import Answer, Rest, failure


@dataclass(frozen=True, slots=True)
class Session:
    """A login of today. The jKey is not shown when the session is printed."""

    user_id: str
    jkey: str = field(repr=False)
    """The session key (``susertoken``) for `FirstockWS`. It dies at night, and at a login elsewhere."""
    account_id: str | None = None
    user_name: str | None = None
    email: str | None = field(default=None, repr=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the session to a file that only its owner can read (mode 0600), in place of what was there.

        No secret is written to disk but by this call and ``firstock-ws login``. The file holds the jKey:
        whoever reads it can trade.

        Raises:
            OSError: the file can't be written.
        """
        write_private(path, json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Session:
        """Return the session that `save` wrote.

        Raises:
            UsageError: others than the owner can read or write the file, or it holds no session.
            OSError: the file can't be read.
        """
        session = cls._read(read_private(path))
        if session is None:
            raise UsageError(f"{os.fspath(path)} holds no session: log in again and save it")
        REDACTOR.remember(session.jkey)
        return session

    @classmethod
    def _read(cls, text: bytes) -> Session | None:
        try:
            values = json.loads(text)
            # The command line keeps more in the same file.
            session = cls(**{entry.name: values[entry.name] for entry in fields(cls) if entry.name in values})
        except (ValueError, TypeError, RecursionError):
            return None
        needed = (session.user_id, session.jkey)
        given = (*needed, *filter(None, (session.account_id, session.user_name, session.email)))
        good = all(isinstance(value, str) for value in given) and all(value.strip() for value in needed)
        return session if good else None


def login(
    user_id: str,
    password: str,
    totp: str,
    vendor_code: str,
    api_key: str,
    *,
    base_url: str = API_URL,
    timeout: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
) -> Session:
    """Log in and return the session.

    Args:
        user_id: the broker's client code, such as ``"AB1234"``.
        password: in plain; only its SHA-256 is sent.
        totp: the six digits that the authenticator shows now.
        vendor_code: from the broker's API page.
        api_key: from the broker's API page.
        base_url: the address of the REST API, with its version.
        timeout: seconds that the call may take in all.
        ssl_context: your own TLS settings; the default verifies with this computer's certificates.

    Raises:
        AuthenticationError: the broker refused; `field`, `code` and `name` say what of.
        RateLimitError: too many requests (the broker allows 10 a second).
        ServerError: the broker could not be reached, failed, or answered something else than its protocol.
        ValueError: an argument is empty or no string; nothing was sent.
    """
    given = {
        "user_id": user_id,
        "password": password,
        "totp": totp,
        "vendor_code": vendor_code,
        "api_key": api_key,
    }
    for name, value in given.items():
        if not isinstance(value, str) or not value.strip():
            what = "empty" if isinstance(value, str) else f"of type {type(value).__name__}"
            raise ValueError(f"{name} is {what}: login needs all of {', '.join(given)}, as strings")
    digest = hashlib.sha256(password.encode()).hexdigest()
    for secret in (password, digest, api_key):
        REDACTOR.remember(secret)
    hide = Secret(totp.strip())
    body: dict[str, str | Secret] = {
        "userId": user_id.strip(),
        "password": Secret(digest),
        "TOTP": hide,
        "vendorCode": vendor_code,
        "apiKey": Secret(api_key),
    }
    # Error reporters write the variables of every frame of a traceback down.
    del password, totp, api_key, digest, secret, given, value
    answer = _call("login", base_url, body, timeout, ssl_context, hide)
    data = answer.body.get("data")
    jkey = data.get("susertoken") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(jkey, str) or not jkey.strip():
        del answer, data, jkey
        raise ServerError("login succeeded, but the answer holds no susertoken: try again", status=200)
    REDACTOR.remember(jkey.strip())
    return Session(
        user_id=user_id.strip(),
        jkey=jkey.strip(),
        account_id=_text(data.get("actid")),
        user_name=_text(data.get("userName")),
        email=_text(data.get("email")),
    )


def logout(
    session: Session,
    *,
    base_url: str = API_URL,
    timeout: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
) -> None:
    """End `session` at the broker: its jKey is dead afterwards.

    Args and errors are those of `login`; `AuthenticationError` here means that it was dead already.
    """
    if not isinstance(session, Session):
        raise TypeError(f"logout takes the Session that login returned, not {type(session).__name__}")
    jkey = Secret(session.jkey)
    _call("logout", base_url, {"userId": session.user_id, "jKey": jkey}, timeout, ssl_context, jkey)


def _call(
    what: str,
    base_url: str,
    body: dict[str, str | Secret],
    timeout: float,
    ssl_context: ssl.SSLContext | None,
    hide: Secret,
) -> Answer:
    answer = Rest(base_url, ssl_context=ssl_context, timeout=timeout).call(what, body)
    if answer.ok:
        return answer
    error = failure(what, answer, hide=(hide.reveal(),))
    # It may repeat what was sent.
    del answer
    raise error


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
