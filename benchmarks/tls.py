"""A server's end of TLS that hands the network many records at once."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from types import TracebackType

_CHUNK = 65_536


class TlsSocket:
    """As much of a socket as the flood server needs.

    Not `ssl.SSLSocket`: that sends each record by itself, and a flood of small segments overruns the receiver's
    buffer on a loopback, whereupon the connection stands still for 200 ms.
    """

    def __init__(self, sock: socket.socket, certificate: str) -> None:
        """
        Args:
            certificate: a PEM file with the key too.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._shake_hands()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                return self._flush()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fetch():
                    raise ConnectionAbortedError("the client left in the handshake") from None

    def _flush(self) -> None:
        self._sock.sendall(self._out.read())

    def _fetch(self) -> bool:
        received = self._sock.recv(_CHUNK)
        self._in.write(received)
        return bool(received)

    def send_records(self, payloads: Iterable[bytes]) -> None:
        """Send each in a record of its own, or in several if it is longer than a record may be."""
        for payload in payloads:
            self._tls.write(payload)
        self._flush()

    def sendall(self, payload: bytes) -> None:
        """Send all of it."""
        self.send_records((payload,))

    def recv(self, size: int) -> bytes:
        """Return what has come, nothing at the end."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not self._fetch():
                    return b""
            except ssl.SSLError:
                return b""

    def pending(self) -> bool:
        """Whether something has come that no look at the socket would tell."""
        return bool(self._tls.pending() or self._in.pending)

    def fileno(self) -> int:
        """The descriptor, to wait for."""
        return self._sock.fileno()

    def __enter__(self) -> TlsSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()
