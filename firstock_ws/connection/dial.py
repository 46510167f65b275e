"""Opens the TCP and TLS connection that is handed to websocket-client.

websocket-client has no overall deadline for opening a connection and cannot be interrupted while it dials, so
the socket is made here. A consequence: proxy variables of the environment do not apply.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import time
from collections.abc import Callable

from firstock_ws.connection.tls_socket import TlsSocket
from firstock_ws.errors import ConnectError, ConnectTimeoutError

Stream = socket.socket | TlsSocket
"""What a connection is read from and written to."""

_SLICE = 0.1
_IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)}


class Interrupted(Exception):
    """The caller asked to stop while a connection was being opened."""


class Dialler:
    """Opens one connection, within one overall deadline, and lets itself be interrupted in every phase."""

    def __init__(
        self, *, deadline: float, stopped: Callable[[], bool], publish: Callable[[socket.socket], None]
    ) -> None:
        """
        Args:
            deadline: the `time.monotonic()` at which opening has failed.
            stopped: asked between steps; True ends the opening with `Interrupted`.
            publish: told of every socket before it is used, so that another thread can shut it down.
        """
        self._deadline = deadline
        self._stopped = stopped
        self._publish = publish

    def open(self, host: str, port: int, context: ssl.SSLContext | None) -> Stream:
        """Return a connected socket, with TLS on it where `context` is given.

        Raises:
            ConnectError: in our own words; nothing of the library's text, nothing of the URL's path.
            Interrupted: as asked for.
        """
        sock = self._tcp(host, port)
        if context is None:
            return sock
        try:
            return self._tls(sock, host, context)
        except BaseException:
            sock.close()
            raise

    def _left(self, what: str) -> float:
        if self._stopped():
            raise Interrupted
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ConnectTimeoutError(f"{what} took longer than connect_timeout")
        return left

    def _tcp(self, host: str, port: int) -> socket.socket:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "not a host name"
            problem = f"cannot look up {host}: {why}; is the network up?"
        else:
            problem = f"cannot look up {host}: it has no address"
            for index, (family, kind, protocol, _, address) in enumerate(addresses):
                left = self._left(f"connecting to {host}")
                # A dead first address (IPv6 without a route, say) must leave time for the next.
                share = left / (len(addresses) - index)
                sock: socket.socket | None = None
                failure: int | None
                try:
                    # Even making the socket fails where the system has no IPv6, or no descriptor left.
                    sock = socket.socket(family, kind, protocol)
                    failure = self._connect(sock, address, time.monotonic() + share)
                    if failure == 0:
                        return sock
                except OSError as error:
                    failure = error.errno
                except Interrupted:
                    _close(sock)
                    raise
                _close(sock)
                problem = f"cannot connect to {host} port {port}: {errno_text(failure)}; is the network up?"
        self._left(f"connecting to {host}")
        raise ConnectError(problem)

    def _connect(self, sock: socket.socket, address: object, until: float) -> int:
        """Connect `sock`; return 0 or the errno. In slices: not every system lets shutdown() end a connect."""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._publish(sock)
        failure = sock.connect_ex(address)  # type: ignore[arg-type]
        if failure not in _IN_PROGRESS:
            return failure
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            while not selector.select(min(_SLICE, max(0.0, until - time.monotonic()))):
                if self._stopped():
                    raise Interrupted
                if time.monotonic() >= until:
                    return errno.ETIMEDOUT
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _tls(self, sock: socket.socket, host: str, context: ssl.SSLContext) -> TlsSocket:
        sock.settimeout(self._left(f"connecting to {host}"))
        problem = f"the TLS handshake with {host} failed"
        try:
            secured = TlsSocket(sock, host, context)
            secured.do_handshake()
            return secured
        except ssl.SSLCertVerificationError as error:
            problem = (
                f"the certificate of {host} was refused: {error.verify_message}; check this computer's clock and "
                "its certificate store, or pass ssl_context="
            )
        except ssl.SSLError as error:
            problem += f": {error.reason or 'the connection was cut'}; does the server speak TLS at that port?"
        except TimeoutError:
            problem += ": it took longer than connect_timeout"
        except (OSError, ValueError) as error:
            problem += f": {errno_text(error.errno) if isinstance(error, OSError) else 'the connection was cut'}"
        self._left(f"the TLS handshake with {host}")
        raise ConnectError(problem)


def _close(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.close()


def errno_text(number: int | None) -> str:
    """Return the system's words for an errno."""
    return os.strerror(number).lower() if number else "the connection was cut"
