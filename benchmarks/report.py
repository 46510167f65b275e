"""Tables of the figures and the goals, in Markdown: for the screen and for RESULTS.md alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from benchmarks import machine
from benchmarks.goals import GOALS, Goal
from benchmarks.results import Results
from benchmarks.sections import Metric, Section

HEAD = """\
# What a frame costs

Written by the benchmarks from their own run: real sockets on 127.0.0.1, each client in a fresh process, the server in
another. To run them, and to write this page anew:

```console
pip install -e ".[bench]"
{command}
```

Medians of interleaved rounds, the smallest and the largest behind them. Ratios are medians of each round's ratio. CPU
time is that of the client's whole process, system time too, from the end of a warm-up to its last callback.
"""


def page(command: str, sections: Iterable[Section], results: Results, today: date) -> str:
    """Return the whole of RESULTS.md."""
    parts = [HEAD.format(command=command), _about(today), _summary(results)]
    parts += [table(section, results) for section in sections]
    return "\n".join(parts)


def table(section: Section, results: Results) -> str:
    """Return one section: its figures, the goals beside them, and what was left out."""
    lines = [f"## {section.title}", "", section.about, ""]
    lines += [f"- {row}: {about}" for row, about in section.explained if row in _names_of_peers(section)]
    lines += [""] if lines[-1] else []
    heads = ["", *(text for metric in section.metrics for text in (metric.heading, "spread")), "ratio", "goal"]
    rows = [_row(section, row, results) for row in section.rows if results.found.get((section.name, row))]
    if rows:
        lines += _markdown(heads, rows)
    lines += [f"\n{note}" for note in results.notes.get(section.name, [])]
    return "\n".join([*lines, ""])


def _names_of_peers(section: Section) -> set[str]:
    # Where every row is this client, what it is need not be said again and again.
    return {row for row, _ in section.explained} if len({about for _, about in section.explained}) > 1 else set()


def _row(section: Section, row: str, results: Results) -> list[str]:
    cells = [row]
    for metric in section.metrics:
        values = list(results.values(section.name, row, metric.key).values())
        middle = results.median(section.name, row, metric.key)
        cells.append("" if middle is None else _number(middle, metric))
        cells.append(f"{_number(min(values), metric)} to {_number(max(values), metric)}" if values else "")
    ratio = results.ratio(section.name, section.metrics[0].key, row, section.compared_with)
    cells.append("" if ratio is None or row == section.compared_with else ratio_text(ratio))
    cells.append(
        "; ".join(_goal(goal, results) for goal in GOALS if (goal.section, goal.row) == (section.name, row))
    )
    return cells


def _goal(goal: Goal, results: Results) -> str:
    value = goal.value(results)
    show = ratio_text if goal.against else lambda number: f"{number:.4g}"
    bound = "at most" if goal.at_most else "at least"
    what = f"{goal.metric.replace('_', ' ')} " if goal.metric in ("p50", "p99", "needless") else ""
    limit = f"{what}{bound} {show(goal.limit)}" + (f" of {goal.against}" if goal.against else "")
    if value is None:
        return f"{limit}: not measured"
    return f"{limit}: {show(value)}, {'met' if goal.met(value) else 'NOT met'}"


def _summary(results: Results) -> str:
    values = [(goal, goal.value(results)) for goal in GOALS]
    measured = [(goal, value) for goal, value in values if value is not None]
    met = sum(goal.met(value) for goal, value in measured)
    return f"{met} of {len(measured)} goals are met.\n"


def _about(today: date) -> str:
    lines = [f"- {name}: {text}" for name, text in {"date": today.isoformat(), **machine.describe()}.items()]
    packages = ", ".join(f"{name} {number}" for name, number in machine.versions().items())
    return "\n".join([*lines, f"- packages: {packages}", ""])


def ratio_text(ratio: float) -> str:
    """Return a ratio as people say it: 1/35, or 4.1 times."""
    if 0 < ratio < 0.2:
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
