"""TLS over buffers in memory, on a socket that is read in large pieces.

An ``ssl.SSLSocket`` asks the system twice for each record, and servers make a record of each frame: at the open
that is most of what reading costs. Here the system is asked once for as many records as have come.

It is no ``socket.socket``, but all of one that websocket-client uses.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any

_CHUNK = 65_536
_RECORD = 16_384
"""Bytes; no record holds more."""


class TlsSocket:
    """A connected socket with TLS on it.

    Threads: one thread at a time may receive, any may send. The TLS state has the lock ``_lock``, which is held
    for no longer than it takes to encrypt or decrypt; the order of what is sent has ``_sending``, taken first.
    """

    def __init__(self, sock: socket.socket, host: str, context: ssl.SSLContext) -> None:
        """Nothing is sent before `do_handshake`."""
        self._sock = sock
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._plain = b""
        self._ended = False

    def do_handshake(self) -> None:
        """Agree on keys. Each step takes as long as the socket's timeout allows.

        Raises:
            ssl.SSLError: not agreed; `ssl.SSLCertVerificationError` if it is for the certificate.
            OSError: the connection failed; TimeoutError if a step took too long.
        """
        while True:
            try:
                with self._lock:
                    self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._take_in()
            except ssl.SSLError:
                # The server is told why, if it can be; that it can't is not what failed.
                with contextlib.suppress(OSError):
                    self._flush()
                raise
        self._flush()
        self._plain = self._decrypt()

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, as soon as there are any; nothing at the end."""
        while True:
            try:
                return self.recv_now(size)
            except ssl.SSLWantReadError:
                continue

    def recv_now(self, size: int) -> bytes:
        """Do as `recv` does, but ask the system once at most.

        Raises:
            ssl.SSLWantReadError: no whole record has come yet.
        """
        if not self._plain and not self._ended:
            self._take_in()
            self._plain = self._decrypt()
            self._flush()
        if not self._plain and not self._ended:
            raise ssl.SSLWantReadError
        received, self._plain = self._plain[:size], self._plain[size:]
        return received

    def send(self, data: bytes) -> int:
        """Send all of `data`; return how long it is."""
        with self._sending:
            with self._lock:
                self._tls.write(data)
                records = self._outgoing.read()
            self._sock.sendall(records)
        return len(data)

    def pending(self) -> int:
        """Return how many bytes `recv` has without asking the system; at the end, 1."""
        return len(self._plain) or self._ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _take_in(self) -> None:
        received = self._sock.recv(_CHUNK)
        if received:
            self._incoming.write(received)
        else:
            self._incoming.write_eof()

    def _decrypt(self) -> bytes:
        read, records = self._tls.read, []
        with self._lock:
            try:
                while True:
                    records.append(read(_RECORD))
                    if not records[-1]:
                        break
            except ssl.SSLWantReadError:
                return b"".join(records)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                pass
            except ssl.SSLError:
                # What came before a record that is bad is good, and is then taken for all there is.
                if not records:
                    raise
        # A server that hangs up without the words of TLS cuts a frame in half at most, and that is noticed.
        self._ended = True
        return b"".join(records)

    def _flush(self) -> None:
        """Send what TLS itself has to say."""
        if self._outgoing.pending:
            with self._sending:
                with self._lock:
                    records = self._outgoing.read()
                self._sock.sendall(records)
