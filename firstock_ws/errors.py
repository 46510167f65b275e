"""Every exception this package raises or hands to ``on_error``.

One small tree: ``except FirstockError`` catches all of it. Bad arguments are not in the tree: they raise
``ValueError`` or ``TypeError`` at the call, before anything is sent.

No text here ever holds a jKey, a password or a URL.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "FirstockError",
    "FrameError",
    "RateLimitError",
    "ReconcileError",
    "RecordingError",
    "ServerError",
    "SessionLimitError",
    "UnknownSymbolError",
    "UsageError",
]


class FirstockError(Exception):
    """The root of the tree."""


class UsageError(FirstockError):
    """A call that makes no sense now, for example ``connect()`` in a callback."""


class ConnectError(FirstockError):
    """A connection could not be opened: DNS, TCP, TLS or the HTTP upgrade failed. Retried by itself.

    Attributes:
        status: the HTTP status of a refused upgrade, else None.
        retry_after: seconds that the server asked to wait, else None.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ConnectTimeoutError(ConnectError, TimeoutError):
    """A connection was not usable in time."""


class AuthenticationError(FirstockError):
    """The broker does not accept the jKey, or the login. Retrying with the same key is pointless.

    Attributes:
        field: the login field the broker complains of, where it says so.
        code: the broker's error code, such as ``"401"``, where it sends one.
        name: the broker's name of the error, such as ``"INVALID_CREDENTIALS"``, where it sends one.
    """

    def __init__(
        self, message: str, *, field: str | None = None, code: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.name = name


class SessionLimitError(FirstockError):
    """This user has as many open sessions as the broker allows (three)."""


class ConnectionLostError(FirstockError):
    """A connection that was up has ended without being asked to.

    Attributes:
        code: the WebSocket close code; 1006 when the peer sent none (RFC 6455, section 7.1.5).
        reason: the peer's reason, or our own words for what was seen.
    """

    def __init__(self, message: str, *, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class FrameError(FirstockError):
    """A frame, or a part or field of one, could not be understood. The feed goes on.

    Attributes:
        frame: what came, as received (bytes), or the object that held the bad field.
    """

    def __init__(self, message: str, *, frame: object = None) -> None:
        super().__init__(message)
        self.frame = frame


class RateLimitError(FirstockError):
    """The broker says that requests come too fast (HTTP 429).

    Attributes:
        retry_after: seconds that the server asked to wait, else None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerError(FirstockError):
    """The broker's side failed, or could not be reached, or answered something that is not its protocol.

    Attributes:
        status: the HTTP status, None when there was no answer at all.
        retry_after: seconds that the server asked to wait, else None.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class UnknownSymbolError(FirstockError, ValueError):
    """No instrument has this name; nothing was sent.

    Attributes:
        name: what was looked for, such as ``"NSE:RELIANCE"``.
        matches: names that are nearly it, best first; each can be looked up.
    """

    def __init__(self, message: str, *, name: str = "", matches: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.matches = matches


class ReconcileError(FirstockError):
    """The broker's books could not be read: order and position updates may be missing until they can.

    Told to ``on_error`` once; the client goes on trying, and `Stats.gap_since` says so until it has succeeded. The
    reason is in ``__cause__``.
    """


class RecordingError(FirstockError):
    """A recording can't be written or read: no such file, no room, no right to it, or no recording at all."""
