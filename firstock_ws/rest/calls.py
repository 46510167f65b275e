"""Calls of the broker's REST API: each has one deadline over all of it, and can be cut off from another thread."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from firstock_ws._http import epoch_of_date, retry_after_seconds
from firstock_ws._secrets import MASK, REDACTOR, Secret, get_logger
from firstock_ws.errors import AuthenticationError, FirstockError, RateLimitError, ServerError
from firstock_ws.flag import Flag
from firstock_ws.protocol import check_rest_url
from firstock_ws.tls import default_context

if TYPE_CHECKING:
    from firstock_ws.rest.posting import Posted

logger = get_logger("firstock_ws.rest")


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
            for duplicate in self._sockets:
                duplicate.close()
            self._sockets.clear()


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
        self._aborted = Flag()

    def abort(self) -> None:
        """End the call that is under way, and let no other begin. A name look-up can't be ended from outside."""
        self._aborted.set()
        self._lines.cut()

    def call(self, what: str, fields: Mapping[str, str | Secret]) -> Answer:
        """Send `fields` to the call `what`; return the answer, whatever it says.

        Raises:
            ServerError: there was no answer, or none in time; the text is ours.
        """
        status, body, headers = self._in_time(what, lambda: self._post(what, fields))
        waits, date = headers.get("Retry-After"), headers.get("Date")
        return Answer(status, _object(body), retry_after_seconds(waits), epoch_of_date(date))

    def _post(self, what: str, fields: Mapping[str, str | Secret]) -> Posted | str:
        # Here, not above: requests takes longer to import than all the rest, and a stream can do without.
        from firstock_ws.rest.posting import post

        # In a step of its own, which is over when an error is raised: its traceback must not hold the secrets.
        payload = {name: value.reveal() if isinstance(value, Secret) else value for name, value in fields.items()}
        return post(
            f"{self._base_url}/{what}",
            payload,
            context=self._context,
            timeout=self._timeout,
            watch=self._lines.watch,
        )

    def fetch(self, what: str, headers: Mapping[str, str], limit: int) -> tuple[int, bytes, Mapping[str, str]]:
        """Get the file `what`; return status, body and headers of the answer, whatever it says.

        Args:
            headers: of the request.
            limit: bytes; a longer answer is none.

        Raises:
            ServerError: there was no answer, or not all of it in time; the text is ours.
        """
        from firstock_ws.rest.posting import get

        url = f"{self._base_url}/{what}"
        return self._in_time(
            what,
            lambda: get(
                url, headers, context=self._context, timeout=self._timeout, watch=self._lines.watch, limit=limit
            ),
        )

    def _in_time(self, what: str, ask: Callable[[], Posted | str]) -> Posted:
        problem = ""
        posted: Posted | None = None
        late = threading.Timer(self._timeout, self._lines.cut)
        late.name, late.daemon = "firstock-ws-deadline", True
        try:
            late.start()
            answer = "stopped" if self._aborted.is_set() else ask()
            if isinstance(answer, str):
                problem = answer
            else:
                posted = answer
        except RuntimeError:
            problem = "no thread to be had"
        finally:
            if self._lines.down:
                posted, problem = None, f"no answer within {self._timeout:g} s"
            late.cancel()
            if late.ident is not None:
                late.join()
            self._lines.forget()
        if posted is None:
            raise ServerError(f"{what} failed: {'stopped' if self._aborted.is_set() else problem}")
        return posted


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
    if status == 404:
        text = f"{what} failed: there is no such call at this address (HTTP 404); a REST address ends in /V1"
        return ServerError(text, status=status)
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
