"""TCP connections that can be hushed, dribbled and reset at a test's command."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import Any, cast

from websockets.asyncio.server import ServerConnection


class Line:
    """What all connections of a simulator have in common. Only the event loop's thread touches it."""

    def __init__(self) -> None:
        self.links: set[Link] = set()
        self.speaking = asyncio.Event()
        self.speaking.set()
        self.silences = 0
        self.bytes_per_write = 0
        self.write_pause = 0.0

    def hush(self) -> None:
        """Stop reading from every connection, old and new; senders wait for :attr:`speaking`."""
        self.silences += 1
        self.speaking.clear()
        for link in self.links:
            link.transport.pause_reading()

    def speak(self) -> None:
        """Undo :meth:`hush`."""
        for link in self.links:
            link.transport.resume_reading()
        self.speaking.set()


class Valve(asyncio.Transport):
    """A transport that lets bytes through in dribbles while its line says so."""

    def __init__(self, transport: asyncio.Transport, line: Line) -> None:
        super().__init__()
        self._transport = transport
        self._line = line
        self._held: deque[bytes] = deque()
        self._ending: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._line.bytes_per_write or self._held:
            self._held.append(bytes(data))
            self._schedule()
        else:
            self._transport.write(data)

    def write_eof(self) -> None:
        if self._held:
            self._ending = self._ending or "eof"
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self) -> None:
        if self._held:
            self._ending = "close"
        else:
            self._transport.close()

    def abort(self) -> None:
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()

    def reset(self) -> None:
        """End the connection with a TCP RST."""
        plug = self._transport.get_extra_info("socket")
        if plug is not None and not self._transport.is_closing():
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + sum(map(len, self._held))

    def _schedule(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._line.write_pause, self._dribble)

    def _dribble(self) -> None:
        self._timer = None
        if self._transport.is_closing():
            self._held.clear()
            return
        limit = self._line.bytes_per_write
        if not limit:
            self._transport.write(b"".join(self._held))
            self._held.clear()
        elif self._held:
            piece = self._held.popleft()
            self._transport.write(piece[:limit])
            if len(piece) > limit:
                self._held.appendleft(piece[limit:])
        if self._held:
            self._schedule()
        elif self._ending == "eof":
            self.write_eof()
        elif self._ending == "close":
            self.close()


class Link(ServerConnection):
    """One accepted connection, from its first byte on.

    Args of the query string that the handshake finds are kept here for the session that follows.
    """

    line: Line
    user_id: str = ""
    version: int = 1
    verdict: str = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(Valve(cast(asyncio.Transport, transport), self.line))
        self.line.links.add(self)
        if not self.line.speaking.is_set():
            # Only after the transport has begun to read can it be told to stop.
            self.loop.call_soon(self._pause_if_hushed)

    def connection_lost(self, exc: Exception | None) -> None:
        self.line.links.discard(self)
        super().connection_lost(exc)

    def reset(self) -> None:
        """End the connection with a TCP RST."""
        cast(Valve, self.transport).reset()

    def half_close(self) -> None:
        """Send a TCP FIN after what is under way, without a close frame."""
        self.transport.write_eof()

    def _pause_if_hushed(self) -> None:
        if not self.line.speaking.is_set():
            self.transport.pause_reading()


def link_class(bound_line: Line) -> type[Link]:
    """The connection class of a server whose connections share a line."""

    class BoundLink(Link):
        line = bound_line

    return BoundLink
