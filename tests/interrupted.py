"""A program, run by a test: Ctrl-C in the main thread, hundreds of times, at any moment of what a user calls.

Afterwards nobody else may stand still. It is a process of its own, since coverage's tracer would.
"""

from __future__ import annotations

import contextlib
import faulthandler
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from firstock_ws import FirstockWS, Recorder
from firstock_ws.cli.events import Collector
from firstock_ws.connection.keeper import Keeper
from firstock_ws.flag import Flag
from firstock_ws.simulator import Simulator
from firstock_ws.symbols import SymbolMaster
from firstock_ws.worker import Worker
from tests.support import DEADLINE, KEY, Watched, connect

TIMES = 300
SHORT, LONG, AGAIN = 0.001, 0.02, 0.1


def press(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def pressed_in(call: Callable[[], object], within: float) -> None:
    """Run `call` again and again until Ctrl-C, which comes `within` seconds."""
    # A condition that is cut while it gives its lock back complains of that instead.
    with contextlib.suppress(KeyboardInterrupt, RuntimeError):
        # Again and again: the first may come in a finalizer, where the interpreter swallows it.
        signal.setitimer(signal.ITIMER_REAL, random.uniform(within / 20, within), AGAIN)
        while True:
            call()
    with contextlib.suppress(KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0)


def in_time(call: Callable[[], object]) -> None:
    """Have `call` return on another thread."""
    done = threading.Lock()
    done.acquire()

    def run() -> None:
        call()
        done.release()

    threading.Thread(target=run, daemon=True).start()
    assert done.acquire(timeout=DEADLINE), "another thread stands still"


def conditions() -> None:
    """What all this is about; fails, sooner or later."""
    for _ in range(10 * TIMES):
        condition = threading.Condition()

        def call(condition: threading.Condition = condition) -> None:
            with condition:
                condition.notify_all()

        pressed_in(call, SHORT)
        in_time(call)


def flags() -> None:
    for _ in range(TIMES):
        flag = Flag()
        pressed_in(lambda flag=flag: flag.wait(0), SHORT)  # type: ignore[misc]
        flag.set()
        pressed_in(lambda flag=flag: (flag.set(), flag.wait(None)), SHORT)  # type: ignore[misc]
        in_time(lambda flag=flag: flag.wait(None))  # type: ignore[misc]


def workers() -> None:
    for _ in range(TIMES):
        go_on = threading.Lock()
        go_on.acquire()
        worker = Worker(lambda go_on=go_on: go_on.acquire() and None, "work")  # type: ignore[misc]
        worker.start()
        pressed_in(lambda worker=worker: worker.wait(0), SHORT)  # type: ignore[misc]
        go_on.release()
        assert worker.wait(DEADLINE)


def keepers() -> None:
    for _ in range(TIMES):
        keeper = Keeper(lambda: DEADLINE)
        keeper.start()
        pressed_in(keeper.wake, SHORT)
        keeper.stop()
        in_time(keeper.join)


def events_of_a_command() -> None:
    for _ in range(TIMES):
        collector = Collector(newest_only=True)
        put = collector.callbacks()["on_error"]
        pressed_in(lambda c=collector, put=put: (put(ValueError()), c.take(0)), SHORT)  # type: ignore[misc]
        in_time(lambda put=put: put(ValueError()))  # type: ignore[misc]
        collector.close()


def symbols() -> None:
    with Simulator(users={"AB1234": KEY}, rate=0, seed=1) as sim, tempfile.TemporaryDirectory() as folder:
        master = SymbolMaster(rest_url=sim.rest_url, cache_dir=folder)
        for _ in range(TIMES // 3):
            pressed_in(lambda: master.load("NSE", refresh=True), LONG)
            in_time(lambda: master.load("NSE"))


def clients() -> None:
    with Simulator(users={"AB1234": KEY}, rate=0, seed=1) as sim, tempfile.TemporaryDirectory() as folder:
        client = FirstockWS("AB1234", KEY, url=sim.url, rest_url=sim.rest_url, tokens=["NSE:2885"])
        watched = Watched(client)
        with Recorder(client, Path(folder) / "all.jsonl") as recorder, client:
            connect(client, sim)

            def call() -> None:
                client.subscribe("NSE:1|NSE:2")
                assert client.stats
                assert client.quotes.get("NSE:1") or True
                assert recorder.stats
                client.unsubscribe("NSE:2")

            for _ in range(TIMES):
                pressed_in(call, SHORT)
            # All goes on: what is wanted is sent, quotes and orders are told, the figures can be had.
            client.subscribe("NSE:4242")
            assert sim.wait_for(lambda sim: "NSE:4242" in sim.subscriptions())
            sim.tick("NSE:4242")
            sim.place_order("NSE:2885", quantity=1)
            watched.wait("on_order_update", 3)
            assert "NSE:4242" in {quote.instrument for quote in watched.wait("on_quote", 3)}
            in_time(lambda: (client.stats, recorder.stats))
        assert watched.of("on_error") == []
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("firstock-ws")]
        assert left == []


SCENES = [conditions, flags, workers, keepers, events_of_a_command, symbols, clients]

if __name__ == "__main__":
    # Says where it stands still.
    faulthandler.dump_traceback_later(4 * DEADLINE, exit=True)
    signal.signal(signal.SIGALRM, press)
    next(scene for scene in SCENES if scene.__name__ == sys.argv[1])()
    sys.stdout.write("went on\n")
