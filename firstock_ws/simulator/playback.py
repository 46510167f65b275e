"""A server that plays a recording to any client of this broker."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from firstock_ws.feed.feed import frame_reader
from firstock_ws.flag import Flag
from firstock_ws.recording import Record, Replay
from firstock_ws.recording.format import read_snapshot, seconds_between

from . import wire
from .audience import Audience
from .runner import BACKLOG, CALL_TIMEOUT, JOIN_TIMEOUT
from .server import NO_LIMIT, VERSIONS, library_logger
from .sessions import LINGER

logger = logging.getLogger("firstock_ws.simulator")

#: Seconds for which a new client may say what it wants before the recording begins.
OVERTURE = 0.25
#: Seconds of silence after which it has said all of it.
BREATH = 0.05
#: Records that are read off the disk at a time.
READ_AHEAD = 500


class Playback:
    """Plays a recording to every client that connects, to each from its beginning, at a speed.

    Any user and any key will do. A client that has subscribed to something gets only the frames that
    concern what it subscribed to, and of a frame with several instruments only its part; one that has
    subscribed to nothing gets all. Frames of orders and positions always come. What a client subscribes to
    after some of it was withheld begins with a snapshot, as with the broker. At the end of the recording
    the connection is closed with code 1000.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. It serves from a daemon thread of
    its own; any thread may call anything.

    Args:
        path: What a :class:`~firstock_ws.recording.Recorder` wrote.
        speed: How many times as fast as it was; ``"max"`` for as fast as the client reads.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.

    Raises:
        RecordingError: The file can't be read, or is no recording.
        ValueError: The speed is no number above 0, and not ``"max"``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        speed: float | Literal["max"] = 1.0,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
    ) -> None:
        if speed != "max" and (isinstance(speed, bool) or not 0 < speed < float("inf")):
            raise ValueError(f'speed must be a number above 0, or "max", not {speed!r}')
        self._recording = Replay(path)
        self._speed = None if speed == "max" else float(speed)
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def port(self) -> int:
        """The port; 0 before the first start if any free one was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Address of the first generation, without a query."""
        return self._address("/ws")

    @property
    def url_v2(self) -> str:
        """Address of the second generation; the frames are the same, as they were recorded."""
        return self._address("/V2/ws")

    def _address(self, path: str) -> str:
        if not self._port:
            raise RuntimeError("the playback has no port before it is started")
        host = "127.0.0.1" if self._host in ("", "0.0.0.0") else self._host
        return f"ws://{host}:{self._port}{path}"

    def start(self) -> Playback:
        """Listen and serve; no effect if it does already.

        Raises:
            OSError: The port cannot be had.
        """
        if self._thread is not None:
            return self
        plug = socket.create_server((self._host, self._port), backlog=BACKLOG)
        self._port = plug.getsockname()[1]
        started = Flag()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(plug, started)), name="firstock-playback", daemon=True
        )
        self._thread.start()
        if not started.wait(CALL_TIMEOUT):
            raise RuntimeError("the playback's thread did not come up")
        return self

    def stop(self) -> None:
        """End every session and free the port; no effect if it is stopped."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None:
            return
        loop.call_soon_threadsafe(stopping.set)
        thread.join(JOIN_TIMEOUT)
        if thread.is_alive():
            raise RuntimeError("the playback's thread did not end")
        self._thread = self._loop = self._stopping = None

    def __enter__(self) -> Playback:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # On the server's thread

    async def _serve(self, plug: socket.socket, started: Flag) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await serve(
            self._serve_client,
            sock=plug,
            compression=None,
            process_request=_process_request,
            close_timeout=LINGER,
            max_queue=NO_LIMIT,
            logger=library_logger,
        )
        started.set()
        await self._stopping.wait()
        server.close()
        await server.wait_closed()

    async def _serve_client(self, connection: ServerConnection) -> None:
        audience = Audience()
        asked = asyncio.Event()
        playing = asyncio.ensure_future(self._play(connection, audience, asked))
        others = [_listen(connection, audience, asked), connection.wait_closed()]
        tasks = [playing, *map(asyncio.ensure_future, others)]
        # A client may leave while it waits for a frame that is due in an hour.
        await asyncio.wait([playing, tasks[-1]], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.error("a session of a playback failed", exc_info=outcome)

    async def _play(self, connection: ServerConnection, audience: Audience, asked: asyncio.Event) -> None:
        try:
            await connection.send(wire.AUTHENTICATED, text=True)
            await _listened(asked)
            await self._send_all(connection, audience)
            await connection.close(1000, "the recording is over")
        except ConnectionClosed:
            logger.debug("a client left before the end of the recording")

    async def _send_all(self, connection: ServerConnection, audience: Audience) -> None:
        loop = asyncio.get_running_loop()
        due, read_frame = loop.time(), frame_reader()
        records, last = iter(self._recording), None
        while batch := await asyncio.to_thread(_take, records, READ_AHEAD):
            for record in batch:
                if self._speed is not None and last is not None:
                    due += seconds_between(last, record) / self._speed
                    if due > loop.time():
                        await asyncio.sleep(due - loop.time())
                last = record
                if record.kind == "recording":
                    audience.thaw(read_snapshot(record).book)
                elif record.kind == "binary":
                    await connection.send(record.frame)
                frames = audience.missed()
                if record.kind == "frame":
                    frames += audience.cut(record.frame, read_frame(record.frame))
                for frame in frames:
                    await connection.send(frame, text=True)
            # A client that reads as fast as this sends would never get a word in.
            await asyncio.sleep(0)


async def _listened(asked: asyncio.Event) -> None:
    """Wait until the client has said what it wants, if it does soon; large sets come in several frames."""
    patience = OVERTURE
    with contextlib.suppress(asyncio.TimeoutError):
        while True:
            await asyncio.wait_for(asked.wait(), patience)
            asked.clear()
            patience = BREATH


def _take(records: Iterator[Record], count: int) -> list[Record]:
    return [record for record, _ in zip(records, range(count), strict=False)]


async def _listen(connection: ServerConnection, audience: Audience, asked: asyncio.Event) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            try:
                action = json.loads(message)
                audience.act(action["action"], action["tokens"])
            except (ValueError, TypeError, KeyError):
                logger.debug("ignored a frame of a client that is no action")
            else:
                asked.set()


def _process_request(connection: ServerConnection, request: Request) -> Response | None:
    # The library refuses a request with two of them; the broker does not look at any.
    if "Origin" in request.headers:
        del request.headers["Origin"]
    if urlsplit(request.path).path.rstrip("/").lower() in VERSIONS:
        return None
    fields = Headers({"Connection": "close", "Content-Length": "0"})
    return Response(404, http.HTTPStatus.NOT_FOUND.phrase, fields, b"")
