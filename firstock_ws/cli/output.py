"""Where events are shown: on a live table, as lines, or as JSON. Used by the main thread alone."""

from __future__ import annotations

import io
import select
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live

from firstock_ws.cli.board import Board
from firstock_ws.cli.events import Event
from firstock_ws.cli.lines import in_json, in_words
from firstock_ws.cli.view import picture

FRAMES_PER_SECOND = 8
_BACK = "\x1b[?1049l\x1b[?25h"
"""Leaves the terminal's other screen, and shows the cursor."""
LINE_FIELDS = ("last_price", "change", "change_percent", "volume")


class Output(Protocol):
    """Shows events while its block lasts."""

    newest_only: bool
    """Whether the newest quote of each instrument is enough."""

    def __enter__(self) -> Output: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def restore(self) -> None:
        """Bring the terminal back, if Ctrl-C in the middle of coming or going has left it changed."""

    def pause(self) -> float:
        """Wait before the next look, if that is due; return the seconds that this look may wait for an event."""

    def show(self, events: Sequence[Event]) -> None:
        """Show what came; called with nothing, too, now and then.

        Raises:
            BrokenPipeError: nobody reads any more.
        """


class Lines:
    """A line for each event, written in batches."""

    newest_only = False

    def __init__(self, line: Callable[[Event], str], stream: TextIO) -> None:
        self._line = line
        self._stream = stream

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def restore(self) -> None:
        pass

    def pause(self) -> float:
        return 0.2

    def show(self, events: Sequence[Event]) -> None:
        if events:
            self._stream.write("".join(f"{self._line(event)}\n" for event in events))
            self._stream.flush()
        elif _reader_is_gone(self._stream):
            raise BrokenPipeError


class Screen:
    """The live table. It fills the terminal while it lasts, and leaves its last state behind."""

    newest_only = True

    def __init__(self, board: Board, console: Console, fields: Sequence[str] | None = None) -> None:
        self._board = board
        self._console = console
        self._fields = fields
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._drawn_at = 0.0
        self._shown = False

    def __enter__(self) -> Screen:
        self._shown = True
        self._live.__enter__()
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
        self._shown = False
        self._console.print(picture(self._board, self._console, self._fields, ended=True))

    def restore(self) -> None:
        if self._shown:
            # By hand: rich may not know yet, or not know any more, what it has written.
            self._console.file.write(_BACK)
            self._console.file.flush()
            self._shown = False

    def pause(self) -> float:
        time.sleep(max(0.0, self._drawn_at + 1 / FRAMES_PER_SECOND - time.monotonic()))
        return 0.0

    def show(self, events: Sequence[Event]) -> None:
        self._board.apply(events)
        self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        self._live.update(picture(self._board, self._console, self._fields), refresh=True)


def choose_output(
    board: Board, *, as_json: bool, fields: Sequence[str] | None, lines_wanted: bool = False
) -> Output:
    """Return what stdout is fit for.

    Args:
        fields: values of a quote that are wanted; None for the usual ones.
        lines_wanted: whether the table must not be used though there is a terminal.
    """
    if as_json:
        return Lines(lambda event: in_json(event, fields), sys.stdout)
    console = Console()
    # Not is_terminal alone: FORCE_COLOR makes that of a pipe, too.
    if sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal and not lines_wanted:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Better a question mark than an end, where the terminal has no such sign.
            sys.stdout.reconfigure(errors="replace")
        return Screen(board, console, fields)
    return Lines(lambda event: in_words(event, fields or LINE_FIELDS), sys.stdout)


def _reader_is_gone(stream: TextIO) -> bool:
    """Whether the other end of a pipe is closed. Without this it would be noticed at the next quote only."""
    if not hasattr(select, "poll"):
        return False
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return False
    look = select.poll()
    look.register(descriptor, 0)
    return any(found & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, found in look.poll(0))
