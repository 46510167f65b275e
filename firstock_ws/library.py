"""Everything that touches websocket-client's insides: bounds on what it reads, which it does not have itself.

Without them a header that claims a terabyte is believed, ten thousand fragments cost half a minute of CPU, and a
refusal with an endless body keeps the reading thread busy. Works alike at both ends of the supported range of
versions.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import Any

import websocket
from websocket._abnf import continuous_frame, frame_buffer

MAX_ANSWER = 65_536
"""Bytes of an answer to the upgrade, head and body, that are read."""
BODY_PATIENCE = 1.0
"""Seconds that each part of a refusal may take to come, once its status is known."""
MAX_FRAGMENTS = 1_000
"""Pieces that one message may come in."""
SLOWEST = 200.0
"""Bytes a second; a frame that comes slower than this is taken for one that will never end."""
NOT_REFUSED = frozenset({101, 301, 302, 303, 307, 308})
"""Statuses that are no refusal of the upgrade: done, or a redirect, which is refused by us."""

# Not a socket option: with a socket of ours it is never applied, but when websocket-client follows a redirect it
# dials anew, applies it, and fails before a byte with our user's key has gone to the other host.
NO_REDIRECT = [("redirects are refused",)]


class TooLargeError(websocket.WebSocketProtocolException):
    """The server sends more than it may; the text is ours."""


class Upgrade:
    """The socket as websocket-client sees it until the upgrade is done: the answer is noted, and bounded.

    It is noted because the library tells of a refusal only when its whole body has come.

    Threads: the io thread reads; any thread may look at `status`.
    """

    def __init__(self, sock: socket.socket) -> None:
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


class Frames(frame_buffer):
    """Reads frames; one that claims to be too long is refused before its payload is asked for.

    Threads: the io thread reads, the keeper looks at the times. Each is written by one thread, in one step.
    """

    def __init__(self, recv: Callable[[int], bytes], limit: int) -> None:
        """
        Args:
            limit: bytes that a frame may have.
        """
        super().__init__(self._heard, True)
        self._recv = recv
        self._limit = limit
        self.heard_at = time.monotonic()
        """When the last byte came."""
        self.began_at: float | None = None
        """When the frame that is being read began; None between frames."""
        self.read = 0
        """Bytes of that frame that have come."""

    def _heard(self, size: int) -> bytes:
        received = self._recv(size)
        self.heard_at = time.monotonic()
        if self.began_at is None:
            self.read, self.began_at = 0, self.heard_at
        self.read += len(received)
        return received

    def recv_length(self) -> None:
        super().recv_length()
        length = self.length or 0
        if length > self._limit:
            raise TooLargeError(f"a frame of {length} bytes came; max_message_size is {self._limit}")

    def recv_frame(self) -> Any:
        frame = super().recv_frame()
        self.began_at = None
        return frame


class Messages(continuous_frame):
    """Puts fragments together, in time that grows with their size and not with its square."""

    def __init__(self, limit: int) -> None:
        """
        Args:
            limit: bytes that a message may have.
        """
        super().__init__(False, True)
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, frame: Any) -> None:
        if self.cont_data is None:
            self.cont_data = [frame.opcode, b""]
            self.recving_frames = frame.opcode
        self._pieces.append(frame.data)
        self._size += len(frame.data)
        if self._size > self._limit:
            raise TooLargeError(f"a message of over {self._size} bytes came; max_message_size is {self._limit}")
        if len(self._pieces) > MAX_FRAGMENTS:
            raise TooLargeError(f"a message came in more than {MAX_FRAGMENTS} pieces")
        if frame.fin:
            self.recving_frames = None

    def extract(self, frame: Any) -> tuple[Any, Any]:
        opcode = self.cont_data[0] if self.cont_data is not None else frame.opcode
        frame.data = b"".join(self._pieces)
        self.cont_data, self._pieces, self._size = None, [], 0
        return opcode, frame


def bound(web_socket: websocket.WebSocket, sock: socket.socket, limit: int) -> Frames:
    """Let `web_socket`, whose upgrade is done, read from `sock` within bounds; return its reader of frames."""
    web_socket.sock = sock
    web_socket.frame_buffer = frames = Frames(web_socket._recv, limit)
    web_socket.cont_frame = Messages(limit)
    return frames


class App(websocket.WebSocketApp):
    """Remembers the functions that ``run_forever`` makes, which hold each other and the app in circles."""

    made: Any = None
    """The dispatcher that reads for this app."""
    closures: tuple[Any, ...] = ()

    def create_dispatcher(self, *args: Any, **options: Any) -> Any:
        self.made = dispatcher = super().create_dispatcher(*args, **options)
        self.closures = args
        vars(dispatcher)["read"] = self._read
        return dispatcher

    def _read(self, sock: Any, *callbacks: Any) -> None:
        self.closures += callbacks
        type(self.made).read(self.made, sock, *callbacks)


def _empty(function: object) -> None:
    """Empty the variables that a function, and those functions among them, share with where they were made."""
    for cell in getattr(function, "__closure__", None) or ():
        with contextlib.suppress(ValueError):
            content = cell.cell_contents
            del cell.cell_contents
            _empty(content)


def let_go(app: App | None, web_socket: websocket.WebSocket | None) -> None:
    """Empty objects of websocket-client's, which refer to each other, and to ours, in circles.

    Without this, a dead connection with all its buffers waits for the garbage collector, and this, while a program
    has it turned off, for ever.
    """
    for closure in app.closures if app is not None else ():
        _empty(closure)
    for thing in (web_socket and web_socket.frame_buffer, web_socket, app and app.made, app):
        if thing is not None:
            vars(thing).clear()
