"""The REST side of the broker: an HTTP server on threads of its own, and what a test can do to its line."""

from __future__ import annotations

import io
import json
import logging
import selectors
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .api import PREFIX, Answer, Api, failed, symbol_answer
from .state import World
from .symbols import FILES

logger = logging.getLogger("firstock_ws.simulator")

THREAD_NAME = "firstock-simulator-rest"
#: Digits of the longest body that anybody needs to send.
MAX_LENGTH_DIGITS = 6


class RestServer(ThreadingHTTPServer):
    """Serves the REST calls, one thread for each connection, until it is told to stop.

    Args:
        world: The broker; its lock is also that of the list of connections here.
        api: Knows the answers.
        plug: A socket that listens already; the server closes it.
        ssl_context: Serve TLS with it.
    """

    def __init__(self, world: World, api: Api, plug: socket.socket, ssl_context: ssl.SSLContext | None) -> None:
        super().__init__(plug.getsockname(), Call, bind_and_activate=False)
        self.socket.close()
        self.socket = plug
        # It is asked only when there is somebody to accept.
        self.timeout = 0
        self.world = world
        self.api = api
        self.stopping = False
        self._ssl_context = ssl_context
        self._callers: dict[threading.Thread, socket.socket | None] = {}
        self._alarm, self._bell = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, name=THREAD_NAME, daemon=True)

    def start(self) -> None:
        """Accept clients from now on."""
        self._acceptor.start()

    def stop(self, timeout: float) -> None:
        """Stop listening and end every connection, whatever state it is in.

        Args:
            timeout: Seconds that the threads get to end.
        """
        deadline = time.monotonic() + timeout
        with self.world.lock:
            self.stopping = True
            self.world.touch()
        self._bell.send(b"x")
        self._acceptor.join(timeout)
        with self.world.lock:
            callers = list(self._callers)
            for plug in self._callers.values():
                _shut(plug)
        for caller in callers:
            caller.join(max(0.0, deadline - time.monotonic()))
        if self._acceptor.is_alive() or any(caller.is_alive() for caller in callers):
            raise RuntimeError("the threads of the simulator's REST side did not end")
        self.server_close()
        self._alarm.close()
        self._bell.close()

    def _accept(self) -> None:
        # Not serve_forever(): that one looks only now and then whether it shall end.
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            selector.register(self._alarm, selectors.EVENT_READ)
            while True:
                if any(key.fileobj is self._alarm for key, _ in selector.select()):
                    return
                self.handle_request()

    def get_request(self) -> tuple[Any, Any]:
        plug, address = super().get_request()
        if self._ssl_context is None:
            return plug, address
        # The handshake is left to the caller's thread: a client that never begins it holds up nobody else.
        return self._ssl_context.wrap_socket(plug, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        caller = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name=f"{THREAD_NAME}-caller",
            daemon=True,
        )
        with self.world.lock:
            self._callers = {thread: plug for thread, plug in self._callers.items() if thread.is_alive()}
            self._callers[caller] = request
            caller.start()

    def shutdown_request(self, request: Any) -> None:
        with self.world.lock:
            # The thread stays on the list until it is seen to have ended.
            self._callers[threading.current_thread()] = None
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            logger.debug("a REST client was lost: %s", type(error).__name__)
        else:
            logger.error("a REST call failed", exc_info=error)

    def pause(self) -> float:
        """Seconds after each byte of an answer."""
        with self.world.lock:
            return self.world.rest.pause

    def note(self, call: str) -> None:
        """Write down a request."""
        with self.world.lock:
            self.world.rest.requests.append(call)
            self.world.touch()

    def wait(self, over: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something is over, at most until the stop; returns whether the server goes on.

        Args:
            over: Called with the lock held.
            timeout: Seconds; None for no end.
        """
        with self.world.lock:
            self.world.changed.wait_for(lambda: self.stopping or over(), timeout)
            return not self.stopping


class Call(BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: RestServer
    protocol_version = "HTTP/1.1"
    server_version = "firstock-simulator"
    sys_version = ""
    # Head and body go out one by one: else the body waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.wfile = Dribble(self.connection, self.server)

    def do_POST(self) -> None:
        self._serve(self.server.api.answer)

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix(f"{PREFIX}symbols/")
        if name in FILES:
            self._serve_symbols(name)
        else:
            self._serve(lambda path, raw: failed(405, "METHOD_NOT_ALLOWED", "", "use POST"))

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The ``Date`` of an answer: by the clock of the order updates, also where that is a virtual one."""
        with self.server.world.lock:
            return super().date_time_string(self.server.world.desk.epoch if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: a request may hold a key anywhere."""

    def _serve(self, answer: Callable[[str, bytes], Answer]) -> None:
        raw = self._read_body()
        if raw is None or not self._admit():
            return
        status, payload = answer(self.path.partition("?")[0], raw)
        self._reply(status, {"Content-Type": "application/json"}, json.dumps(payload).encode())

    def _serve_symbols(self, name: str) -> None:
        if self._read_body() is None or not self._admit():
            return
        world = self.server.world
        wanted = {tag.strip() for tag in self.headers.get("If-None-Match", "").split(",") if tag.strip()}
        with world.lock:
            known = symbol_answer(world, name, wanted, self.headers.get("If-Modified-Since", ""))
            world.rest.symbol_statuses.append(known.status)
            spoilt = world.rest.spoilt.get(name)
        if spoilt is None:
            self._reply(known.status, known.headers, known.body)
            return
        self.close_connection = True
        length = str(len(known.body)) if spoilt.tells_length else ""
        sent = known.body[: len(known.body) // 2] if spoilt.cut else known.body
        self._reply(known.status, {**known.headers, "Content-Length": length}, sent)

    def _admit(self) -> bool:
        """Note the request; return whether it is to be answered, and has not been by a refusal."""
        self.server.note(self.path.partition("?")[0].removeprefix(PREFIX))
        rest = self.server.world.rest
        if not self.server.wait(lambda: not rest.hushed):
            self.close_connection = True
            return False
        with self.server.world.lock:
            refusal = rest.refusal
        if refusal is None:
            return True
        if refusal.status is None:
            self.close_connection = True
            return False
        headers = {"Content-Type": "text/plain"}
        given = {name.lower() for name in refusal.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in given}
        self._reply(refusal.status, {**headers, **refusal.headers}, refusal.body)
        return False

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        known = length.isdecimal() and len(length) <= MAX_LENGTH_DIGITS
        if not known or "Transfer-Encoding" in self.headers:
            # Where the next request begins cannot be told.
            self.close_connection = True
            return b""
        raw = self.rfile.read(int(length))
        if len(raw) < int(length):
            # The client has left in the middle of it.
            self.close_connection = True
            return None
        return raw

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        if status != 304:
            headers = {"Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            # An empty one is not sent: a length that is not told.
            if value:
                self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


class Dribble(io.BufferedIOBase):
    """Writes to a socket, byte by byte while the world says so.

    Args:
        plug: The socket.
        server: Whose it is.
    """

    def __init__(self, plug: socket.socket, server: RestServer) -> None:
        self._plug = plug
        self._server = server

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        while view:
            pause = self._server.pause()
            if not pause:
                self._plug.sendall(view)
                break
            self._plug.sendall(view[:1])
            view = view[1:]
            if not self._rest(pause):
                raise ConnectionAbortedError("the simulator stops")
        return len(data)

    def _rest(self, pause: float) -> bool:
        return self._server.wait(lambda: self._server.pause() != pause, pause)


def _shut(plug: socket.socket | None) -> None:
    if plug is None:
        return
    try:
        # Not the TLS socket's own method: that one would pull the rug from under the thread that reads.
        socket.socket.shutdown(plug, socket.SHUT_RDWR)
    except OSError:
        logger.debug("a REST client had gone before the stop")
