"""What a client was told at its making, checked."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass

from firstock_ws import protocol

LONGEST = 86_400.0
"""Seconds; no setting makes sense above it, and the system can't wait for infinity."""
SMALLEST_MESSAGE = 1_024
"""Bytes; the words that open a session must fit, and a market frame is longer than this."""

_SECONDS = ("reconnect_max_delay", "connect_timeout", "io_timeout", "ping_interval", "ping_timeout")
_SECONDS_OR_NONE = ("stale_after", "reconcile_interval")
_WHOLE = ("max_message_size", "max_pending")
_WHOLE_OR_NONE = ("reconnect_max_tries",)


def fast_path_allowed() -> bool:
    """Whether the environment leaves the fast path on: a switch for programs that can't be changed."""
    return os.environ.get("FIRSTOCK_WS_FAST_PATH", "1").strip().lower() not in ("0", "off", "no", "false")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every connection of a client has in common. All times in seconds; see `FirstockWS` for each.

    Raises:
        ValueError: one is out of range; the text says which and what to give.
        TypeError: one is of the wrong type.
    """

    url: str
    rest_url: str | None
    user_id: str
    ssl_context: ssl.SSLContext | None
    connect_timeout: float
    io_timeout: float
    ping_interval: float
    ping_timeout: float
    stale_after: float | None
    max_message_size: int
    max_pending: int
    reconnect: bool
    reconnect_max_tries: int | None
    reconnect_max_delay: float
    reconcile: bool
    reconcile_interval: float | None
    fast_path: bool

    def __post_init__(self) -> None:
        if not isinstance(self.user_id, str) or not self.user_id.strip():
            raise ValueError('user_id is empty, or no text: give the client code of the login, such as "AB1234"')
        object.__setattr__(self, "user_id", self.user_id.strip())
        protocol.check_url(self.url)
        if self.rest_url is not None:
            protocol.check_rest_url(self.rest_url)
        for name in (*_SECONDS, *_SECONDS_OR_NONE, *_WHOLE, *_WHOLE_OR_NONE):
            number = getattr(self, name)
            if number is None and name in (*_SECONDS_OR_NONE, *_WHOLE_OR_NONE):
                continue
            kinds = int if name in (*_WHOLE, *_WHOLE_OR_NONE) else (int, float)
            if not isinstance(number, kinds) or isinstance(number, bool):
                what = "a whole number" if kinds is int else "a number of seconds"
                raise TypeError(f"{name} must be {what}, not {number!r}")
        for name in ("reconnect", "reconcile", "fast_path"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.ssl_context is not None and not isinstance(self.ssl_context, ssl.SSLContext):
            raise TypeError(f"ssl_context must be an ssl.SSLContext, not {type(self.ssl_context).__name__}")
        for name in (*_SECONDS, *_SECONDS_OR_NONE):
            number = getattr(self, name)
            if number is None:
                continue
            if not 0 < number <= LONGEST:
                raise ValueError(f"{name} must be above 0 and at most {LONGEST:.0f} seconds, not {number!r}")
        if not self.max_pending > 0:
            raise ValueError(f"max_pending must be above 0, not {self.max_pending!r}")
        if not self.max_message_size >= SMALLEST_MESSAGE:
            text = f"max_message_size must be at least {SMALLEST_MESSAGE} bytes"
            raise ValueError(f"{text}, not {self.max_message_size!r}")
        if self.reconnect_max_tries is not None and self.reconnect_max_tries < 0:
            raise ValueError(f"reconnect_max_tries must be 0 or more, or None, not {self.reconnect_max_tries!r}")
