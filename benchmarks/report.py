"""Tables of the figures and the goals, in Markdown: for the screen and for RESULTS.md alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from benchmarks import machine
from benchmarks.goals import GOALS, Goal
from benchmarks.peers import PEERS
from benchmarks.results import Results
from benchmarks.sections import Metric, Section

HEAD = """\
# What a frame costs

Written by the benchmarks from their own run: real sockets on 127.0.0.1, each client in a fresh process, the server
in another. To run them, and to write this page anew:

```console
pip install -e ".[bench]"
{command}
```

Medians over interleaved rounds ({rounds}; a section that has another number says so), with the smallest and the
largest behind them. Ratios are medians of each round's ratio. CPU time is that of the client's whole process,
system time too, from the end of a warm-up to its last callback. But for "Latency" and "Memory", the server sends
as fast as the client takes it.
"""
NAMED_METRICS = ("p50", "p99", "needless")
"""Metrics that a goal names, because its row has several."""


def page(command: str, rounds: int, sections: Iterable[Section], results: Results, today: date) -> str:
    """Return the whole of RESULTS.md."""
    parts = [HEAD.format(command=command, rounds=rounds), _about(today), legend(), _summary(results)]
    parts += [table(section, results) for section in sections]
    return "\n".join(parts)


def legend() -> str:
    """Return what the names in the tables stand for."""
    return "\n".join([*(f"- {name}: {peer.about}" for name, peer in PEERS.items() if peer.shown), ""])


def table(section: Section, results: Results) -> str:
    """Return one section: its figures, the goals beside them, and what was left out."""
    lines = [f"## {section.title}", "", section.about, ""]
    heads = ["", *(text for metric in section.metrics for text in (metric.heading, "spread"))]
    heads += [f"ratio to {section.compared_with}", "goal"]
    rows = [_row(section, row, results) for row in section.rows if results.found.get((section.name, row))]
    if rows:
        lines += [*_markdown(heads, rows), ""]
    lines += [f"{note}\n" for note in results.notes.get(section.name, [])]
    return "\n".join(lines)


def _row(section: Section, row: str, results: Results) -> list[str]:
    cells = [row]
    for metric in section.metrics:
        values = results.values(section.name, row, metric.key).values()
        middle = results.median(section.name, row, metric.key)
        cells.append("" if middle is None else _number(middle, metric))
        cells.append(f"{_number(min(values), metric)} to {_number(max(values), metric)}" if values else "")
    ratio = results.ratio(section.name, section.metrics[0].key, row, section.compared_with)
    cells.append("" if ratio is None or row == section.compared_with else ratio_text(ratio))
    goals = (goal for goal in GOALS if goal.section == section.name and _shown_at(goal, section) == row)
    cells.append("; ".join(_goal(goal, row, results) for goal in goals))
    return cells


def _shown_at(goal: Goal, section: Section) -> str:
    # The row that all are compared with would hold all the goals: each stands at what it is held against.
    return goal.against if goal.against and goal.row == section.compared_with else goal.row


def _goal(goal: Goal, row: str, results: Results) -> str:
    value = goal.value(results)
    words = [goal.metric] if goal.metric in NAMED_METRICS else []
    if row != goal.row:
        words += ["of", goal.row] if words else [goal.row]
    words += ["at most" if goal.at_most else "at least", _limit(goal.limit, goal)]
    if goal.against:
        words.append("of this" if row == goal.against else f"of {goal.against}")
    if value is None:
        return f"{' '.join(words)}: not measured"
    return f"{' '.join(words)}: {_limit(value, goal)}, {'met' if goal.met(value) else 'NOT met'}"


def _limit(value: float, goal: Goal) -> str:
    return ratio_text(value) if goal.against else f"{value:.3g}"


def _summary(results: Results) -> str:
    values = [(goal, goal.value(results)) for goal in GOALS]
    met = [goal.met(value) for goal, value in values if value is not None]
    return f"{sum(met)} of the {len(met)} goals that were measured are met.\n"


def _about(today: date) -> str:
    lines = [f"- {name}: {text}" for name, text in {"date": today.isoformat(), **machine.describe()}.items()]
    packages = ", ".join(f"{name} {number}" for name, number in machine.versions().items())
    return "\n".join([*lines, f"- packages: {packages}", ""])


def ratio_text(ratio: float) -> str:
    """Return a ratio as people say it: 1/35, or 4.10x."""
    if 0 < ratio < 0.5:
        return f"1/{1 / ratio:.1f}".removesuffix(".0")
    return f"{ratio:.2f}x"


def _number(value: float, metric: Metric) -> str:
    return f"{value:,.{metric.digits}f}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(3, *(len(row[at]) for row in (heads, *rows))) for at in range(len(heads))]
    numbers = range(1, len(heads) - 1)

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (width - 1) + (":" if at in numbers else "-") for at, width in enumerate(widths)]
    return [line(heads), line(rule), *map(line, rows)]
