"""``replay``: shows a recording as ``stream`` shows the live thing, or serves it to other programs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from firstock_ws.cli.board import Board
from firstock_ws.cli.events import Collector
from firstock_ws.cli.live import bad_input, closing, show
from firstock_ws.cli.output import choose_output
from firstock_ws.cli.serving import refusals_shown, serve
from firstock_ws.cli.serving import start as start_server
from firstock_ws.client import FirstockWS
from firstock_ws.errors import RecordingError, UsageError
from firstock_ws.models import IST
from firstock_ws.recording import Replay
from firstock_ws.tables.cells import check_fields

Speed = float | Literal["max"]


def run_replay(
    file: Path,
    *,
    speed: str,
    start: str | None,
    end: str | None,
    fields: Sequence[str] | None,
    as_json: bool,
    port: int | None,
) -> int:
    """Play `file` to its end or until Ctrl-C; return the exit code.

    Args:
        speed: a number, or ``max``.
        start, end: times of the day, IST.
        fields: what to show of a quote; None for the usual.
        as_json: whether each event is to be a line of JSON.
        port: where to serve it instead of showing it; 0 for any free one.
    """
    factor = _speed(speed)
    recording = Replay(file)
    if port is not None:
        if start or end or fields or as_json:
            raise UsageError("--port serves the whole recording: --start, --end, --fields, --json are not for it")
        return _serve(file, factor, port)
    with bad_input():
        chosen = None if fields is None else check_fields(fields)
    board = Board(f"Recording of {recording.started:%d %b %Y %H:%M:%S IST}, {file.name}, at speed {speed}")
    output = choose_output(board, as_json=as_json, fields=chosen)
    client = FirstockWS("REPLAY", "no key", reconcile=False)

    def clock() -> datetime:
        return client.stats.last_frame_at or datetime.now(IST)

    board.clock = clock
    collector = Collector(newest_only=output.newest_only, clock=clock)
    player = Player(recording, client, collector, factor, start, end)
    with closing(client, collector):
        player.start()
        try:
            show(collector, output, seconds=None, over=lambda: not player.is_alive())
        finally:
            collector.close()
            client.close()
            player.join()
    if player.failure is not None:
        raise player.failure
    if recording.damage is not None:
        raise RecordingError(f"{file} has a gap: {recording.damage}; a part of what came after it is missing")
    if recording.torn:
        print(f"firstock-ws: {file} ends early: it was cut off; what came before is good", file=sys.stderr)
    elif not client.stats.frames and (start or end):
        times = f"{recording.started:%H:%M:%S} to {recording.ended:%H:%M:%S} IST"
        print(f"firstock-ws: nothing came at that time: the recording is of {times}", file=sys.stderr)
    return 0


def _serve(file: Path, speed: Speed, port: int) -> int:
    from firstock_ws.simulator.playback import Playback

    playback = Playback(file, speed, port)
    with refusals_shown():
        start_server(playback, port)
        lines = (
            f"{playback.url} {playback.url_v2}",
            "Each client gets the recording from its beginning, whatever its user and key. Ctrl-C stops it.",
        )
        serve(playback, lines)
    return 0


class Player(threading.Thread):
    """Plays a recording while the main thread shows what it brings.

    Threads: `failure` is written here, and read when this has ended.
    """

    def __init__(
        self,
        recording: Replay,
        client: FirstockWS,
        collector: Collector,
        speed: Speed,
        start: str | None,
        end: str | None,
    ) -> None:
        super().__init__(name="firstock-ws-replay")
        self.failure: Exception | None = None
        self._recording = recording
        self._client = client
        self._collector = collector
        self._speed = speed
        self._from = start
        self._to = end

    def run(self) -> None:
        try:
            with bad_input():
                self._recording.run(
                    self._client,
                    speed=self._speed,
                    start=self._from,
                    end=self._to,
                    **self._collector.callbacks(),
                )
        except Exception as error:  # noqa: BLE001 - raised again by the main thread
            self.failure = error


def _speed(text: str) -> Speed:
    if text == "max":
        return "max"
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UsageError("--speed is how many times as fast as it was, above 0, or max")
    return factor
