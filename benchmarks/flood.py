"""A server that sends prepared frames faster than any client takes them, to one client, and ends.

A process of its own: ``python -m benchmarks.flood --load v1 --frames 10000`` prints two ports, one for the client
and one for its word that the warm-up is through. Every wait is bounded: nobody is left behind.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import time
from collections.abc import Iterator

from benchmarks import wire
from benchmarks.frames import STAMP_BASE, STAMP_DIGITS, STAMP_FIELD, dump
from benchmarks.loads import LOADS, Load
from benchmarks.tls import TlsSocket

HOST = "127.0.0.1"
CHUNK = 65_536
"""Bytes handed to the socket at once: a call for each frame would make the server the slower one."""
SETTLE = 0.1
"""Seconds of silence after which a client has sent all its subscriptions."""
PATIENCE = 60.0
"""Seconds that any single wait may take."""
GREETING = dump({"status": "success", "message": "Authentication successful"})


class Flood:
    """Sends one load to one client."""

    def __init__(self, sock: wire.Stream, load: Load, *, rate: float, coalesce: bool) -> None:
        """
        Args:
            rate: frames a second, each stamped when it is sent; 0 for as many as the client takes.
            coalesce: put several frames in a TLS record. Usual servers don't.
        """
        self._sock = sock
        self._inbox = wire.Inbox(sock)
        opcode = wire.BINARY if load.binary else wire.TEXT
        opening = [wire.encode(opcode, payload) for payload in load.opening]
        cycle = [wire.encode(opcode, payload) for payload in load.cycle]
        self._frames = itertools.chain(opening, itertools.cycle(cycle))
        self._longest = max(map(len, cycle))
        self._rate = rate
        self._coalesce = coalesce

    def greet(self) -> None:
        """Say that the key is accepted: the broker's clients wait for it."""
        self._sock.sendall(wire.encode(wire.TEXT, GREETING))

    def await_subscription(self) -> None:
        """Wait for the client's first data frame, and until it has been silent for a moment."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            frame = self._inbox.next(PATIENCE)
            if frame is not None and not self._answer(frame):
                break
        while (frame := self._inbox.next(SETTLE)) is not None:
            self._answer(frame)

    def send(self, count: int) -> None:
        """Send the next `count` frames."""
        if self._rate:
            self._send_paced(count)
        else:
            for batch in self._batches(count):
                self._send_batch(batch)
                self._answer_waiting()

    def _send_batch(self, frames: list[bytes]) -> None:
        if isinstance(self._sock, TlsSocket) and not self._coalesce:
            self._sock.send_records(frames)
        else:
            self._sock.sendall(b"".join(frames))

    def hold(self) -> None:
        """Keep the connection until the client closes it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            frame = self._inbox.next(1.0)
            if frame is not None:
                self._answer(frame)

    def _batches(self, count: int) -> Iterator[list[bytes]]:
        at_once = max(1, CHUNK // self._longest)
        for left in range(count, 0, -at_once):
            yield list(itertools.islice(self._frames, min(at_once, left)))

    def _send_paced(self, count: int) -> None:
        begun = time.monotonic()
        for number, frame in enumerate(itertools.islice(self._frames, count)):
            pause = begun + number / self._rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            self._sock.sendall(stamped(frame))
            if number % 64 == 0:
                self._answer_waiting()

    def _answer_waiting(self) -> None:
        while (frame := self._inbox.next(0.0)) is not None:
            self._answer(frame)

    def _answer(self, frame: wire.Frame) -> bool:
        if frame.opcode == wire.PING:
            self._sock.sendall(wire.encode(wire.PONG, frame.payload))
        return frame.opcode in (wire.PING, wire.PONG)


def stamped(frame: bytes) -> bytes:
    """Return `frame` with the time of this moment as the volume; the load has room for it (see `widened`)."""
    at = frame.index(STAMP_FIELD) + len(STAMP_FIELD)
    return frame[:at] + b"%d" % (STAMP_BASE + time.monotonic_ns()) + frame[at + STAMP_DIGITS :]


def widened(load: Load) -> Load:
    """Return `load` with volumes as long as a stamp: a frame's length is fixed before its stamp is known."""
    made = []
    for payload in load.cycle:
        head, field, rest = payload.partition(STAMP_FIELD)
        made.append(head + field + b"%d" % STAMP_BASE + rest[rest.index(b",") :])
    return load._replace(cycle=made)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--load", choices=LOADS, required=True)
    parser.add_argument("--instruments", type=int, default=500)
    parser.add_argument("--warm", type=int, default=0, help="frames before the client's word is waited for")
    parser.add_argument("--frames", type=int, required=True, help="frames after it")
    parser.add_argument("--rate", type=float, default=0.0, help="frames a second, stamped; 0: no limit")
    parser.add_argument("--greet", action="store_true", help="begin with the broker's word on the key")
    parser.add_argument("--certificate", help="a PEM file with the key too: serve TLS")
    parser.add_argument("--coalesce", action="store_true", help="several frames in a TLS record")
    return parser.parse_args()


def _accept(listener: socket.socket, certificate: str | None) -> wire.Stream:
    sock, _ = listener.accept()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return TlsSocket(sock, certificate) if certificate else sock


def _serve(arguments: argparse.Namespace) -> None:
    load = LOADS[arguments.load].build(arguments.instruments)
    if arguments.rate:
        load = widened(load)
    with socket.create_server((HOST, 0)) as listener, socket.create_server((HOST, 0)) as control:
        listener.settimeout(PATIENCE)
        control.settimeout(PATIENCE)
        print(listener.getsockname()[1], control.getsockname()[1], flush=True)
        with _accept(listener, arguments.certificate) as sock:
            flood = Flood(sock, load, rate=arguments.rate, coalesce=arguments.coalesce)
            wire.upgrade(sock)
            if arguments.greet:
                flood.greet()
            flood.await_subscription()
            if arguments.warm:
                flood.send(arguments.warm)
                control.accept()[0].close()
            flood.send(arguments.frames)
            flood.hold()


def main() -> None:
    """Serve one client as the command line says."""
    arguments = _arguments()
    try:
        _serve(arguments)
    except (wire.GoneError, ConnectionError):
        # The client had enough: that is how most runs end.
        return


if __name__ == "__main__":
    main()
