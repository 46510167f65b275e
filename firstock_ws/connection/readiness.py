"""Asks the system whether there is something to be read, and for what there is, with as few calls as can be."""

from __future__ import annotations

import os
import select
import selectors
import socket
from collections.abc import Callable
from typing import Any


def reader_of(sock: socket.socket) -> Callable[[memoryview], int]:
    """Return a function that asks `sock` once for bytes, for a buffer, and returns how many came, 0 at the end.

    It raises BlockingIOError where there is nothing to be had now, on systems that can tell. The socket's own way
    would first ask the system whether there is something, because of its timeout; that is known already.
    """
    if not hasattr(os, "readv"):
        return sock.recv_into
    descriptor = sock.fileno()
    return lambda buffer: os.readv(descriptor, (buffer,))


def waiter_of(sock: Any) -> Callable[[float], bool]:
    """Return a function that waits, so many seconds at most, until `sock` can be read, and returns whether it can.

    Without asking first, a peer that has vanished in the middle of a TLS record would hold the lock of the reader.
    """
    pending: Callable[[], int] = getattr(sock, "pending", int)
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        if isinstance(sock, socket.socket):
            return lambda seconds: bool(poll.poll(seconds * 1000))
        return lambda seconds: pending() > 0 or bool(poll.poll(seconds * 1000))

    def wait(seconds: float) -> bool:
        if pending() > 0:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            return bool(selector.select(seconds))

    return wait
