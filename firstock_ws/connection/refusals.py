"""Puts what websocket-client raises into our own errors and words.

Its texts are never passed on: they hold response bodies, headers, whole frames, and with them possibly the key.
"""

from __future__ import annotations

import logging
import ssl

import websocket

from firstock_ws._http import retry_after_seconds
from firstock_ws.connection.dial import errno_text
from firstock_ws.connection.library import TooLargeError
from firstock_ws.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLostError,
    FirstockError,
    SessionLimitError,
)
from firstock_ws.protocol import says_session_limit


class Quieter(logging.Filter):
    """Takes websocket-client's records of our connections down to DEBUG.

    We report the same in our own words; it calls even a normal close an ERROR, which would wake whoever is on call
    every evening. Records of other users of the library in this process are left alone.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not (record.threadName or "").startswith("firstock-ws") or record.levelno <= logging.DEBUG:
            return True
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


logging.getLogger("websocket").addFilter(Quieter())

NO_CODE = 1005
ABNORMAL = 1006
PROTOCOL_ERROR = 1002
TOO_LARGE = 1009


def lost(code: int, reason: str) -> ConnectionLostError:
    """Return the error for a connection that ended with close code `code`, 1006 for none."""
    if code == ABNORMAL:
        reason = reason or "the connection was cut without a close frame"
        return ConnectionLostError(f"connection lost: {reason}", code=code, reason=reason)
    said = f" ({reason})" if reason else ""
    return ConnectionLostError(f"the server closed the connection: code {code}{said}", code=code, reason=reason)


def explain_answer(status: int, retry_after: str | None, body: bytes) -> FirstockError:
    """Return our error for an answer to the upgrade that refuses it.

    Args:
        retry_after: the header of that name.
        body: what has come of the body.
    """
    if says_session_limit(body):
        return SessionLimitError("the broker says that this user has too many open sessions: close one elsewhere")
    if status in (401, 403):
        return AuthenticationError(
            f"the broker refused the jKey (HTTP {status}): it expires every night and at a login elsewhere; get "
            "a fresh one with login(), or pass jkey= a function that does",
            code=str(status),
        )
    hint = "it is busy or down" if status in (429, 500, 502, 503, 504) else "is the url right?"
    if 200 <= status < 300:
        hint = "is there a login page of the network in between?"
    return ConnectError(
        f"the server refused the WebSocket upgrade with HTTP {status}: {hint}",
        status=status,
        retry_after=retry_after_seconds(retry_after),
    )


def _reason(error: BaseException, *, opened: bool, sending: bool) -> tuple[int, str]:
    if isinstance(error, (websocket.WebSocketTimeoutException, TimeoutError)):
        if sending:
            return ABNORMAL, "the server does not read what is sent to it"
        return ABNORMAL, "the server stopped in the middle of a frame" if opened else "the handshake stalled"
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return ABNORMAL, "the connection was cut without a close frame"
    if isinstance(error, TooLargeError):
        return TOO_LARGE, str(error)
    if isinstance(error, (websocket.WebSocketProtocolException, websocket.WebSocketPayloadException)):
        return PROTOCOL_ERROR, "the server broke the WebSocket protocol"
    if isinstance(error, ssl.SSLError):
        return ABNORMAL, f"TLS failed ({error.reason or 'the connection was cut'})"
    if isinstance(error, OSError):
        return ABNORMAL, errno_text(error.errno)
    if not opened and isinstance(error, TypeError):
        return ABNORMAL, "the server redirects to another address, which is refused to keep the jKey safe"
    if not opened:
        return ABNORMAL, "the server's answer to the upgrade is no WebSocket handshake"
    return ABNORMAL, f"reading failed ({type(error).__name__})"


def explain(error: BaseException, *, opened: bool, sending: bool = False) -> FirstockError:
    """Return our error for what websocket-client reported.

    Args:
        opened: whether the WebSocket handshake was over.
        sending: whether it happened while sending.
    """
    code, reason = _reason(error, opened=opened, sending=sending)
    if not opened:
        return ConnectError(f"the WebSocket handshake failed: {reason}")
    return ConnectionLostError(f"connection lost: {reason}", code=code, reason=reason)


def session_limit_error() -> SessionLimitError:
    """Return what to tell the user when the broker counts too many sessions."""
    return SessionLimitError(
        "the broker says that this user has too many open sessions (it allows 3): close one elsewhere; a session "
        "whose program was killed may be counted for a while longer"
    )
