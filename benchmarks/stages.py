"""``python -m benchmarks.stages``: what each stage of a frame's way costs by itself, hot and on one thread."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.frames import Market, dump
from firstock_ws.connection.split import split
from firstock_ws.dispatch import Dispatcher
from firstock_ws.feed.book import QuoteBook
from firstock_ws.feed.feed import Feed
from firstock_ws.feed.market import Entry
from firstock_ws.feed.typed import _decode_delta, _decode_whole, read_frames
from firstock_ws.ledger import Ledger
from firstock_ws.models import Quote

BATCH = 46
"""Frames of 1.3 KB in one reading."""
REPEATS = 30


class _Nowhere(Dispatcher):
    """Takes what a feed puts, and does nothing with it."""

    def put_updates(self, updates: Any, *, more_follow: bool = False) -> None:
        pass


def _nothing(name: str, args: tuple[object, ...]) -> None:
    pass


def _cost(run: Callable[[], object], frames: int) -> float:
    """Microseconds a frame, in the best of many short runs: the others tell of what else the machine does."""
    count = max(1, 2_000 // frames)
    return min(timeit.repeat(run, number=count, repeat=REPEATS)) / count / frames * 1e6


def _feed(book: QuoteBook) -> Feed:
    sink = _Nowhere(_nothing, 1)
    return Feed(book, sink, Ledger(sink.put, follow=True), lambda: False)


def _read(frames: list[bytes], entries: list[Entry] | None = None) -> None:
    assert read_frames(iter(frames), [] if entries is None else entries, len(frames)) is None


def _merge(book: QuoteBook, entries: list[Entry]) -> None:
    assert book.take_plain(iter(entries), []) is None


def _handle(feed: Feed, frames: list[bytes]) -> None:
    assert not list(feed.handle(frames))


def _deliver(quotes: list[Quote]) -> None:
    dispatcher = Dispatcher(lambda name, args: args[0].last_price, 10**6)  # type: ignore[attr-defined]
    for _ in range(2_000 // BATCH):
        dispatcher.put_updates(quotes)
    dispatcher.start()
    dispatcher.finish(None)
    dispatcher.join(None)


def stages() -> Iterator[tuple[str, float]]:
    """Yield each stage's name and its cost, microseconds a frame."""
    market = Market(BATCH)
    full = [dump(market.snapshot(number)) for number in range(BATCH)]
    deltas = [dump(market.delta(number)) for number in range(BATCH)]
    wire = b"".join(b"\x81\x7e" + len(frame).to_bytes(2, "big") + frame for frame in full)
    book = QuoteBook()
    feed = _feed(book)
    list(feed.handle(full))
    yield "cutting frames out of what was read", _cost(lambda: split(wire, 2**20), BATCH)
    kinds = (("full frame", full, _decode_whole), ("delta of 4 fields", deltas, _decode_delta))
    for name, frames, decode in kinds:
        entries: list[Entry] = []
        _read(frames, entries)
        yield f"{name}: msgspec", _cost(partial(decode, frames[0]), 1)
        yield f"{name}: decoding in all", _cost(partial(_read, frames), BATCH)
        yield f"{name}: merging, and the Quote", _cost(partial(_merge, book, entries), BATCH)
        yield f"{name}: from bytes to quotes in all", _cost(partial(_handle, feed, frames), BATCH)
    quotes = list(book.view.values())
    yield "queue, callback thread, callback reading last_price", _cost(lambda: _deliver(quotes), 2_000)


if __name__ == "__main__":
    for stage, microseconds in stages():
        print(f"{stage:55} {microseconds:6.2f} µs")
