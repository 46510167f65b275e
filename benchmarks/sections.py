"""What is measured: the sections, the clients in each, and under how much load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.imports import import_times
from benchmarks.machine import has_rss
from benchmarks.run import Bench, Case, Figures, RunError

Found = tuple[str, Figures | RunError]
"""A row, and what one round found for it."""
Round = Callable[[Bench, int, bool], Iterator[Found]]
"""Measures a whole section once; told which round it is, and whether to be quick."""


@dataclass(frozen=True)
class Metric:
    """A column of a table."""

    key: str
    heading: str
    digits: int = 1


@dataclass(frozen=True)
class Section:
    """One table."""

    name: str
    title: str
    about: str
    metrics: tuple[Metric, ...]
    rows: tuple[str, ...]
    round: Round
    needs: Callable[[], list[str]] = list
    """What isn't there, without which nothing of it can be measured."""
    compared_with: str = "ours"
    """The row that the others are compared with, by the first metric."""
    rounds: int | None = None
    """For a section that needs a number of its own."""

    def rounds_of(self, asked: int, quick: bool) -> int:
        """How many rounds to run, when `asked` is what the user wants."""
        return self.rounds if self.rounds is not None and not quick else asked


CPU = Metric("cpu_frame", "CPU µs a frame")
FRAMES = Metric("frames_s", "frames a second", 0)
QUOTES = Metric("quotes_s", "quotes a second", 0)
CPU_QUOTE = Metric("cpu_quote", "CPU µs a quote")
P50 = Metric("p50", "p50, µs", 0)
P99 = Metric("p99", "p99, µs", 0)
MIB = Metric("mib", "MiB")


def _each(*cases: Case) -> Round:
    """A round that runs each case once, one after the other."""

    def round_(bench: Bench, number: int, quick: bool) -> Iterator[Found]:
        # Each round begins with another one, so that no place in the order is always the same client's.
        first = number % len(cases)
        for case in (*cases[first:], *cases[:first]):
            try:
                yield case.name, bench.run(case.quick() if quick else case)
            except RunError as error:
                yield case.name, error

    return round_


def _of_cases(
    name: str, title: str, about: str, metrics: tuple[Metric, ...], *cases: Case, compared_with: str = "ours"
) -> Section:
    """A section with a row for each case."""
    rows = tuple(case.name for case in cases)
    return Section(name, title, about, metrics, rows, _each(*cases), compared_with=compared_with)


# Frames of V1 for about a second of each client: the slowest would take a minute for the fastest one's.
_V1 = {
    "ours": 40_000,
    "ours-json": 20_000,
    "ours-plain": 15_000,
    "broker": 5_000,
    "app": 30_000,
    "floor": 60_000,
    "websockets": 50_000,
    "aiohttp": 60_000,
    "picows": 60_000,
}


