"""Calls of the broker's REST API: each has one deadline over all of it, and can be cut off from another thread."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from firstock_ws._http import epoch_of_date, retry_after_seconds
from firstock_ws._secrets import MASK, REDACTOR, Secret, get_logger
from firstock_ws.errors import AuthenticationError, FirstockError, RateLimitError, ServerError
from firstock_ws.protocol import check_rest_url
from firstock_ws.tls import default_context

logger = get_logger("firstock_ws.rest")

MAX_ANSWER = 16 * 2**20
"""Bytes of an answer that are read: a book of some twenty thousand orders."""
_CHUNK = 65_536


class Answer(NamedTuple):
    """What the broker answered."""

    status: int
    body: dict[str, Any]
    """Empty where the answer was no JSON object."""
    retry_after: float | None
    epoch: int = 0
    """When the server made the answer, epoch seconds by its own clock; 0 where it does not say."""

    @property
    def ok(self) -> bool:
        """Whether the call was carried out."""
        return self.status == 200 and str(self.body.get("status")).lower() == "success"

    @property
    def said(self) -> str:
        """The broker's words."""
        details = self.body.get("error")
        words = (details.get("message") if isinstance(details, dict) else None) or self.body.get("message")
        return words.strip() if isinstance(words, str) else ""


class _Lines:
    """The TCP connections of a `Rest`, to be cut from another thread.

    Duplicates of their descriptors are kept: TLS takes the descriptor away from the socket that was dialled.

    Threads: any. Owned here, the lock is ``_lock``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._down = False

    def watch(self, sock: socket.socket) -> None:
        """Have `sock` cut when the time comes; at once if it has come already."""
        with self._lock:
            self._sockets.append(sock.dup())
        if self._down:
            self.cut()

    def cut(self) -> None:
        """Shut down every connection, and those still to be made; whoever waits for one is told so at once."""
        with self._lock:
            self._down = True
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    @property
    def down(self) -> bool:
        """Whether they were cut."""
        return self._down

    def forget(self) -> None:
        """Let go of the duplicates."""
        with self._lock:
            self._down = False
            while self._sockets:
                self._sockets.pop().close()


class _Adapter(HTTPAdapter):
    """Connects with our TLS context instead of the one of requests, and tells `lines` of every socket."""

    def __init__(self, context: ssl.SSLContext | None, lines: _Lines) -> None:
        self._context = context
        self._lines = lines
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        if self._context is not None:
            options["ssl_context"] = self._context
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _watched_pools(self._lines)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        # The inherited one would load the authorities that come with requests into our context.
        if self._context is not None:
            conn.cert_reqs = self._context.verify_mode


def _watched_pools(lines: _Lines) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> Any:
            sock = super()._new_conn()
            lines.watch(sock)
            return sock

    class Secure(HTTPSConnection):
        def _new_conn(self) -> Any:
            sock = super()._new_conn()
            lines.watch(sock)
            return sock

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class Rest:
    """The REST API at one address. One call at a time.

    Threads: one thread calls; any thread may `abort`. The connections are owned by ``_lines``.
    """

    def __init__(self, base_url: str, *, ssl_context: ssl.SSLContext | None = None, timeout: float = 10.0) -> None:
        """
        Args:
            base_url: the address with its version, such as ``https://api.firstock.in/V1``.
            ssl_context: TLS settings; the default verifies with this computer's certificates.
            timeout: seconds that a call may take in all.

        Raises:
            ValueError: `base_url` is no address.
        """
        self._base_url = check_rest_url(base_url)
        secure = self._base_url.startswith("https")
        self._context = (ssl_context or default_context()) if secure else None
        self._timeout = timeout
        self._lines = _Lines()
        self._aborted = threading.Event()

    def abort(self) -> None:
        """End the call that is under way, and let no other begin. A name look-up can't be ended from outside."""
        self._aborted.set()
        self._lines.cut()

    def call(self, what: str, fields: Mapping[str, str | Secret]) -> Answer:
        """Send `fields` to the call `what`; return the answer, whatever it says.

        Raises:
            ServerError: there was no answer, or none in time; the text is ours.
        """
        problem = ""
        answer: Answer | None = None
        late = threading.Timer(self._timeout, self._lines.cut)
        late.name, late.daemon = "firstock-ws-deadline", True
        try:
            late.start()
            answer = self._ask(what, fields)
        except requests.exceptions.SSLError:
            problem = "TLS failed: check this computer's clock and certificates"
        except (requests.exceptions.RequestException, OSError, ValueError, RuntimeError) as error:
            # RuntimeError: no thread to be had. The library's texts are not repeated: they may hold anything.
            problem = f"no connection ({type(error).__name__}): is the network up?"
            if isinstance(error, requests.exceptions.Timeout):
                problem = f"no answer within {self._timeout:g} s"
        finally:
            if self._lines.down:
                answer, problem = None, f"no answer within {self._timeout:g} s"
            late.cancel()
            if late.ident is not None:
                late.join()
            self._lines.forget()
        if answer is None:
            # Outside the except clause: the library's exception holds the request, and with it the body.
            raise ServerError(f"{what} failed: {'stopped' if self._aborted.is_set() else problem}")
        return answer

    def _ask(self, what: str, fields: Mapping[str, str | Secret]) -> Answer:
        with requests.Session() as session:
            # No proxy, no .netrc, no certificates named by the environment: the stream does not use them either.
            session.trust_env = False
            session.mount("https://" if self._context else "http://", _Adapter(self._context, self._lines))
            if self._aborted.is_set():
                raise ConnectionAbortedError
            with session.post(
                f"{self._base_url}/{what}",
                json={
                    name: value.reveal() if isinstance(value, Secret) else value for name, value in fields.items()
                },
                timeout=self._timeout,
                # A small compressed answer can unpack to one that fills the memory.
                headers={"Accept-Encoding": "identity"},
                # Not followed: a redirect would carry the credentials to another address.
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(
                    response.status_code,
                    _object(_read(response)),
                    retry_after_seconds(response.headers.get("Retry-After")),
                    epoch_of_date(response.headers.get("Date")),
                )


def _read(response: requests.Response) -> bytes:
    body = bytearray()
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise requests.exceptions.ContentDecodingError("compressed, though we asked for none")
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise requests.exceptions.ContentDecodingError("too long")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def failure(what: str, answer: Answer, *, about_key: bool = True, hide: tuple[str, ...] = ()) -> FirstockError:
    """Return the error for an answer that is not `Answer.ok`.

    Args:
        about_key: whether any refusal means that the credentials are not good; else only those that say so.
        hide: what must not be repeated though it is not known to the redactor, such as a TOTP.
    """
    status = answer.status
    if status == 429:
        wait = answer.retry_after
        return RateLimitError(f"{what} failed: too many requests; wait {wait or 1:g} s", retry_after=wait)
    if status >= 500:
        return ServerError(
            f"{what} failed: the broker's side has a fault (HTTP {status}); try later",
            status=status,
            retry_after=answer.retry_after,
        )
    refused = str(answer.body.get("status")).lower() == "failed"
    if not refused and status not in (401, 403):
        return ServerError(f"{what} failed: HTTP {status} with an answer that is not the broker's", status=status)
    details = answer.body.get("error")
    code = _clean(answer.body.get("code"), hide) or str(status)
    text = f"{what} failed: {_clean(answer.said, hide) or 'no reason given'}"
    if not about_key and status not in (401, 403) and code not in ("401", "403"):
        return ServerError(text, status=status)
    return AuthenticationError(
        text,
        field=_clean(details.get("field") if isinstance(details, dict) else None, hide),
        code=code,
        name=_clean(answer.body.get("name"), hide),
    )


def _clean(said: object, hide: tuple[str, ...]) -> str | None:
    """Return a word of the broker's without secrets, None for a blank."""
    if not isinstance(said, (str, int)) or not str(said).strip():
        return None
    text = str(said).strip()
    for secret in hide:
        text = text.replace(secret, MASK)
    return REDACTOR.redact(text)[:200]
