"""Closes clients that nobody refers to any more, where IPython runs the program.

There a cell is run again and again, and each run makes a new client under the old one's name. The broker allows
three sessions a user: the old client's must end, whatever IPython itself still keeps of it. In a plain program a
client that runs stays alive by itself.
"""

from __future__ import annotations

import gc
import itertools
import os
import queue
import threading
import warnings
import weakref
from collections.abc import Callable
from functools import partial

from firstock_ws import ipython
from firstock_ws._secrets import get_logger
from firstock_ws.flag import Flag
from firstock_ws.lifecycle import CLOSE_LIMIT, Lifecycle
from firstock_ws.worker import Worker

logger = get_logger("firstock_ws.forgotten")

PATIENCE = 2 * CLOSE_LIMIT
"""Seconds that a new client's connect() waits for forgotten ones to be closed."""


class Janitor:
    """A thread that closes what was forgotten. It is started when a client connects in IPython, and stays.

    Threads: any thread, also in the middle of a garbage collection, puts into the queue, which allows that; so
    nothing is started or waited for there. The thread is owned here, its lock is ``_lock``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._worker: Worker | None = None
        self._pid = 0

    def start(self) -> None:
        """Start the thread, unless it runs.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        with self._lock:
            if self._worker is None or self._pid != os.getpid():
                worker = Worker(self._run, "firstock-ws-janitor")
                worker.start()
                self._worker, self._pid = worker, os.getpid()

    def put(self, work: Callable[[], None]) -> None:
        """Have `work` done when all before it is."""
        self._work.put(work)

    def wait(self, timeout: float) -> bool:
        """Wait until what was put so far is done, `timeout` seconds at most; return whether it is."""
        done = Flag()
        self.put(done.set)
        return done.wait(timeout)

    def _run(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception:
                logger.exception("a forgotten client could not be closed")
            # Else it would stay until the next comes.
            del work


_janitor = Janitor()
_numbers = itertools.count()
_living: dict[int, str] = {}
"""The user of every client there is, by its number. Each step on it is one for the interpreter: no lock, since a
garbage collection may come in between anywhere."""


def watch(client: object, user_id: str, lifecycle: Lifecycle) -> None:
    """Have `client` closed when nobody refers to it any more."""
    number = next(_numbers)
    _living[number] = user_id
    # The end of the program is the lifecycle's own business.
    weakref.finalize(client, _is_gone, number, user_id, lifecycle, os.getpid()).atexit = False


def _is_gone(number: int, user_id: str, lifecycle: Lifecycle, pid: int) -> None:
    _living.pop(number, None)
    # A forked child must leave its parent's connection alone.
    if os.getpid() != pid or not lifecycle.is_running:
        return
    replaced = any(other > number and user == user_id for other, user in _living.copy().items())
    _janitor.put(lambda: _close(lifecycle, user_id, replaced))
    if not replaced:
        text = f"nothing refers to the client of {user_id} any more, so it is closed: keep it in a variable"
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def _close(lifecycle: Lifecycle, user_id: str, replaced: bool) -> None:
    lifecycle.close_now(CLOSE_LIMIT)
    if replaced:
        logger.info("closed a client of %s which a newer one has replaced", user_id)
    else:
        logger.warning("closed the client of %s: nothing referred to it any more", user_id)


def make_room(kind: type, *, newcomer: object) -> None:
    """In IPython, close clients that only IPython itself still refers to; return when that is done.

    Args:
        kind: the class of clients.
        newcomer: the client that is about to connect, which stays.
    """
    if ipython.find_shell() is None:
        return
    _janitor.start()
    known = weakref.ref(newcomer)
    _collect(kind, known)
    if not _janitor.wait(PATIENCE):
        logger.warning("clients that nobody refers to any more are still being closed")
    if len(_living) > 1:
        # A function may have made the newcomer: the cell gives it the name of an older one when this has ended.
        ipython.after_cell(partial(_collect, kind, known))


def _collect(kind: type, newcomer: Callable[[], object]) -> None:
    ipython.let_go_of(kind, but=newcomer())
    gc.collect()


def keeps_itself() -> bool:
    """Whether a client that runs stays alive though nobody refers to it: in a program, but not in IPython."""
    return ipython.find_shell() is None
