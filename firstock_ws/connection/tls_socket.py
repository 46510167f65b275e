"""TLS over buffers in memory, on a socket that is read in large pieces.

An ``ssl.SSLSocket`` asks the system twice for each record, and servers make a record of each frame: at the open
that is most of what reading costs. Here the system is asked once for as many records as have come. And one thread
can't read it while another sends: that has crashed CPython.

It is no ``socket.socket``, but all of one that websocket-client uses.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, cast

from firstock_ws.connection.readiness import reader_of

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
        # Kept, since memory taken anew for each reading costs more than the reading.
        self._records = memoryview(bytearray(_CHUNK))
        self._read_now = reader_of(sock)
        self._plain = b""
        self._ended = False
        self._owes = False

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
                self._take_in(self._sock.recv_into)
            except ssl.SSLError:
                # The server is told why, if it can be; that it can't is not what failed.
                with contextlib.suppress(OSError):
                    self._flush()
                raise
        self._flush()
        self._plain = self._decrypt()

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, as soon as there are any; nothing at the end."""
        while not self.pending():
            self._take_in(self._sock.recv_into)
            self._plain = self._decrypt()
            if self._owes:
                self._flush()
        received, self._plain = self._plain[:size], self._plain[size:]
        return received

    def recv_into(self, buffer: memoryview) -> int:
        """Ask the system once, and put what that brings into `buffer`; return how long it is, 0 at the end.

        Raises:
            ssl.SSLWantReadError, BlockingIOError: no whole record has come yet.
        """
        if self.pending():
            length = min(len(buffer), len(self._plain))
            buffer[:length], self._plain = self._plain[:length], self._plain[length:]
            return length
        self._take_in(self._read_now)
        length = self._decrypt_into(buffer)
        if length == len(buffer):
            self._plain = self._decrypt()
        if self._owes:
            self._flush()
        if not length and not self._ended:
            raise ssl.SSLWantReadError
        return length

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

    def _take_in(self, read: Callable[[memoryview], int]) -> None:
        length = read(self._records)
        if length:
            self._incoming.write(self._records[:length])
        else:
            self._incoming.write_eof()

    def _decrypt_into(self, buffer: memoryview) -> int:
        """Put all that can be read into `buffer`, as far as it goes; return how long that is."""
        read: Callable[[int, memoryview], int] = cast(Any, self._tls.read)
        length = 0
        with self._lock:
            try:
                while length < len(buffer):
                    got = read(_RECORD, buffer[length:])
                    length += got
                    if not got:
                        self._ended = True
                        break
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # Hanging up without a word of TLS cuts a frame in half at most, and that is noticed.
                self._ended = True
            except ssl.SSLError:
                # What came before a record that is bad is good, and is then taken for all there is.
                if not length:
                    raise
                self._ended = True
            # Looked at under the lock: what another thread is about to send is not for the reader to wait for.
            self._owes = bool(self._outgoing.pending)
        return length

    def _decrypt(self) -> bytes:
        pieces: list[bytes] = []
        buffer = memoryview(bytearray(_RECORD))
        while length := self._decrypt_into(buffer):
            pieces.append(bytes(buffer[:length]))
        return b"".join(pieces)

    def _flush(self) -> None:
        """Send what TLS itself has to say."""
        # That nobody is there to hear it is found by reading, after what came before.
        with self._sending, contextlib.suppress(ConnectionError):
            with self._lock:
                records = self._outgoing.read()
            self._sock.sendall(records)
