"""HTTP with requests. A module of its own, since importing that takes longer than all else together."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests import Request
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_ANSWER = 16 * 2**20
"""Bytes of an answer that are read: a book of some twenty thousand orders."""
_CHUNK = 65_536

Watch = Callable[[socket.socket], object]
Posted = tuple[int, bytes, Mapping[str, str]]
"""Status, body and headers of an answer."""


class _Adapter(HTTPAdapter):
    """Connects with our TLS context instead of the one of requests, and tells `watch` of every socket."""

    def __init__(self, context: ssl.SSLContext | None, watch: Watch) -> None:
        self._context = context
        self._watch = watch
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        if self._context is not None:
            options["ssl_context"] = self._context
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _watched_pools(self._watch)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        # The inherited one would load the authorities that come with requests into our context.
        if self._context is not None:
            conn.cert_reqs = self._context.verify_mode


def _watched_pools(watch: Watch) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> Any:
            sock = super()._new_conn()
            watch(sock)
            return sock

    class Secure(HTTPSConnection):
        def _new_conn(self) -> Any:
            sock = super()._new_conn()
            watch(sock)
            return sock

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def post(
    url: str, payload: Mapping[str, str], *, context: ssl.SSLContext | None, timeout: float, watch: Watch
) -> Posted | str:
    """Post `payload` to `url` as JSON; return the answer, whatever it says, or in our own words why there is none.

    Args:
        context: TLS settings, None for plain HTTP.
        timeout: seconds that each step may take.
        watch: told of each socket as it is connected.
    """
    return _ask(Request("POST", url, json=payload), context, timeout, watch, MAX_ANSWER)


def get(
    url: str,
    headers: Mapping[str, str],
    *,
    context: ssl.SSLContext | None,
    timeout: float,
    watch: Watch,
    limit: int,
) -> Posted | str:
    """Get `url`; else like `post`.

    Args:
        limit: bytes; a longer answer is none.
    """
    return _ask(Request("GET", url, headers=dict(headers)), context, timeout, watch, limit)


def _ask(
    request: Request, context: ssl.SSLContext | None, timeout: float, watch: Watch, limit: int
) -> Posted | str:
    # Nothing of the library's texts and exceptions gets out: they may hold anything, and do hold what was sent.
    try:
        return _answer(request, context, timeout, watch, limit)
    except requests.exceptions.SSLError:
        return "TLS failed: check this computer's clock and certificates"
    except requests.exceptions.Timeout:
        return f"no answer within {timeout:g} s"
    except (requests.exceptions.RequestException, OSError, ValueError, RuntimeError) as error:
        return f"no connection ({type(error).__name__}): is the network up?"


def _answer(
    request: Request, context: ssl.SSLContext | None, timeout: float, watch: Watch, limit: int
) -> Posted | str:
    with requests.Session() as session:
        # No proxy, no .netrc, no certificates named by the environment: the stream does not use them either.
        session.trust_env = False
        session.mount("https://" if context else "http://", _Adapter(context, watch))
        # A small compressed answer can unpack to one that fills the memory.
        session.headers["Accept-Encoding"] = "identity"
        with session.send(
            session.prepare_request(request),
            timeout=timeout,
            # Not followed: a redirect would carry the credentials to another address.
            allow_redirects=False,
            stream=True,
        ) as response:
            body = _read(response, limit)
            told = response.headers.get("Content-Length", "")
            if response.status_code == 200 and told.isdecimal() and int(told) != len(body):
                return f"the answer was cut short: {len(body)} of {told} bytes"
            return response.status_code, body, response.headers


def _read(response: requests.Response, limit: int) -> bytes:
    body = bytearray()
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise requests.exceptions.ContentDecodingError("compressed, though we asked for none")
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > limit:
            raise requests.exceptions.ContentDecodingError("too long")
    return bytes(body)
