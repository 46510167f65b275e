"""The server's end of a connection, plain or TLS, with every byte of it in the test's hand."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import Any

import trustme

from firstock_ws import FirstockWS
from firstock_ws.callbacks import CALLBACK_NAMES
from tests.faults.conftest import Fault
from tests.faults.servers import CLOSE, frame
from tests.support import DEADLINE, Watched

WAYS = ("plain", "tls", "plain-library", "tls-library")
"""A line of either kind, read the fast way or by websocket-client itself."""


QUIET = tuple(name for name in CALLBACK_NAMES if name != "on_message")
"""Who listens to ``on_message`` has the callback thread woken for each frame."""


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1").configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


class Peer:
    """A server's socket without TLS."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def recv(self, size: int) -> bytes:
        return self.sock.recv(size)

    def wire(self, data: bytes) -> bytes:
        """Return what has to be sent for the client to read `data`."""
        return data

    def sendall(self, data: bytes) -> None:
        self.sock.sendall(self.wire(data))

    def goodbye(self) -> bytes:
        """Return what says that nothing more will come, below WebSocket."""
        return b""

    def reset(self) -> None:
        """End the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class TlsPeer(Peer):
    """A server's socket with TLS; one thread at a time."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._until(self.tls.do_handshake)

    def _until(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                received = self.sock.recv(65_536)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                self.sock.sendall(self._outgoing.read())
                return result

    def recv(self, size: int) -> bytes:
        try:
            return bytes(self._until(lambda: self.tls.read(size)))
        except ssl.SSLError:
            return b""

    def wire(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self._outgoing.read()

    def ask_for_certificate(self) -> None:
        """Say something that is of TLS alone, and wants an answer; the client must have offered to give it."""
        self.tls.verify_client_post_handshake()
        self.sock.sendall(self.wire(b""))


def connect(
    fault: Fault,
    way: str,
    serve: Callable[[Peer], object],
    *,
    context: ssl.SSLContext | None = None,
    wait: bool = True,
    names: tuple[str, ...] = QUIET,
    **options: Any,
) -> tuple[FirstockWS, Watched]:
    """Make a server that hands each connection to `serve`, and a client of it that is connected.

    Args:
        way: one of `WAYS`.
        context: the server's TLS settings.
        names: callbacks to watch.
    """
    line, _, reader = way.partition("-")

    def handle(sock: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError):
            serve(Peer(sock) if line == "plain" else TlsPeer(sock, context or server_context()))

    url = fault.server(handle).url
    if line == "tls":
        url = url.replace("ws:", "wss:")
        options.setdefault("ssl_context", client_context())
    client, watched = fault.client(url, fast_path=not reader, names=names, **options)
    if wait:
        client.connect(DEADLINE)
    return client, watched


def said_by(peer: Peer) -> Iterator[tuple[int, bytes]]:
    """Yield opcode and payload of each frame that the client sends, until it says goodbye or hangs up."""
    data = b""

    def take(size: int) -> bytes:
        nonlocal data
        while len(data) < size:
            received = peer.recv(65_536)
            if not received:
                raise EOFError
            data += received
        taken, data = data[:size], data[size:]
        return taken

    with contextlib.suppress(EOFError, OSError):
        while True:
            first, second = take(2)
            length = second & 0x7F
            if length == 126:
                length = int.from_bytes(take(2), "big")
            mask = take(4)
            payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(take(length)))
            yield first & 0x0F, payload
            if first == CLOSE:
                return


def quote(price: int, symbol: str = "1") -> bytes:
    """Return a market frame with a last price of `price` paise."""
    return frame(text(price, symbol))


def text(price: int, symbol: str = "1") -> str:
    return f'{{"c_exch_seg":"NSE","c_symbol":"{symbol}","i_last_traded_price":{price}}}'


def quotes(first: int, last: int) -> bytes:
    """Return market frames of the prices from `first` to `last`."""
    return b"".join(map(quote, range(first, last + 1)))


def prices(watched: Watched) -> list[int]:
    """The last prices that came so far, in paise."""
    return [round(quote.last_price * 100) for quote in watched.of("on_quote")]
