"""What must hold whatever goes wrong, watched from outside of the client in every test of this folder."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket

from firstock_ws import FirstockError, FirstockWS, FrameError, State
from firstock_ws.state import StateHolder
from tests.support import DEADLINE, KEY, wait_until

DEAD_KEY = "0badc0de" * 8
FRESH_KEY = "7e57a81e" * 8
SECRETS = (KEY, DEAD_KEY, FRESH_KEY)
"""Every key that a test of this folder uses: none may be found in any text."""

CLOSE_PROMISE = 5.0
BUSY_MACHINE = 2.0
"""Seconds that are the machine's fault, not the client's."""

STEPS = {
    State.STOPPED: {State.CONNECTING},
    State.CONNECTING: {State.CONNECTED, State.WAITING, State.FAILED, State.STOPPED},
    State.CONNECTED: {State.WAITING, State.FAILED, State.STOPPED},
    State.WAITING: {State.CONNECTING, State.FAILED, State.STOPPED},
    State.FAILED: {State.CONNECTING, State.STOPPED},
}

LIFECYCLE = ("on_connect", "on_close", "on_error", "on_reconnect", "on_noreconnect")


class Observed(FirstockWS):
    """Notes the lifecycle calls, whatever functions the test has put in the callbacks' places."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.noted: list[tuple[str, tuple[Any, ...]]] = []
        super().__init__(*args, **options)
        noted, call = self.noted, self._dispatcher._call

        def note(name: str, args: tuple[Any, ...]) -> None:
            if name in LIFECYCLE:
                noted.append((name, args))
            call(name, args)

        self._dispatcher._call = note

    def times(self, name: str) -> int:
        """How often `name` was called, or will be when a callback that blocks is let go."""
        pending = self._dispatcher._pending
        waiting = [*pending.batch.copy(), *pending._queue.copy()]
        return sum(noted == name for noted, _ in self.noted) + sum(
            getattr(item, "name", None) == name for item in waiting
        )


class KeyWatch(logging.Handler):
    """Formats every record, traceback included, and keeps those that show a key."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s %(threadName)s %(message)s"))
        self.records = 0
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1
        text = self.format(record)
        if any(secret in text for secret in SECRETS):
            self.leaks.append(text[:2000])


def texts_of(error: BaseException) -> Iterator[str]:
    """Everything that printing `error` in any way would show, and of all that it came from."""
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        link = queue.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        queue += [link.__cause__, link.__context__]
        yield "".join(traceback.format_exception(link))
        yield f"{link!s} {link!r}"
        if not isinstance(link, FrameError):
            # A FrameError hands over the frame as it came.
            yield f"{link.args!r} {vars(link)!r}"
            # What a traceback with local variables shows, as some error trackers make them.
            for frame, _ in traceback.walk_tb(link.__traceback__):
                if not str(frame.f_globals.get("__name__")).startswith("tests."):
                    yield f"{frame.f_code.co_name}: {dict(frame.f_locals)!r}"


def descriptors() -> int | None:
    """How many descriptors this process has open; None where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if sys.platform.startswith("linux") else None


