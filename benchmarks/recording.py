"""``python -m benchmarks.recording``: what a recorder adds to a frame, how fast a replay is, and the size on disk.

The frames are those of the other benchmarks: 50 instruments, a snapshot of each and then deltas of a few fields,
or whole frames all the time. No network: only the client's own way of a frame, from its text to the queue.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.frames import Market, dump
from firstock_ws import FirstockWS, Recorder, Replay, replay

INSTRUMENTS = 50
FRAMES = 60_000
BATCH = 46
"""Frames in one reading."""


def _stream(kind: str) -> list[bytes]:
    market = Market(INSTRUMENTS)
    snapshots = [dump(market.snapshot(number)) for number in range(INSTRUMENTS)]
    make = market.snapshot if kind == "whole frames" else market.delta
    # None twice: a compressed file would be far too small.
    return snapshots + [dump(make(number % INSTRUMENTS)) for number in range(FRAMES - INSTRUMENTS)]


def _feed(client: FirstockWS, frames: list[bytes]) -> tuple[float, float, int]:
    """Return the CPU seconds of this thread alone, those of the process, and the count of frames."""
    count = 0
    thread, process = time.thread_time(), time.process_time()
    for start in range(0, len(frames), BATCH):
        batch = frames[start : start + BATCH]
        for _ in client._feed.handle(batch):
            pass
        count += len(batch)
    return time.thread_time() - thread, time.process_time() - process, count


def _measure(kind: str, folder: Path) -> Iterator[tuple[str, str]]:
    frames = _stream(kind)
    client = FirstockWS("AB1234", "none", max_pending=1)
    bare = min(_feed(client, frames) for _ in range(3))
    yield "bare, CPU of the reading thread", f"{bare[0] / bare[2] * 1e6:.2f} µs a frame"
    for suffix in ("jsonl", "jsonl.zst"):
        path = folder / f"{kind.replace(' ', '-')}.{suffix}"
        client = FirstockWS("AB1234", "none", max_pending=1)
        recorder = Recorder(client, path, max_frames=10**9, max_bytes=2**40).start()
        process = time.process_time()
        thread, _, count = _feed(client, frames)
        recorder.close()
        process = time.process_time() - process
        stats = recorder.stats
        assert stats.frames == count
        yield f"{suffix}: added on the reading thread", f"{(thread - bare[0]) / count * 1e6:+.2f} µs a frame"
        yield f"{suffix}: added in all", f"{(process - bare[1]) / count * 1e6:+.2f} µs a frame"
        yield (
            f"{suffix}: size",
            f"{stats.written / count:.0f} MB a million frames of {stats.bytes // count} bytes",
        )
        yield from _replays(path, suffix)


def _replays(path: Path, suffix: str) -> Iterator[tuple[str, str]]:
    def took(work: object) -> float:
        assert callable(work)
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    count = Replay(path).frames
    seconds = took(lambda: replay(path, speed="max", on_quote=lambda quote: quote.last_price))
    yield f"{suffix}: replay at full speed", f"{count / seconds:,.0f} frames a second"
    seconds = took(lambda: sum(1 for _ in Replay(path)))
    yield f"{suffix}: reading alone", f"{count / seconds:,.0f} frames a second"
    try:
        import pandas  # noqa: F401
    except ImportError:
        return
    seconds = took(lambda: Replay(path).to_frame())
    yield f"{suffix}: to_frame()", f"{count / seconds:,.0f} frames a second"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("deltas", "whole frames"):
            for what, figure in _measure(kind, Path(folder)):
                print(f"{kind:13} {what:45} {figure}")


if __name__ == "__main__":
    main()
