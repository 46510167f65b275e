"""``record``: writes what the broker sends to a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from firstock_ws._secrets import REDACTOR
from firstock_ws.access import live_access
from firstock_ws.cli.events import Collector
from firstock_ws.cli.lines import in_words
from firstock_ws.cli.live import bad_input, closing, connect, failure_in, is_closed, make_client, signals_ignored
from firstock_ws.errors import RecordingError
from firstock_ws.recording import Recorder, RecorderStats
from firstock_ws.signals import sigterm_as_ctrl_c

_TOLD = ("on_connect", "on_close", "on_reconnect", "on_noreconnect", "on_error")
_PAUSE = 0.5


def run_record(
    file: Path, instruments: Sequence[str], *, greeks: bool = False, seconds: float | None = None
) -> int:
    """Record until Ctrl-C or for `seconds`; return the exit code."""
    # Around all of it: the process ends where this block does, and the recording must be on the disk by then.
    with sigterm_as_ctrl_c():
        return _record(file, instruments, greeks, seconds)


def _record(file: Path, instruments: Sequence[str], greeks: bool, seconds: float | None) -> int:
    access = live_access()
    client = make_client(access, instruments, greeks=greeks)
    collector = Collector(newest_only=False)
    for name in _TOLD:
        setattr(client, name, collector.callbacks()[name])
    with bad_input():
        recorder = Recorder(client, file)
    place = recorder.stats.file
    verb = "added to" if place.exists() and place.stat().st_size else "in"
    progress = Progress()
    try:
        # The recorder closes last: it is to have the goodbye, too.
        with recorder, closing(client, collector):
            connect(client, access)
            _watch(collector, recorder, progress, seconds, lambda: is_closed(client))
    finally:
        with signals_ignored():
            recorder.close()
            progress.end()
            stats = recorder.stats
            if stats.frames or stats.dropped:
                print(f"recorded {_figures(stats)} {verb} {stats.file}", flush=True)
    if stats.error is not None:
        raise RecordingError(stats.error)
    return 0


class Progress:
    """One line on a terminal that changes, with words above it. Used by the main thread alone."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Show `text` instead of what was there."""
        if self._live:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def say(self, text: str) -> None:
        """Leave `text` standing."""
        sys.stderr.write(f"{self._clear()}{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        sys.stderr.write(self._clear())
        sys.stderr.flush()

    def _clear(self) -> str:
        return "\r\x1b[K" if self._live else ""


def _watch(
    collector: Collector, recorder: Recorder, progress: Progress, seconds: float | None, over: Callable[[], bool]
) -> None:
    began = time.monotonic()
    while not over():
        left = _PAUSE if seconds is None else began + seconds - time.monotonic()
        if left <= 0:
            return
        events = collector.take(min(left, _PAUSE))
        for event in events:
            progress.say(in_words(event, ()))
        failure = failure_in(events)
        if failure is not None:
            raise failure
        stats = recorder.stats
        trouble = f"  {REDACTOR.redact(stats.error)}" if stats.error else ""
        progress.show(f"recording {time.monotonic() - began:.0f} s  {_figures(stats)}{trouble}")


def _figures(stats: RecorderStats) -> str:
    dropped = f", {stats.dropped:,} dropped" if stats.dropped else ", none dropped"
    return f"{stats.frames:,} frame{'' if stats.frames == 1 else 's'}, {_size(stats.written)}{dropped}"


def _size(count: int) -> str:
    number, unit = float(count), "bytes"
    for larger in ("KB", "MB", "GB"):
        if number < 1_000:
            break
        number, unit = number / 1_000, larger
    return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
