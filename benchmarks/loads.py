"""The loads that the flood server sends, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.frames import Market, dump, v2_frame
from benchmarks.others import kite_frames, smart_frames

CYCLE = 3_000
"""Quotes in a cycle at least: enough that no client lives off a cache of texts it has seen."""


class Load(NamedTuple):
    """Frames to send: the opening once, then the cycle again and again."""

    opening: list[bytes]
    cycle: list[bytes]
    binary: bool = False


class Kind(NamedTuple):
    """What is known of a load without making it."""

    build: Callable[[int], Load]
    """Makes the load for that many instruments."""
    quotes: int = 1
    """Quotes in each frame."""
    opens: bool = False
    """Whether it begins with one frame for each instrument."""


def _turns(instruments: int, quotes: int = 1) -> range:
    """The turns of a cycle, whole frames of them: each instrument's comes three times at least."""
    length = max(CYCLE, 3 * instruments)
    return range(length + -length % quotes)


def _v1(frame: Callable[[Market, int], object]) -> Callable[[int], Load]:
    def build(instruments: int) -> Load:
        market = Market(instruments)
        return Load([], [dump(frame(market, turn % instruments)) for turn in _turns(instruments)])

    return build


def _v2(quotes: int) -> Callable[[int], Load]:
    def build(instruments: int) -> Load:
        market = Market(instruments)
        bodies = [market.snapshot(turn % instruments) for turn in _turns(instruments, quotes)]
        return Load([], [v2_frame(bodies[at : at + quotes]) for at in range(0, len(bodies), quotes)])

    return build


def _delta(instruments: int) -> Load:
    market = Market(instruments)
    opening = [dump(market.snapshot(number)) for number in range(instruments)]
    return Load(opening, [dump(market.delta(turn % instruments)) for turn in _turns(instruments)])


def _kite(packets: int) -> Callable[[int], Load]:
    return lambda count: Load([], kite_frames(count, packets, CYCLE // packets), binary=True)


def _smart(instruments: int) -> Load:
    return Load([], smart_frames(instruments, CYCLE), binary=True)


LOADS: dict[str, Kind] = {
    "v1": Kind(_v1(Market.snapshot)),
    "v2-1": Kind(_v2(1)),
    "v2-3": Kind(_v2(3), quotes=3),
    "v2-50": Kind(_v2(50), quotes=50),
    "delta": Kind(_delta, opens=True),
    "option": Kind(_v1(Market.quiet_option)),
    "index": Kind(_v1(Market.index)),
    "noisy": Kind(_v1(Market.noisy)),
    "kite-1": Kind(_kite(1)),
    "kite-50": Kind(_kite(50), quotes=50),
    "smart": Kind(_smart),
}
