"""Everything that touches websocket-client's insides: bounds on what it reads, and a faster way to read it.

Without the bounds a header that claims a terabyte is believed, and ten thousand fragments cost half a minute of
CPU.

The faster way: bytes are read as many as there are, and whole text frames, nearly all there is, are taken from
them here; each other frame is left to the library, which finds its bytes where it would have read them. With a
version whose insides are not those this was written for, the library reads everything itself.

Works alike at both ends of the supported range of versions.
"""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, cast

import websocket
from websocket._abnf import continuous_frame, frame_buffer

from firstock_ws._secrets import get_logger
from firstock_ws.connection.dial import Stream
from firstock_ws.connection.readiness import reader_of, waiter_of
from firstock_ws.connection.split import FINAL_TEXT, SHORTEST, split

MAX_FRAGMENTS = 1_000
"""Pieces that one message may come in."""
SLOWEST = 200.0
"""Bytes a second; a frame that comes slower than this is taken for one that will never end."""

OnTexts = Callable[[list[bytes]], object]

_CHUNK = 65_536
"""Bytes asked for at a time; a megabyte costs five times the CPU when little comes."""
_IDLE = 10.0
"""Seconds between two looks at whether the connection was ended; ending it wakes the reader as well."""

# A text, a ping, a message in two pieces, and half a text.
_TRIAL = b"\x81\x01a\x89\x01b\x01\x01c\x80\x01d\x81\x02e"
_TRIAL_RESULT = [b"a", (1, 9, b"b"), (0, 1, b"c"), (1, 0, b"d")]

# Not a socket option: with a socket of ours it is never applied, but when websocket-client follows a redirect it
# dials anew, applies it, and fails before a byte with our user's key has gone to the other host.
NO_REDIRECT = [("redirects are refused",)]


logger = get_logger("firstock_ws.connection.library")


class TooLargeError(websocket.WebSocketProtocolException):
    """The server sends more than it may; the text is ours."""


class Frames(frame_buffer):
    """Reads frames; one that claims to be too long is refused before its payload is asked for.

    The library's own reader asks for bytes through `recv`, and gets first those that `take` has read but left.

    Threads: the io thread reads, under the library's ``lock``, which its ``close()`` would read under too; the
    keeper looks at the times. Each is written by one thread, in one step.
    """

    def __init__(self, recv: Callable[[int], bytes], recv_into: Callable[[memoryview], int], limit: int) -> None:
        """
        Args:
            recv: the library's way to read from the socket, which waits for bytes.
            recv_into: reads once from a socket that has been found readable.
            limit: bytes that a frame may have.
        """
        super().__init__(self._next_bytes, True)
        self._recv = recv
        self._recv_into = recv_into
        self._limit = limit
        # Kept: memory taken anew for each reading costs more than all else when frames come one by one.
        self._room = memoryview(bytearray(2 * _CHUNK))
        self._at = self._end = 0
        self._needed = SHORTEST
        self.unusual = False
        """Whether the next frame, of which at least the beginning is here, is for the library to read."""
        self.emptied = False
        """Whether the last reading brought all that was there."""
        self.heard_at = time.monotonic()
        """When the last byte came."""
        self.began_at: float | None = None
        """When the frame that is being read began; None between frames."""
        self.read = 0
        """Bytes of that frame that have come."""

    # --- the library's way ---------------------------------------------------------------------------------

    def _next_bytes(self, size: int) -> bytes:
        if self._at < self._end:
            received = bytes(self._room[self._at : min(self._at + size, self._end)])
            self._at += len(received)
        else:
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
        self.unusual, self._needed = False, SHORTEST
        # Whatever is left may be the beginning of the next.
        self.read = self._end - self._at
        self.began_at = self.heard_at if self.read else None
        return frame

    # --- the fast way --------------------------------------------------------------------------------------

    @property
    def stuck(self) -> bool:
        """Whether nothing can be done before more bytes come."""
        return self._end - self._at < self._needed

    def take(self, *, between_messages: bool) -> list[bytes]:
        """Return the payloads of the whole text frames at the front, after reading once if that is needed.

        Args:
            between_messages: whether a text frame may come now; False while a message in pieces is unfinished.
        """
        with self.lock:
            # What `stuck` says, for less.
            if self._end - self._at < self._needed:
                self._read_on()
            texts: list[bytes] = []
            if self._end - self._at >= self._needed:
                # One copy of all, since slices of bytes cost a third of those of a view; of none for other frames.
                end = self._end if self._room[self._at] == FINAL_TEXT else self._at + SHORTEST
                data = bytes(self._room[self._at : end])
                texts, taken, self._needed, self.unusual = split(data, self._limit if between_messages else -1)
                self._at += taken
                if taken or self.unusual:
                    self.began_at = None
            if self._at < self._end and not self.unusual:
                self.read = self._end - self._at
                self.began_at = self.began_at or self.heard_at
        return texts

    def _read_on(self) -> None:
        """Read once."""
        if self._at == self._end:
            self._at = self._end = 0
        else:
            self._make_room()
        try:
            length = self._recv_into(self._room[self._end : self._end + _CHUNK])
        except (ssl.SSLWantReadError, BlockingIOError):
            # Not taken for a sign of life: a TLS record could come byte by byte without end.
            self.emptied = True
            return
        if not length:
            raise websocket.WebSocketConnectionClosedException("the server hung up")
        self._end += length
        self.heard_at = time.monotonic()
        self.emptied = length < _CHUNK // 2

    def _make_room(self) -> None:
        """Move what is left to the front, into more room if the rest of a long frame needs it."""
        left = self._end - self._at
        if len(self._room) - self._end < _CHUNK:
            wanted = max(self._needed, left) + _CHUNK
            room = self._room if len(self._room) >= wanted else memoryview(bytearray(2 * wanted))
            room[:left] = bytes(self._room[self._at : self._end])
            self._room, self._at, self._end = room, 0, left


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


