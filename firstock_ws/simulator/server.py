"""The listening side: upgrade requests, admission, and the life of each session."""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import re
import socket
import ssl
import traceback
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from . import wire
from .feed import Feed
from .sessions import LINGER, Session
from .state import World
from .transport import Line, Link, link_class

logger = logging.getLogger("firstock_ws.simulator")
# The library writes whole request lines, keys included, at DEBUG.
library_logger = logging.getLogger("firstock_ws.simulator.websockets")
library_logger.setLevel(logging.WARNING)


def _without_query(record: logging.LogRecord) -> bool:
    """Take queries, which hold keys, out of a record: the library quotes a request that it can't read."""
    record.msg, record.args = _QUERY.sub("?***", record.getMessage()), ()
    if record.exc_info and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_info, record.exc_text = None, _QUERY.sub("?***", text)
    return True


_QUERY = re.compile(r"\?\S+")
library_logger.addFilter(_without_query)

VERSIONS = {"/ws": 1, "/v2/ws": 2}
SOURCE = "developer-api"
#: Seconds that the clients get at a stop to take their close frame.
FAREWELL = 0.3
#: Frames from a client that may wait. The library would stop and start reading by itself at a lower one, and
#: end a silence with it; None is not understood by websockets 14.0.
NO_LIMIT = 1 << 30


class Broker:
    """Accepts clients on the event loop's thread.

    Args:
        world: The broker's state.
        ping_interval: Seconds between pings; None for none.
        ping_timeout: Seconds that a client has to answer one.
        ssl_context: Serve TLS with it.
    """

    def __init__(
        self, world: World, ping_interval: float | None, ping_timeout: float, ssl_context: ssl.SSLContext | None
    ) -> None:
        self.world = world
        self.line = Line()
        self.feed = Feed(world, self.line.speaking)
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._ssl_context = ssl_context
        self._server: Server | None = None
        self._retired: list[Server] = []

    @property
    def listening(self) -> bool:
        """Whether it accepts clients."""
        return self._server is not None

    async def listen(self, plug: socket.socket) -> None:
        """Accept clients on a socket that listens already."""
        self._server = await serve(
            self._serve_client,
            sock=plug,
            ssl=self._ssl_context,
            compression=None,
            process_request=self._process_request,
            create_connection=link_class(self.line),
            open_timeout=None,
            ping_interval=None,
            close_timeout=LINGER,
            max_queue=NO_LIMIT,
            logger=library_logger,
        )

    def deafen(self) -> None:
        """Stop listening; sessions live on."""
        if self._server is not None:
            self._server.close(close_connections=False)
            self._retired.append(self._server)
            self._server = None

    async def shut_down(self) -> None:
        """Stop listening and end every connection, whatever state it is in."""
        servers = [*self._retired, *([self._server] if self._server is not None else [])]
        if self.line.speaking.is_set():
            farewells = [
                asyncio.ensure_future(session.link.close(1001, "server shutting down"))
                for session in self.world.ready_sessions()
            ]
            for session in self.world.ready_sessions():
                session.ended_by_us = True
            if farewells:
                await asyncio.wait(farewells, timeout=FAREWELL)
        self.deafen()
        for link in list(self.line.links):
            link.transport.abort()
        for server in servers:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), LINGER)

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, Link)
        world = self.world
        # The library refuses a request with two of them; the broker does not look at any.
        if "Origin" in request.headers:
            del request.headers["Origin"]
        address = urlsplit(request.path)
        with world.lock:
            if "websocket" in ",".join(request.headers.get_all("Upgrade")).lower():
                world.handshakes += 1
                world.handshake_paths.append(address.path)
                world.touch()
            if world.refusal is not None:
                return _response(*world.refusal, "refused\n")
            version = VERSIONS.get(address.path.rstrip("/").lower())
            if version is None:
                return _response(404, {}, "no such path\n")
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            connection.user_id = query.get("userId", "")
            connection.version = version
            connection.verdict = self._verdict(query)
            failure = world.behaviour.auth_failure
        if connection.verdict == "unauthenticated" and failure != "frame":
            status = 401 if failure == "http401" else 403
            return _response(status, {"Content-Type": "application/json"}, wire.UNAUTHENTICATED.decode())
        return None

    def _verdict(self, query: Mapping[str, str]) -> str:
        key = self.world.users.get(query.get("userId", ""))
        problem = ""
        if query.get("source") != SOURCE:
            problem = f"source is not {SOURCE}"
        elif not key:
            problem = "userId is unknown, or its key has expired"
        elif query.get("jKey") != key:
            problem = "the key is wrong"
        if problem:
            # The broker would not say; whoever writes a client against this wants to know.
            logger.info("refused a client: %s", problem)
        return "unauthenticated" if problem else "welcome"

    async def _serve_client(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Link)
        session = Session(connection, self.world, self.feed.subscribed)
        refusal = self._admit(session)
        tasks = [asyncio.ensure_future(session.receive())]
        try:
            await asyncio.sleep(self.world.behaviour.auth_delay)
            await self.line.speaking.wait()
            if refusal is None:
                session.welcome(wire.AUTHENTICATED)
                if self._ping_interval:
                    pinging = session.keep_alive(self._ping_interval, self._ping_timeout)
                    tasks.append(asyncio.ensure_future(pinging))
            else:
                session.put(refusal)
                session.end_after_failure()
            tasks.append(asyncio.ensure_future(session.send_queue()))
            await connection.wait_closed()
            # The receiver notes the close code.
            await asyncio.wait(tasks[:1], timeout=LINGER)
        finally:
            session.retire()
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    logger.error("a session of %s failed", session.user_id, exc_info=outcome)

    def _admit(self, session: Session) -> bytes | None:
        world = self.world
        with world.lock:
            if session.link.verdict != "welcome":
                return wire.UNAUTHENTICATED
            if world.counted_sessions(session.user_id) >= world.max_sessions:
                return _limit_text(world)
            # From here on it takes up a place, though nobody sees it before its success frame.
            world.sessions.append(session)
            return None


def _limit_text(world: World) -> bytes:
    text = f"Maximum sessions limit ({world.max_sessions}) reached"
    envelope = world.behaviour.session_limit_envelope
    if envelope == "text":
        return text.encode()
    if envelope == "error":
        return wire.dump({"error": {"message": text}})
    return wire.dump({"status": "failed", "message": text})


def _response(status: int, headers: Mapping[str, str], text: str) -> Response:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    body = text.encode()
    fields = Headers({"Connection": "close", "Content-Length": str(len(body)), "Content-Type": "text/plain"})
    for name, value in headers.items():
        if name in fields:
            del fields[name]
        fields[name] = value
    return Response(status, phrase, fields, body)
