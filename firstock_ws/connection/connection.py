"""One connection to the broker, from dialling to its end. A new one is made for each try.

websocket-client's ``WebSocketApp`` does the handshake and reads the frames, on a socket of ours. Its own reconnect
and ping thread are not used, and its hooks decide nothing: why a connection ended is settled after
``run_forever`` has returned, since neither the hooks that fired nor its return value tell.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import websocket

from firstock_ws import protocol
from firstock_ws._secrets import REDACTOR, Secret, get_logger
from firstock_ws._version import __version__
from firstock_ws.connection import library
from firstock_ws.connection.dial import Dialler, Interrupted, Stream
from firstock_ws.connection.keeper import Keeper
from firstock_ws.connection.liveness import Liveness
from firstock_ws.connection.refusals import ABNORMAL, NO_CODE, explain, explain_answer, lost, session_limit_error
from firstock_ws.connection.upgrade import NOT_REFUSED, Upgrade
from firstock_ws.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    FirstockError,
    FrameError,
    SessionLimitError,
)
from firstock_ws.feed.feed import Feed
from firstock_ws.protocol import Verdict
from firstock_ws.settings import Settings
from firstock_ws.subscriptions import Subscriptions
from firstock_ws.tls import default_context

logger = get_logger("firstock_ws.connection")

CLOSE_GRACE = 1.0
"""Seconds that the server gets to answer a close frame."""
_LONG = 60.0


class Ending(NamedTuple):
    """How a connection ended. `error` is None when it was closed as asked."""

    error: FirstockError | None
    was_ready: bool
    lasted: float
    code: int
    reason: str
    hopeless: bool = False
    """Whether another try is pointless, whatever the error."""


class Connection:
    """One try at a connection.

    Threads: the io thread calls `run` and gets websocket-client's hooks; the keeper thread calls `_tend`; any
    thread calls `wake`, `close` and `abort`. The socket, the failure and the flags are owned here, their lock is
    ``_lock``; the clock of an open connection is `Liveness`.
    """

    def __init__(
        self,
        settings: Settings,
        jkey: Secret,
        feed: Feed,
        subscriptions: Subscriptions,
        on_ready: Callable[[], bool],
    ) -> None:
        """
        Args:
            on_ready: called on the io thread when the key is accepted and the subscriptions are sent; returns
                whether the connection is still wanted.
        """
        self._settings = settings
        self._jkey = jkey
        self._feed = feed
        self._subscriptions = subscriptions
        self._on_ready = on_ready
        self._keeper = Keeper(self._tend)
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._stream: Stream | None = None
        self._app: library.App | None = None
        self._web_socket: websocket.WebSocket | None = None
        self._upgrade: Upgrade | None = None
        self._liveness: Liveness | None = None
        self._failure: FirstockError | None = None
        self._close_frame: tuple[int, str] | None = None
        self._deadline: float | None = time.monotonic() + settings.connect_timeout
        self._close_wanted = False
        self._close_sent = False
        self._asked_to_close = False
        self._aborted = False
        self._open = False
        self._online = False
        self._ready_at: float | None = None

    # --- any thread ----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have what was queued for sending sent."""
        self._keeper.wake()

    def close(self) -> None:
        """Ask for the end: politely, with a close frame, if the connection is open. Does not wait."""
        with self._lock:
            self._asked_to_close = self._close_wanted = True
            polite = self._open
        if polite:
            self._keeper.wake()
        else:
            self.abort()

    def abort(self) -> None:
        """Cut the connection, whatever a thread is doing with it."""
        with self._lock:
            self._aborted = True
            if self._sock is not None:
                _cut(self._sock)

    # --- io thread -----------------------------------------------------------------------------------------

    def run(self) -> Ending:
        """Open the connection, read it to its end, and tell how it ended. Nothing is left open."""
        started = time.monotonic()
        try:
            self._keeper.start()
            self._run_app(self._dial())
        except Interrupted:
            logger.debug("closed while dialling")
        except FirstockError as error:
            self._fail(error)
        except (OSError, RuntimeError) as error:
            # No descriptor or no thread to be had: that may pass.
            logger.debug("this computer lacks something", exc_info=True)
            self._fail(ConnectError(f"this computer has no resources to connect with ({type(error).__name__})"))
        finally:
            self._feed.hand_over()
            if self._online:
                self._subscriptions.go_offline()
            self._keeper.stop()
            self.abort()
            self._keeper.join()
            self._let_go()
        return self._ending(time.monotonic() - (self._ready_at or started))

    def _let_go(self) -> None:
        with self._lock:
            sock, app, web_socket = self._sock, self._app, self._web_socket
            self._app = self._web_socket = self._sock = self._stream = self._liveness = None
        if sock is not None:
            sock.close()
        library.let_go(app, web_socket)

    def _ending(self, lasted: float) -> Ending:
        ready = self._ready_at is not None
        if self._asked_to_close and not isinstance(self._failure, (AuthenticationError, SessionLimitError)):
            return Ending(None, ready, lasted, 1000, "closed by the client")
        code, reason = self._close_frame or (ABNORMAL, "")
        error = self._failure
        if error is None and protocol.says_session_limit(reason):
            error = session_limit_error()
        if error is None:
            error = lost(code, reason)
        if isinstance(error, ConnectionLostError):
            return Ending(error, ready, lasted, error.code, error.reason)
        return Ending(error, ready, lasted, code, reason or str(error))

    def _dial(self) -> Stream:
        assert self._deadline is not None
        parts = urlsplit(self._settings.url)
        secure = parts.scheme == "wss"
        dialler = Dialler(deadline=self._deadline, stopped=lambda: self._aborted, publish=self._publish)
        context = (self._settings.ssl_context or default_context()) if secure else None
        sock = dialler.open(parts.hostname or "", parts.port or (443 if secure else 80), context)
        sock.settimeout(self._settings.io_timeout)
        return sock

    def _publish(self, sock: socket.socket) -> None:
        with self._lock:
            self._sock = sock
            if self._aborted:
                raise Interrupted

    def _run_app(self, stream: Stream) -> None:
        self._stream = stream
        self._upgrade = Upgrade(stream)
        app = library.App(
            protocol.session_url(self._settings.url, self._settings.user_id, self._jkey.reveal()),
            header={"User-Agent": f"firstock-ws/{__version__}"},
            on_open=self._on_open,
            on_data=self._on_data,
            on_error=self._on_error,
            on_close=self._on_close,
            socket=cast(socket.socket, self._upgrade),
        )
        with self._lock:
            self._app = app
        app.run_forever(skip_utf8_validation=True, suppress_origin=True, sockopt=library.NO_REDIRECT)

    def _on_open(self, app: Any) -> None:
        settings = self._settings
        with self._lock:
            stream, web_socket = self._stream, app.sock
            ours = web_socket is not None and web_socket.sock is cast(socket.socket, self._upgrade)
            on_texts = self._on_texts if settings.fast_path else None
            if stream is not None and web_socket is not None and ours:
                self._liveness = Liveness(
                    app.bind(web_socket, stream, settings.max_message_size, on_texts, self._feed.hand_over),
                    ping_interval=settings.ping_interval,
                    ping_timeout=settings.ping_timeout,
                    stale_after=settings.stale_after,
                )
                self._web_socket = web_socket
                self._open = True
            close_now = self._close_wanted
        if not ours:
            self._fail(explain(TypeError(), opened=False))
        elif close_now:
            self._keeper.wake()

    def _on_data(self, app: websocket.WebSocketApp, data: bytes, opcode: int, fin: bool) -> None:
        if opcode == websocket.ABNF.OPCODE_BINARY:
            self._feed.handle_binary(data)
        else:
            self._on_texts([data])
        self._feed.hand_over()

    def _on_texts(self, frames: list[bytes]) -> None:
        if self._liveness is not None:
            self._liveness.data_came()
        if self._ready_at is None and self._is_unwanted:
            return
        for fields in self._feed.handle(frames):
            self._on_session(fields)
            if self._is_unwanted:
                return

    def _on_session(self, fields: dict[str, Any]) -> None:
        verdict = protocol.verdict(fields)
        if verdict is Verdict.AUTHENTICATED:
            if self._ready_at is None:
                self._begin()
        elif verdict is Verdict.SESSION_LIMIT:
            self._end(session_limit_error())
        elif verdict is Verdict.UNAUTHENTICATED or self._ready_at is None:
            said = REDACTOR.redact(str(fields.get("message", "")))[:200]
            self._end(
                AuthenticationError(
                    f"the broker does not accept the jKey ({said!r}): it expires every night and at a login "
                    "elsewhere; get a fresh one with login(), or pass jkey= a function that does"
                )
            )
        else:
            self._feed.report(FrameError("the server reports a failure; the frame is in .frame", frame=fields))

    def _begin(self) -> None:
        """Send the subscriptions here, not on the keeper, so that on_connect is queued before any quote."""
        if self._is_unwanted:
            return
        self._feed.start_afresh()
        self._online = True
        try:
            for frame in self._subscriptions.go_online():
                self._send(frame)
        except (OSError, websocket.WebSocketException) as error:
            self._fail(explain(error, opened=True, sending=True))
            return
        with self._lock:
            if self._is_unwanted:
                return
            # In one step with the look: a close frame that was sent has a deadline of its own.
            self._deadline = None
            self._ready_at = time.monotonic()
        if not self._on_ready():
            with self._lock:
                self._ready_at = None
            self.abort()
        self._keeper.wake()

    @property
    def _is_unwanted(self) -> bool:
        """Whether it was ended before it was ready: nobody is told of what still comes."""
        return self._ready_at is None and (self._close_wanted or self._aborted)

    def _end(self, error: FirstockError) -> None:
        """End the connection with a close frame, because of `error`."""
        with self._lock:
            if self._failure is None:
                self._failure = error
            self._close_wanted = True
        self._keeper.wake()

    def _on_error(self, app: websocket.WebSocketApp, error: BaseException) -> None:
        if isinstance(error, websocket.WebSocketConnectionClosedException) and hasattr(error, "status_code"):
            # 1.9 and later report the server's close frame here too; on_close gets it as well.
            self._on_close(app, error.status_code, getattr(error, "reason", None))
            self._fail(None)
        else:
            self._fail(self._refusal() or explain(error, opened=self._open))

    def _refusal(self) -> FirstockError | None:
        """Return what the server's answer to the upgrade says, None if it does not refuse, or is not there."""
        upgrade = self._upgrade
        if self._open or upgrade is None or upgrade.status is None or upgrade.status in NOT_REFUSED:
            return None
        return explain_answer(upgrade.status, upgrade.header("Retry-After"), upgrade.body)

    def _on_close(self, app: websocket.WebSocketApp, code: int | None, reason: str | None) -> None:
        with self._lock:
            if self._close_frame is None:
                self._close_frame = (code or NO_CODE, REDACTOR.redact(reason or ""))

    # --- io thread and keeper ------------------------------------------------------------------------------

    def _fail(self, error: FirstockError | None) -> None:
        """Cut the connection because of `error`; the first error given is the one that counts.

        Cutting at once spares the three seconds that websocket-client waits for a close frame.
        """
        with self._lock:
            if self._failure is None and not self._asked_to_close:
                self._failure = error
        self.abort()

    def _send(self, frame: str | bytes, opcode: int = websocket.ABNF.OPCODE_TEXT) -> None:
        if self._web_socket is not None:
            self._web_socket.send(frame, opcode)

    # --- keeper --------------------------------------------------------------------------------------------

    def _tend(self) -> float:
        """Do what is due; return the seconds until something else will be."""
        now = time.monotonic()
        with self._lock:
            deadline = self._deadline
            close_now = self._close_wanted and self._open and not self._close_sent
            ready = self._ready_at is not None and not self._close_wanted
            if close_now:
                self._close_sent = True
                self._deadline = deadline = now + CLOSE_GRACE
        if deadline is not None and now >= deadline:
            self._fail(self._too_late())
            return _LONG
        pause = _LONG
        try:
            if close_now:
                self._send_close()
            if ready:
                self._send_queued()
                pause = self._watch()
        except (OSError, websocket.WebSocketException) as error:
            self._fail(explain(error, opened=True, sending=True))
        if deadline is not None:
            pause = min(pause, deadline - now)
        return pause

    def _too_late(self) -> FirstockError | None:
        if self._close_sent:
            return None
        if (refusal := self._refusal()) is not None:
            return refusal
        where = "the WebSocket handshake" if not self._open else "the server's word on the jKey"
        return ConnectTimeoutError(f"opening took longer than connect_timeout: still waiting for {where}")

    def _send_close(self) -> None:
        if self._web_socket is not None:
            self._web_socket.send_close()

    def _send_queued(self) -> None:
        while (frame := self._subscriptions.next_frame()) is not None:
            self._send(frame)

    def _watch(self) -> float:
        """Ping a silent server, give up on a dead connection; return seconds till the next look."""
        if self._liveness is None:
            return _LONG
        look = self._liveness.look(data_expected=self._subscriptions.any_wanted)
        if look.dead:
            self._fail(ConnectionLostError(f"connection lost: {look.dead}", code=ABNORMAL, reason=look.dead))
            return _LONG
        if look.ping:
            self._send(b"", websocket.ABNF.OPCODE_PING)
        return look.pause


def _cut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        logger.debug("nothing to cut: errno %s", error.errno)
