"""The answer to the WebSocket upgrade, noted while websocket-client reads it: it tells of a refusal too late."""

from __future__ import annotations

import http.client
import io
from typing import Any

from firstock_ws.connection.dial import Stream
from firstock_ws.connection.library import TooLargeError

MAX_ANSWER = 65_536
"""Bytes of an answer to the upgrade, head and body, that are read."""
BODY_PATIENCE = 1.0
"""Seconds that each part of a refusal may take to come, once its status is known."""
NOT_REFUSED = frozenset({101, 301, 302, 303, 307, 308})
"""Statuses that are no refusal of the upgrade: done, or a redirect, which is refused by us."""


class Upgrade:
    """The socket as websocket-client sees it until the upgrade is done: the answer is noted, and bounded.

    It is noted because the library tells of a refusal only when its whole body has come.

    Threads: the io thread reads; any thread may look at `status`.
    """

    def __init__(self, sock: Stream) -> None:
        self._sock = sock
        self._answer = bytearray()
        self._refused = False

    def recv(self, size: int) -> bytes:
        left = MAX_ANSWER - len(self._answer)
        if left <= 0:
            raise TooLargeError(f"the answer to the upgrade is longer than {MAX_ANSWER} bytes")
        received = self._sock.recv(min(size, left))
        self._answer += received
        if not self._refused and received == b"\n" and self.status not in NOT_REFUSED:
            # What comes now only says why: that is not worth waiting for.
            self._refused = True
            self._sock.settimeout(BODY_PATIENCE)
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    @property
    def status(self) -> int | None:
        """The HTTP status, None while it has not come whole, or where there is none."""
        line, end, _ = bytes(self._answer[:1_000]).partition(b"\n")
        words = line.split(None, 2)
        if not end or len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            return None
        return int(words[1][:3])

    def header(self, name: str) -> str | None:
        """Return a header field of the answer, None where it is missing."""
        head = bytes(self._answer).partition(b"\n")[2].partition(b"\r\n\r\n")[0]
        try:
            return http.client.parse_headers(io.BytesIO(head + b"\r\n\r\n")).get(name)
        except http.client.HTTPException:
            return None

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return bytes(self._answer).partition(b"\r\n\r\n")[2]