def _throughput(load: str, quotes: int, *peers: str, tls: bool = False) -> tuple[Case, ...]:
    return tuple(Case(peer, peer, load, max(100, _V1[peer] // quotes), tls=tls) for peer in peers)


def _latency(peer: str, rate: int) -> Case:
    return Case(f"{peer} at {rate:,}/s", peer, "v1", 5 * rate, rate=rate, latency=True)


def _backlog(bench: Bench, number: int, quick: bool) -> Iterator[Found]:
    frames = 250_000 if quick else 1_000_000
    case = Case("backlog", "ours-stuck", "v1", frames, warm_up=False, seconds=180.0)
    try:
        marks = bench.run(case)
    except RunError as error:
        yield BACKLOG_ROWS[0], error
        return
    for row, mib in zip(BACKLOG_ROWS, marks.values(), strict=True):
        yield row, {"mib": mib}


def _imports(bench: Bench, number: int, quick: bool) -> Iterator[Found]:
    for row, seconds, needless in import_times(number, bench.folder / "compiled"):
        yield row, {"ms": seconds * 1_000, "needless": needless}


def _no_rss() -> list[str]:
    return [] if has_rss() else ["/proc"]


BACKLOG_ROWS = ("after 5 %", "after 25 %", "after 50 %", "after all")
_ALL = ("ours", "ours-json", "ours-plain", "broker", "app", "floor", "websockets", "aiohttp", "picows")
_SOME = ("ours", "ours-json", "broker", "app", "floor")
_WITHOUT_VARIANTS = ("ours", "broker", "app", "floor", "websockets", "aiohttp", "picows")

SECTIONS: tuple[Section, ...] = (
    _of_cases(
        "v1",
        "V1 frames",
        "All fields and ten levels of depth, 1.3 KB of JSON, one instrument a frame, 500 instruments.",
        (CPU, FRAMES),
        *_throughput("v1", 1, *_ALL),
    ),
    _of_cases(
        "v1-tls",
        "V1 frames over TLS",
        "The same frames, each in a TLS record of its own as servers send them.",
        (CPU, FRAMES),
        *_throughput("v1", 1, *_WITHOUT_VARIANTS, tls=True),
    ),
    _of_cases(
        "v2-1",
        "V2 frames of 1 instrument",
        "The second generation's shape, with one instrument in it.",
        (CPU, FRAMES),
        *_throughput("v2-1", 1, *_SOME),
    ),
    _of_cases(
        "v2-3",
        "V2 frames of 3 instruments",
        "3.9 KB a frame.",
        (CPU, FRAMES),
        *_throughput("v2-3", 3, *_SOME),
    ),
    _of_cases(
        "v2-50",
        "V2 frames of 50 instruments",
        "65 KB a frame.",
        (CPU, FRAMES),
        *_throughput("v2-50", 50, *_SOME, "websockets", "aiohttp", "picows"),
    ),
    _of_cases(
        "v2-50-tls",
        "V2 frames of 50 instruments over TLS",
        "The same, in TLS records of 16 KiB.",
        (CPU, FRAMES),
        *_throughput("v2-50", 50, *_WITHOUT_VARIANTS, tls=True),
    ),
    _of_cases(
        "indian",
        "Clients of other Indian brokers",
        "Each on its own broker's frames, all with five levels of depth a side: theirs are binary, 184 (kite) and "
        '379 (smart) bytes a quote; ours are 1.3 KB of JSON. "Of 50": that many quotes in each frame.',
        (QUOTES, CPU_QUOTE),
        Case("ours V1", "ours", "v1", 40_000),
        Case("ours V2 of 50", "ours", "v2-50", 800),
        Case("kite of 1", "kite", "kite-1", 30_000),
        Case("kite of 50", "kite", "kite-50", 600),
        Case("smart", "smart", "smart", 20_000),
        compared_with="ours V1",
    ),
    _of_cases(
        "delta",
        "Deltas",
        "V1 frames that name the four fields that a trade changes, after a snapshot of each instrument.",
        (CPU, FRAMES),
        Case("full frame", "ours", "v1", 40_000),
        Case("delta", "ours", "delta", 60_000),
        compared_with="full frame",
    ),
    _of_cases(
        "odd",
        "Odd frames",
        'V1 frames that have no short way: zeros, "no value" marks, empty levels, prices with binary noise.',
        (CPU, FRAMES),
        Case("full frame", "ours", "v1", 40_000),
        Case("quiet option", "ours", "option", 20_000),
        Case("index", "ours", "index", 20_000),
        Case("noisy prices", "ours", "noisy", 20_000),
        compared_with="full frame",
    ),
    _of_cases(
        "scale",
        "Number of instruments",
        "V1 frames, this client.",
        (CPU, FRAMES),
        *(Case(f"{count:,}", "ours", "v1", 40_000, instruments=count) for count in (10, 100, 1_000, 3_000)),
        compared_with="10",
    ),
    _of_cases(
        "latency",
        "Latency",
        "From just before the server's send to the callback, V1 frames at a steady pace, 5 s.",
        (P50, P99),
        *(_latency(peer, rate) for rate in (1_000, 5_000) for peer in ("ours", "app")),
        compared_with="ours at 1,000/s",
    ),
    Section(
        "memory",
        "Memory",
        "Beyond the interpreter with the imports done: this client with 3,000 instruments, full depth.",
        (MIB,),
        ("ours",),
        _each(Case("ours", "ours-memory", "v1", 6_000, instruments=3_000, rate=3_000.0, whole=True)),
        needs=_no_rss,
    ),
    Section(
        "backlog",
        "Backlog",
        "One round. Memory of this client's process while 1,000,000 V1 frames come (a quick run: 250,000) and its "
        "callback never returns; `max_pending` is the default.",
        (MIB,),
        BACKLOG_ROWS,
        _backlog,
        needs=_no_rss,
        compared_with=BACKLOG_ROWS[0],
        rounds=1,
    ),
    Section(
        "import",
        "Import",
        "In fresh interpreters, 15 rounds. Needless are the simulator, the command line, websockets and rich.",
        (Metric("ms", "ms"), Metric("needless", "needless modules", 0)),
        ("firstock_ws", "websocket, requests"),
        _imports,
        compared_with="firstock_ws",
        rounds=15,
    ),
)
