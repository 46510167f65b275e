"""What a login needs, from wherever it is to be had: options, environment, profile, the user."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from firstock_ws._secrets import REDACTOR
from firstock_ws.cli.ask import ask
from firstock_ws.errors import UsageError

_DIGITS = re.compile(r"[0-9]{6}")
_BASE32 = re.compile(r"(?:[A-Z2-7]{8})+(?:[A-Z2-7]{2}|[A-Z2-7]{4}|[A-Z2-7]{5}|[A-Z2-7]{7})?=*")
_SHORTEST = 16
_KEY_LENGTH = 20


@dataclass(frozen=True)
class Credentials:
    """All that the login call takes."""

    user_id: str
    vendor_code: str
    password: str = field(repr=False)
    totp: str = field(repr=False)
    api_key: str = field(repr=False)


def open_values(given: Mapping[str, str | None], profile: Mapping[str, str]) -> dict[str, str]:
    """Return what is no secret: from options, else the environment, else the profile; blank where nobody says."""
    values = {}
    for name, option in given.items():
        values[name] = option or os.environ.get(f"FIRSTOCK_{name.upper()}", "").strip() or profile.get(name, "")
    return values


def gather(values: dict[str, str]) -> Credentials:
    """Return the credentials; the user is asked for those that neither `values` nor the environment have.

    Raises:
        UsageError: one can't be had, or what was typed can't be one.
    """
    user_id = values.get("user_id") or ask("User id", "FIRSTOCK_USER_ID")
    password = _secret("Password", "FIRSTOCK_PASSWORD")
    vendor_code = values.get("vendor_code") or ask("Vendor code", "FIRSTOCK_VENDOR_CODE")
    api_key = _secret("API key", "FIRSTOCK_API_KEY")
    # Last, since it is good for half a minute.
    totp = _totp()
    return Credentials(user_id, vendor_code, password, totp, api_key)


def _secret(label: str, variable: str) -> str:
    value = os.environ.get(variable) or ask(label, variable, secret=True)
    REDACTOR.remember(value)
    return value


def _totp() -> str:
    words = os.environ.get("FIRSTOCK_TOTP") or os.environ.get("FIRSTOCK_TOTP_SECRET")
    label = "TOTP (the six digits, or the authenticator's secret)"
    return six_digits(words or ask(label, "FIRSTOCK_TOTP or FIRSTOCK_TOTP_SECRET", secret=True))


def six_digits(words: str) -> str:
    """Return the digits that the authenticator shows now: `words` itself, or made from the secret that it is.

    Raises:
        UsageError: it is neither.
    """
    plain = re.sub(r"[\s-]", "", words)
    if _DIGITS.fullmatch(plain):
        return plain
    secret = plain.upper()
    REDACTOR.remember(words)
    REDACTOR.remember(secret)
    if len(secret) < _SHORTEST or not _BASE32.fullmatch(secret):
        raise UsageError(
            "the TOTP is neither six digits nor an authenticator's secret, which is 16 or more of A-Z and 2-7"
        )
    import pyotp

    # pyotp refuses short keys, though authenticators make them. HMAC fills up with zeros itself: same digits.
    key = base64.b32decode(secret.rstrip("=") + "=" * (-len(secret.rstrip("=")) % 8)).ljust(_KEY_LENGTH, b"\0")
    return pyotp.TOTP(base64.b32encode(key).decode()).now()
