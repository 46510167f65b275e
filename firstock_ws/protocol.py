"""The wire: URLs, action frames, and which feed a received frame belongs to. Nothing here does I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from firstock_ws.errors import FrameError

V1_URL = "wss://socket.firstock.in/ws"
"""One flat object per instrument in a market frame."""
V2_URL = "wss://socket.firstock.in/V2/ws"
"""Market frames keyed by instrument, several in a frame (since January 2026)."""
API_URL = "https://api.firstock.in/V1"
"""The REST calls: login, and the books of orders and positions."""
SOURCE = "developer-api"

MAX_TOKENS_PER_FRAME = 200
"""The broker documents no limit; public clients send up to this many in one frame."""

SUBSCRIBE = "subscribe"
UNSUBSCRIBE = "unsubscribe"
SUBSCRIBE_GREEKS = "subscribe-option-greeks"
UNSUBSCRIBE_GREEKS = "unsubscribe-option-greeks"

INSTRUMENT_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*:[^\s:|]+")
# Not "auth" alone: AUTHUM is a symbol, and a subscription may be "not authorised" for an exchange.
_BAD_KEY = re.compile(
    r"unauth|not authenticated|authentication failed|jkey|(session|token|key)\W+(has\W+)?expired"
)
_SESSION_LIMIT = re.compile(r"max\w*\s+sessions?\s+limit", re.IGNORECASE)


class Kind(Enum):
    """The feed a part of a frame belongs to."""

    ORDER = "order"
    POSITION = "position"
    SESSION = "session"
    GREEKS = "greeks"
    MARKET = "market"
    UNKNOWN = "unknown"


class Part(NamedTuple):
    """One understood, or not understood, part of a frame.

    For `Kind.UNKNOWN` `fields` is empty and `problem` says what is wrong with it.
    """

    kind: Kind
    instrument: str
    fields: dict[str, Any]
    problem: str = ""


class Verdict(Enum):
    """What a session frame says."""

    AUTHENTICATED = "authenticated"
    UNAUTHENTICATED = "unauthenticated"
    SESSION_LIMIT = "session limit"
    OTHER = "other"


def check_url(url: str) -> str:
    """Return `url` if it is the address of a WebSocket.

    Raises:
        ValueError: it is not; the text never repeats the URL, which may hold a key.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good or " " in url:
        raise ValueError(f'url must look like "{V1_URL}" or "ws://127.0.0.1:9100/ws"')
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("url must end with its path: user id and jKey are added to it by the client")
    return url


def check_rest_url(url: str) -> str:
    """Return `url`, without a slash at its end, if it is the address of a REST API.

    Raises:
        ValueError: it is not; the text never repeats it.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good or " " in url or parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError(f'the REST address must look like "{API_URL}" or "http://127.0.0.1:9101/V1"')
    return url.rstrip("/")


def session_url(url: str, user_id: str, jkey: str) -> str:
    """Return the address to dial, with the key in it: a secret."""
    return f"{url}?{urlencode({'userId': user_id, 'jKey': jkey, 'source': SOURCE})}"


def action_frames(action: str, instruments: Iterable[str]) -> list[str]:
    """Return the frames that ask `action` for all `instruments`, at most `MAX_TOKENS_PER_FRAME` in each."""
    wanted = list(instruments)
    return [
        json.dumps({"action": action, "tokens": "|".join(wanted[start : start + MAX_TOKENS_PER_FRAME])})
        for start in range(0, len(wanted), MAX_TOKENS_PER_FRAME)
    ]


def decode(frame: bytes) -> object:
    """Return the JSON value in `frame`.

    Raises:
        FrameError: it holds none.
    """
    problem = "is not JSON"
    try:
        # Not json.loads(frame): that would take UTF-16 and UTF-32 as well.
        return json.loads(frame.decode())
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except RecursionError:
        problem = "is nested too deep"
    except ValueError:
        pass  # Said by the text set above; the library's own text would repeat what came.
    raise FrameError(f"a frame of {len(frame)} bytes {problem}", frame=frame)


def says_session_limit(text: str | bytes) -> bool:
    """Whether `text`, in whatever envelope, is the broker's word that too many sessions are open."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    return _SESSION_LIMIT.search(text) is not None


def _is_market(fields: dict[str, Any]) -> bool:
    return any(name == "c_symbol" or name.startswith(("i_", "best_")) for name in fields)


def _unknown(problem: str) -> Part:
    return Part(Kind.UNKNOWN, "", {}, problem)


def _own_instrument(fields: dict[str, Any]) -> str | None:
    exchange, token = fields.get("c_exch_seg"), fields.get("c_symbol")
    if isinstance(token, int) and not isinstance(token, bool):
        token = str(token)
    if isinstance(exchange, str) and isinstance(token, str) and exchange.strip() and token.strip():
        return f"{exchange.strip()}:{token.strip()}"
    return None


def _flat(kind: Kind, fields: dict[str, Any]) -> Part:
    instrument = _own_instrument(fields)
    if instrument is None:
        return _unknown(f"a {kind.value} object without c_exch_seg and c_symbol")
    return Part(kind, instrument, fields)


def _keyed(message: dict[str, Any]) -> Iterator[Part]:
    for key, fields in message.items():
        if not INSTRUMENT_KEY.fullmatch(key):
            yield _unknown("a key that is no instrument among keys that are")
        elif not isinstance(fields, dict):
            yield _unknown("an instrument whose value is no object")
        elif "gamma" in fields:
            yield Part(Kind.GREEKS, key, fields)
        elif _is_market(fields) or "close_price" in fields or "c_exch_feed_time" in fields:
            yield Part(Kind.MARKET, key, fields)
        else:
            yield _unknown("an instrument whose object has no known field")


def _parts_of_object(message: dict[str, Any]) -> Iterator[Part]:
    if "norenordno" in message:
        yield Part(Kind.ORDER, "", message)
    elif "brkname" in message:
        yield Part(Kind.POSITION, "", message)
    elif "status" in message and not _is_market(message):
        yield Part(Kind.SESSION, "", message)
    elif "gamma" in message:
        yield _flat(Kind.GREEKS, message)
    elif _is_market(message):
        yield _flat(Kind.MARKET, message)
    elif any(INSTRUMENT_KEY.fullmatch(key) for key in message):
        yield from _keyed(message)
    else:
        yield _unknown("an object of no known feed")


def parts(message: object) -> Iterator[Part]:
    """Yield what `message` holds, in its order; what is wrong in one part costs none of the others."""
    for item in message if isinstance(message, list) else [message]:
        if isinstance(item, dict):
            yield from _parts_of_object(item)
        else:
            yield _unknown(f"a JSON {type(item).__name__} where an object should be")


def verdict(fields: dict[str, Any]) -> Verdict:
    """Return what the session frame `fields` says: `status` decides, the texts only tell failures apart.

    Before the key is accepted, any failure but the session limit is about the key, whatever this returns.
    """
    status = str(fields.get("status")).strip().lower()
    if status == "success":
        return Verdict.AUTHENTICATED
    words = json.dumps(fields).lower()
    if says_session_limit(words):
        return Verdict.SESSION_LIMIT
    if _BAD_KEY.search(words):
        return Verdict.UNAUTHENTICATED
    return Verdict.OTHER
