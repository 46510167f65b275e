"""Keeps a server up in the foreground."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from firstock_ws._secrets import get_logger
from firstock_ws.errors import FirstockError
from firstock_ws.flag import Flag


class Server(Protocol):
    """What the simulator and the playback have in common."""

    def start(self) -> object: ...

    def stop(self) -> None: ...


@contextmanager
def refusals_shown() -> Iterator[None]:
    """Have the server's own words on stderr in the block, unless the whole log is there already."""
    if logging.getLogger("firstock_ws").isEnabledFor(logging.DEBUG):
        yield
        return
    logger, handler = get_logger("firstock_ws.simulator"), logging.StreamHandler()
    earlier = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(earlier)
        logger.removeHandler(handler)


def start(server: Server, *ports: int | None) -> None:
    """Start `server`, which is to listen on `ports`.

    Raises:
        FirstockError: it can't.
    """
    try:
        server.start()
    except OSError as error:
        # The reason names the address that it is about.
        named = " or ".join(f"port {port}" for port in ports if port) or "this address"
        raise FirstockError(f"cannot listen on {named}: {error.strerror}") from None


def serve(server: Server, lines: Sequence[str]) -> None:
    """Print `lines`, wait for Ctrl-C or SIGTERM, and stop `server`."""
    stop = Flag()
    earlier = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for line in lines:
            print(line, flush=True)
        stop.wait(None)
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        server.stop()
