"""The one place that knows every secret in use, and takes it out of log records and texts.

The jKey travels in the URL, so anything that prints a URL would give away a trading session: websocket-client's
trace output does, and so can a user's own exception in a callback. Every logger of ours, and websocket-client's,
carries the filter below.
"""

from __future__ import annotations

import contextlib
import html
import json
import logging
import os
import re
import threading
import traceback
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4
MAX_REMEMBERED = 256
TELLING = 12
"""Letters of a secret's beginning that are hidden without the rest; fewer may be a word like any other."""


_PERCENT = re.compile("%[0-9A-F]{2}")


def _without_pieces(text: str, spellings: Iterable[str], start: str) -> str:
    """Return `text` without what is left of a secret where something cut it short, as close reasons are.

    Args:
        spellings: all that begin with `start`: what is there is as much as any of them has in common with it.
    """
    place = text.find(start)
    while place >= 0:
        length = max(_common(text[place:], spelling) for spelling in spellings)
        text = text[:place] + MASK + text[place + length :]
        place = text.find(start, place + len(MASK))
    return text


def _common(text: str, spelling: str) -> int:
    """Return how many letters both begin with."""
    pairs = enumerate(zip(text, spelling, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(text), len(spelling)))


class Secret:
    """A string that does not show itself when the object that holds it is printed."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"


class Redactor(logging.Filter):
    """Replaces known secrets in log records and texts.

    Threads: any thread may call any method. The table of secrets is owned here, its lock is ``_lock``; reading
    takes no lock, since a process can be forked at any moment, in the middle of a log call too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._spellings: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._known: tuple[str, ...] = ()
        self._starts: dict[str, list[str]] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def remember(self, secret: str) -> None:
        """Hide `secret`, in every spelling that a log line can have of it, from now on.

        It is not forgotten when a client closes: a late log line may still hold it. One of three letters and less,
        which people make up for the simulator, is not hidden: it would be found in ordinary words, and show there.
        """
        if len(secret) < SHORTEST:
            return
        spellings = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
        # Both quotes behind it make repr() escape the one that it also may leave alone.
        spellings |= {repr(secret + "'\"")[1:-4], repr(secret.encode() + b"'\"")[2:-4], json.dumps(secret)[1:-1]}
        spellings |= {spelling.replace("\\'", "'") for spelling in spellings}
        spellings |= {spelling.replace("/", "\\/") for spelling in spellings}
        spellings |= {_PERCENT.sub(lambda found: found[0].lower(), spelling) for spelling in spellings}
        spellings |= {html.escape(spelling) for spelling in spellings}
        # Servers and log pipelines like to change the case.
        spellings |= {spelling.lower() for spelling in spellings} | {spelling.upper() for spelling in spellings}
        with self._lock:
            self._spellings[secret] = tuple(spellings)
            self._spellings.move_to_end(secret)
            self._sort()

    def _sort(self) -> None:
        while len(self._spellings) > MAX_REMEMBERED:
            self._spellings.popitem(last=False)
        everything = (spelling for spellings in self._spellings.values() for spelling in spellings)
        # Longest first: a secret may be a part of another.
        self._known = tuple(sorted(set(everything), key=len, reverse=True))
        starts: dict[str, list[str]] = {}
        for spelling in self._known:
            if len(spelling) > TELLING:
                starts.setdefault(spelling[:TELLING], []).append(spelling)
        self._starts = starts

    def redact(self, text: str, least: int = 1) -> str:
        """Return `text` without any secret in it.

        Args:
            least: letters that a secret must have; in a recording, a short one may be a word like any other.
        """
        for spelling in self._known:
            if len(spelling) < least:
                break
            if spelling in text:
                text = text.replace(spelling, MASK)
        # Only then: a piece of one spelling may be the beginning of another that is there as a whole.
        for start, spellings in self._starts.items():
            if start in text:
                text = _without_pieces(text, spellings, start)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = self.redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[1] is not None:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            clean = self.redact(text)
            if clean != text:
                # A handler that formats the exception by itself would print the secret again.
                record.exc_info, record.exc_text = None, clean
        return True


REDACTOR = Redactor()

# websocket-client logs through its one logger, also what another library turned on with enableTrace(True).
# Of urllib3, under requests, each module has its own.
_URLLIB3 = (
    "connection",
    "connectionpool",
    "poolmanager",
    "response",
    "util.retry",
    "util.ssl_",
    "http2.connection",
)
for library_logger in ("websocket", "requests", *(f"urllib3.{module}" for module in _URLLIB3)):
    logging.getLogger(library_logger).addFilter(REDACTOR)
logging.getLogger("firstock_ws").addHandler(logging.NullHandler())


def get_logger(name: str) -> logging.Logger:
    """Return the logger `name` with the secrets filter on it (a filter does not cover child loggers).

    What a user's handler raises does not come out of it: a handler that posts to the network fails just when there
    is a lost connection to be logged, and must not cost the reconnect.
    """
    logger = logging.getLogger(name)
    if REDACTOR not in logger.filters:
        logger.addFilter(REDACTOR)
        vars(logger)["handle"] = partial(_handle, logger)
    return logger


def _handle(logger: logging.Logger, record: logging.LogRecord) -> None:
    try:
        logging.Logger.handle(logger, record)
    except Exception:  # noqa: BLE001 - said as logging says it of its own handlers
        with contextlib.suppress(Exception):
            _FAILED.handleError(record)


_FAILED = logging.NullHandler()
