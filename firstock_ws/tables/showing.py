"""One output of a notebook that is kept up to date, from a thread of its own."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from firstock_ws import ipython
from firstock_ws._secrets import get_logger
from firstock_ws.flag import Flag
from firstock_ws.state import ENDED, StateHolder
from firstock_ws.worker import Worker

logger = get_logger("firstock_ws.tables.showing")

MAX_UPDATES = 50_000
"""Updates of one output, then it stands still: more than a trading day has at two a second."""

Bundle = dict[str, str]
"""One picture of something, by MIME type."""


class Place(NamedTuple):
    """Where in a notebook something is shown."""

    cell: str | None
    """The cell, if the front end says which."""
    run: str | None
    """The one execution of it."""

    def is_rerun_of(self, other: Place, *, alike: bool) -> bool:
        """Whether what was shown in `other` is replaced by what is shown here.

        Args:
            alike: whether both show the same; counts where it is not known which cells they are.
        """
        if self.run == other.run:
            return False
        if self.cell is None or other.cell is None:
            return alike
        return self.cell == other.cell


def here() -> Place:
    """Return where the caller's cell is."""
    shell = ipython.find_shell()
    parent: dict[str, Any] = shell.get_parent() if hasattr(shell, "get_parent") else {}
    metadata, header = parent.get("metadata") or {}, parent.get("header") or {}
    return Place(metadata.get("cellId"), header.get("msg_id"))


class Showing:
    """Updates one output until the client ends, `stop`, another takes its place, or `MAX_UPDATES`.

    Threads: any thread starts and stops; the thread of the updates is owned here. Which showings there are is
    shared by all of them, its lock is ``_lock``.
    """

    _lock = threading.Lock()
    _all: ClassVar[weakref.WeakSet[Showing]] = weakref.WeakSet()

    def __init__(self, picture: Callable[[str], Bundle], state: StateHolder, refresh: float, key: object) -> None:
        """
        Args:
            picture: returns what is shown now; is given why it stands still from now on, "" if it does not.
            state: the client's.
            refresh: seconds between two looks.
            key: what is equal for showings of the same.
        """
        self._picture = picture
        self._state = state
        self._refresh = refresh
        self._key = key
        self._place = here()
        self._stopping = Flag()
        self._handle: Any = None
        self._shown: Bundle = {}
        self._worker = Worker(self._run, "firstock-ws-table")
        self.updates = 0
        """Updates that were sent so far."""

    def start(self) -> None:
        """Show it, and keep it up to date if the client runs.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        self._replace_earlier()
        self._shown = self._picture("")
        self._handle = ipython.display(self._shown)
        if self._state.now in ENDED or self._handle is None:
            self._stopping.set()
            return
        self._worker.start()

    def stop(self, timeout: float = 1.0) -> None:
        """End the updates; what is shown last stays. Waits for the thread, `timeout` seconds at most."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._state.wake()
            if not self._worker.is_current:
                self._worker.wait(timeout)

    def _replace_earlier(self) -> None:
        with Showing._lock:
            earlier = list(filter(self._follows, Showing._all))
            Showing._all.difference_update(earlier)
            Showing._all.add(self)
        for other in earlier:
            other.stop()

    def _follows(self, other: Showing) -> bool:
        return self._place.is_rerun_of(other._place, alike=self._key == other._key)

    def _run(self) -> None:
        try:
            while self._goes_on():
                self._update("")
            if self.updates >= MAX_UPDATES:
                self._update(f"stopped after {MAX_UPDATES:,} updates, run the cell again to go on")
            else:
                self._update("stopped" if self._state.now not in ENDED else "")
        except Exception as error:
            # Whatever a front end or a dying kernel can come up with.
            logger.warning("a table can't be updated any more: %s", type(error).__name__, exc_info=True)
        self._stopping.set()

    def _goes_on(self) -> bool:
        """Wait; return whether there is more to show."""
        if self.updates >= MAX_UPDATES:
            return False
        self._state.wait_for(lambda state: state in ENDED or self._stopping.is_set(), self._refresh)
        return not self._stopping.is_set() and self._state.now not in ENDED

    def _update(self, still: str) -> None:
        shown = self._picture(still)
        if shown != self._shown:
            self._handle.update(shown, raw=True)
            self._shown = shown
            self.updates += 1