class App(websocket.WebSocketApp):
    """Reads the fast way once `bind` has said so, and the library's way else.

    Remembers the functions that ``run_forever`` makes, which hold each other and the app in circles.

    Threads: the io thread only.
    """

    made: Any = None
    """The dispatcher that reads for this app."""
    closures: tuple[Any, ...] = ()
    fast: _Fast | None = None

    def bind(
        self,
        web_socket: websocket.WebSocket,
        sock: Stream,
        limit: int,
        on_texts: OnTexts | None,
        on_pause: Callable[[], object],
    ) -> Frames:
        """Let `web_socket`, whose upgrade is done, read from `sock` within bounds; return its reader of frames.

        Args:
            limit: bytes that a frame, and a message, may have.
            on_texts: gets the payloads of text frames, some at a time, if reading the fast way works; what comes
                in pieces still goes to ``on_data``. None to leave all to the library.
            on_pause: called when, after texts, nothing more is there to be read.
        """
        web_socket.sock = cast(socket.socket, sock)
        recv_into = reader_of(sock) if isinstance(sock, socket.socket) else sock.recv_into
        web_socket.frame_buffer = frames = Frames(web_socket._recv, recv_into, limit)
        web_socket.cont_frame = messages = Messages(limit)
        if on_texts is not None and fits():
            self.fast = _Fast(sock, frames, messages, on_texts, on_pause)
        return frames

    def create_dispatcher(self, *args: Any, **options: Any) -> Any:
        self.made = dispatcher = super().create_dispatcher(*args, **options)
        self.closures = args
        vars(dispatcher)["read"] = self._read
        return dispatcher

    def _read(self, sock: Any, read: Callable[[], bool], check: Callable[[], object]) -> None:
        self.closures += (read, check)
        if self.fast is None:
            type(self.made).read(self.made, sock, read, check)
        else:
            self.fast.read(read, self)


class _Fast:
    """The loop that reads a connection the fast way."""

    def __init__(
        self,
        sock: Stream,
        frames: Frames,
        messages: Messages,
        on_texts: OnTexts,
        on_pause: Callable[[], object],
    ) -> None:
        self._sock = sock
        self._frames = frames
        self._messages = messages
        self._on_texts = on_texts
        self._on_pause = on_pause

    def read(self, read_one: Callable[[], bool], app: App) -> None:
        """Read until the connection ends.

        Args:
            read_one: has the library read, and answer, one frame; returns False at the end.
            app: says whether nobody has ended the connection meanwhile.
        """
        frames, messages = self._frames, self._messages
        readable = waiter_of(self._sock)
        while app.keep_running:
            if frames.stuck:
                patience = _IDLE if frames.began_at is None else self._patience()
                if frames.emptied or not readable(0):
                    # Right before the wait, which lets go of the interpreter: the thread that this wakes needs it.
                    self._on_pause()
                if not readable(patience):
                    if frames.began_at is not None:
                        raise websocket.WebSocketTimeoutException("the rest of a frame did not come")
                    continue
            texts = frames.take(between_messages=not messages.recving_frames)
            if texts:
                self._on_texts(texts)
            if frames.unusual:
                # The rest of it may be long in coming.
                self._on_pause()
                if not read_one():
                    return

    def _patience(self) -> float:
        timeout = self._sock.gettimeout()
        return _IDLE if timeout is None else timeout


@functools.cache
def fits() -> bool:
    """Whether frames can be taken from under the library: tried, once, with frames of each kind."""
    stream = _TRIAL
    got: list[Any] = []
    try:
        frames = Frames(lambda size: stream, io.BytesIO(stream).readinto, 1_024)
        messages = Messages(1_024)
        for _ in range(4):
            got += frames.take(between_messages=not messages.recving_frames)
            if frames.unusual:
                frame = frames.recv_frame()
                got.append((frame.fin, frame.opcode, frame.data))
        good = got == _TRIAL_RESULT and frames.stuck and frames.lock.acquire(False)
    except Exception:
        logger.debug("the trial of the fast way failed", exc_info=True)
        good = False
    if not good:
        logger.warning(
            "websocket-client %s is not as this package knows it: it reads all frames itself, which takes several "
            "times the CPU",
            websocket.__version__,
        )
    return good


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
