"""Runs a client for a command: connects, has its events shown, and closes it whatever happens."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from firstock_ws.access import Access
from firstock_ws.cli.events import Collector, Event
from firstock_ws.cli.output import Output
from firstock_ws.client import FirstockWS
from firstock_ws.errors import FirstockError, UsageError
from firstock_ws.signals import sigterm_as_ctrl_c
from firstock_ws.state import State

CONNECT_TIMEOUT = 10.0
_DERIVATIVES = ("NFO", "BFO")


def make_client(
    access: Access, instruments: Sequence[str], *, greeks: bool = False, collector: Collector | None = None
) -> FirstockWS:
    """Return a client with the key of `access`, not yet connected.

    Args:
        greeks: whether to stream the greeks, too, of what trades on NFO and BFO.
        collector: told of everything.

    Raises:
        UsageError: one of `instruments` is none.
    """
    client = FirstockWS(access.session.user_id, access.session.jkey, url=access.url, rest_url=access.rest_url)
    for name, callback in (collector.callbacks() if collector is not None else {}).items():
        setattr(client, name, callback)
    names = [part.strip() for words in instruments for part in words.split("|")]
    options = [name for name in names if name.partition(":")[0].upper() in _DERIVATIVES]
    if greeks and not options:
        raise UsageError("--greeks needs an option among the instruments: NFO:... or BFO:...")
    with bad_input():
        client.subscribe(instruments)
        if greeks:
            client.subscribe_option_greeks(options)
    return client


@contextmanager
def bad_input() -> Iterator[None]:
    """Take a ValueError of the block for what it is here: something that the user typed."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from None


@contextmanager
def closing(client: FirstockWS, collector: Collector | None = None) -> Iterator[None]:
    """Close `client` at the end of the block, also when Ctrl-C is pressed again meanwhile."""
    with sigterm_as_ctrl_c():
        try:
            yield
        finally:
            with signals_ignored():
                if collector is not None:
                    collector.close()
                client.close()


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let nothing that is pressed, and no second SIGTERM, cut the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def connect(client: FirstockWS, access: Access) -> None:
    """Connect `client`, with a word on a terminal while that lasts.

    Raises:
        FirstockError: it can't be.
    """
    told = sys.stderr.isatty()
    if told:
        sys.stderr.write(f"connecting to {access.server} ...")
        sys.stderr.flush()
    try:
        client.connect(CONNECT_TIMEOUT)
    finally:
        if told:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def show(
    collector: Collector,
    output: Output,
    *,
    seconds: float | None,
    over: Callable[[], bool],
    meanwhile: Callable[[float], None] | None = None,
) -> None:
    """Show what `collector` gets, until `seconds` have passed or there is nothing more to come.

    Args:
        over: whether the source has ended.
        meanwhile: called between two looks with the seconds since the beginning.

    Raises:
        FirstockError: why the client gave up.
        BrokenPipeError: nobody reads any more.
    """
    try:
        with output:
            failure = _show(collector, output, seconds, over, meanwhile)
    finally:
        output.restore()
    if failure is not None:
        raise failure


def _show(
    collector: Collector,
    output: Output,
    seconds: float | None,
    over: Callable[[], bool],
    meanwhile: Callable[[float], None] | None,
) -> FirstockError | None:
    began = time.monotonic()
    while True:
        ended = over()
        now = time.monotonic() - began
        if meanwhile is not None:
            meanwhile(now)
        left = None if seconds is None else seconds - now
        if left is not None and left <= 0:
            return None
        wait = output.pause()
        events = collector.take(wait if left is None else min(wait, left))
        output.show(events)
        failure = failure_in(events)
        if failure is not None or (ended and not events):
            return failure


def failure_in(events: Sequence[Event]) -> FirstockError | None:
    """Return why the client gave up, if `events` tell."""
    return next((event.data for event in events if event.kind == "noreconnect"), None)


def is_closed(client: FirstockWS) -> bool:
    """Whether `client` was closed. That it gave up is told by an event, which comes some time after its state."""
    return client.state is State.STOPPED