def our_threads() -> list[str]:
    """Names of the client's threads that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("firstock-ws")]


class Invariants:
    """Watches one test. Everything it replaces is put back by `monkeypatch`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.clients: list[Observed] = []
        self.close_times: list[float] = []
        self.on_look: Callable[[State], None] = lambda state: None
        self._capfd = capfd
        self._monkeypatch = monkeypatch
        self._raised: list[BaseException] = []
        self._out_of_threads: list[str] = []
        self._steps: dict[StateHolder, list[tuple[State, State]]] = {}
        self._watch = KeyWatch()
        self._descriptors = descriptors()
        self._root_level = logging.getLogger().level

    def begin(self) -> None:
        self.log_everything()
        logging.getLogger().addHandler(self._watch)
        self._monkeypatch.setattr(threading, "excepthook", self._thread_raised)
        self._monkeypatch.setattr(sys, "unraisablehook", self._unraisable)
        self._watch_states()
        for name in ("connect", "run_forever", "subscribe", "unsubscribe", "close"):
            self._watch_method(name)

    @property
    def records_seen(self) -> int:
        return self._watch.records

    def log_everything(self) -> None:
        """Log as much as a careless program can, which is what every test starts with."""
        logging.getLogger().setLevel(logging.DEBUG)
        # The server's side is not under test: its library logs the requests that it reads.
        logging.getLogger("websockets.server").setLevel(logging.WARNING)
        websocket.enableTrace(True, handler=logging.NullHandler())

    def log_little(self) -> None:
        """Log as a sensible program does: where a hundred thousand frames would take their time."""
        websocket.enableTrace(False)
        logging.getLogger("websocket").setLevel(logging.NOTSET)
        logging.getLogger().setLevel(logging.CRITICAL)

    def _watch_states(self) -> None:
        def read(holder: StateHolder) -> State:
            state: State = vars(holder)["_state"]
            self.on_look(state)
            return state

        def write(holder: StateHolder, state: State) -> None:
            # Every write is made under the holder's own lock.
            before = vars(holder).get("_state")
            vars(holder)["_state"] = state
            if before is not None and before is not state:
                self._steps.setdefault(holder, []).append((before, state))

        self._monkeypatch.setattr(StateHolder, "_state", property(read, write), raising=False)

    def _watch_method(self, name: str) -> None:
        original: Callable[..., None] = getattr(FirstockWS, name)

        def call(*args: Any, **options: Any) -> None:
            started = time.monotonic()
            try:
                original(*args, **options)
            except BaseException as error:
                self._raised.append(error)
                raise
            finally:
                if name == "close":
                    self.close_times.append(time.monotonic() - started)

        self._monkeypatch.setattr(FirstockWS, name, call)

    def _thread_raised(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "a thread"
        self._out_of_threads.append(f"{name}: {args.exc_type.__name__}: {args.exc_value}")

    def _unraisable(self, args: sys.UnraisableHookArgs) -> None:
        self._out_of_threads.append(f"unraisable: {args.exc_value!r} in {args.object!r}")

    def entered_connected(self, client: FirstockWS) -> int:
        """How often `client` became connected."""
        return sum(state is State.CONNECTED for _, state in self._steps.get(client._state, []))

    def close_all(self) -> None:
        """Close every client, and hold what must be true then."""
        for client in self.clients:
            client.close()
        wait_until(lambda: our_threads() == [])
        for client in self.clients:
            assert client.state in (State.STOPPED, State.FAILED)
            connects = client.times("on_connect")
            assert client.times("on_close") == connects, (
                f"on_close is not once for each on_connect: {client.noted}"
            )
            assert self.entered_connected(client) == connects, "the state says otherwise than on_connect"
        slow = [seconds for seconds in self.close_times if seconds > CLOSE_PROMISE + BUSY_MACHINE]
        assert slow == [], "close() took longer than it promises"
        for steps in self._steps.values():
            assert [step for step in steps if step[1] not in STEPS[step[0]]] == [], (
                "an impossible step of the state"
            )

    def end(self) -> None:
        """Look at all that was seen; the clients are closed and the servers have ended."""
        logging.getLogger().removeHandler(self._watch)
        logging.getLogger().setLevel(self._root_level)
        logging.getLogger("websockets.server").setLevel(logging.NOTSET)
        websocket.enableTrace(False)
        logging.getLogger("websocket").setLevel(logging.NOTSET)
        assert self._out_of_threads == [], "raised out of a thread"
        assert self._watch.leaks == [], "a key in a log record"
        for text in self._texts():
            assert not any(secret in text for secret in SECRETS), f"a key in a text: {text[:2000]}"
        self._raised.clear()
        self.clients.clear()
        self._steps.clear()
        if self._descriptors is not None:
            allowed = self._descriptors
            if (descriptors() or 0) > allowed:
                gc.collect()
            wait_until(lambda: (descriptors() or 0) <= allowed, DEADLINE)

    def _texts(self) -> Iterator[str]:
        yield from self._capfd.readouterr()
        errors = list(self._raised)
        for client in self.clients:
            own = {name: value for name, value in vars(client).items() if name != "noted"}
            yield f"{client!r} {own!r} {client.stats!r}"
            for name, args in client.noted:
                if name in ("on_error", "on_noreconnect"):
                    errors += args
                else:
                    yield f"{name} {args!r}"
        for error in errors:
            if isinstance(error, FirstockError):
                yield from texts_of(error)
