"""Shows on stderr what nobody would hear of otherwise: that a callback fails, or no connection comes about."""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from types import TracebackType

from firstock_ws._secrets import REDACTOR

_Mistake = tuple[str, type[BaseException], str, int]
_Info = tuple[type[BaseException], BaseException, TracebackType | None]

MOST = 20
"""Different mistakes that are shown by one client: no program has more that are worth reading."""


def is_heard(logger: logging.Logger) -> bool:
    """Whether an error that is logged to `logger` goes anywhere: handlers that drop everything do not count."""
    if not logger.isEnabledFor(logging.ERROR):
        # Somebody has turned it off.
        return True
    current: logging.Logger | None = logger
    while current is not None:
        if not all(isinstance(handler, logging.NullHandler) for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return False


class Unheard:
    """Shows what goes wrong with one client, each thing once: a flood of quotes makes the same mistake each time.

    Threads: any thread may call `show`. The table is owned here, its lock is ``_lock``.
    """

    def __init__(self, logger: logging.Logger) -> None:
        """
        Args:
            logger: where the mistakes are logged.
        """
        self._logger = logger
        self._lock = threading.Lock()
        self._shown: set[_Mistake] = set()

    def show(self, name: str, failure: BaseException) -> None:
        """Show `failure` of the callback `name` with its traceback, as logging does where nobody has set it up.

        Nothing is shown if the log is heard, or ``logging.lastResort`` is None.
        """
        how = "set up logging" if name == "on_error" else "set on_error, or set up logging,"
        text = f"the callback {name} raised; {how} to hear of each time:"
        info = (type(failure), failure, failure.__traceback__)
        self._show((name, type(failure), *_place(failure)), text, info)

    def show_trouble(self, error: BaseException) -> None:
        """Show `error`, of which the client recovers by itself, in one line; one of each class."""
        text = f"firstock_ws: {error}; trying again (set on_error, or set up logging, to hear of each time)"
        self._show(("", type(error), "", 0), text, None)

    def _show(self, mistake: _Mistake, text: str, info: _Info | None) -> None:
        last_resort = logging.lastResort
        if last_resort is None or is_heard(self._logger) or not self._is_new(mistake):
            return
        record = self._logger.makeRecord(self._logger.name, logging.ERROR, __file__, 0, text, (), info)
        REDACTOR.filter(record)
        # Where stderr is closed, nobody is there to be told.
        with contextlib.suppress(Exception):
            last_resort.handle(record)

    def _is_new(self, mistake: _Mistake) -> bool:
        with self._lock:
            if mistake in self._shown or len(self._shown) >= MOST:
                return False
            self._shown.add(mistake)
            return True


def _place(failure: BaseException) -> tuple[str, int]:
    """Return the file and the line that raised `failure`."""
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(failure.__traceback__)]
    return places[-1] if places else ("", 0)
