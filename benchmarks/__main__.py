"""``python -m benchmarks``: measure, show the tables, and write RESULTS.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks import report
from benchmarks.results import Results
from benchmarks.run import Bench, RunError
from benchmarks.sections import SECTIONS, Section

RESULTS = Path(__file__).parent / "RESULTS.md"
ROUNDS = 5
QUICK_ROUNDS = 1


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few frames and rounds: about a minute, rough figures"
    )
    parser.add_argument("--rounds", type=int, help=f"rounds of most sections (default {ROUNDS})")
    parser.add_argument("--only", metavar="NAME[,NAME]", help="these sections only")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="where the page goes (default: RESULTS.md here)"
    )
    parser.add_argument("--list", action="store_true", help="show the sections, measure nothing")
    return parser.parse_args(given)


def _chosen(only: str | None) -> list[Section]:
    if only is None:
        return list(SECTIONS)
    names = only.split(",")
    unknown = set(names) - {section.name for section in SECTIONS}
    if unknown:
        sys.exit(f"no such section: {', '.join(sorted(unknown))}; --list shows them")
    return [section for section in SECTIONS if section.name in names]


def _measure(section: Section, bench: Bench, rounds: int, quick: bool, results: Results) -> None:
    if missing := section.needs():
        results.note(section.name, f"Left out: needs {', '.join(missing)}.")
        return
    for number in range(rounds):
        print(f"{section.name}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        try:
            for row, found in section.round(bench, number, quick):
                if isinstance(found, RunError):
                    results.note(section.name, f"{found}.")
                else:
                    results.add(section.name, row, number, found)
        except RunError as error:
            results.note(section.name, f"{error}.")


def main(given: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    arguments = _arguments(given)
    sections = _chosen(arguments.only)
    if arguments.list:
        for section in sections:
            print(f"{section.name:12} {section.title}: {section.about}")
        return
    asked = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    results = Results()
    begun = time.monotonic()
    print(report.legend())
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for section in sections:
            _measure(section, bench, section.rounds_of(asked, arguments.quick), arguments.quick, results)
            print(report.table(section, results), flush=True)
    words = sys.argv[1:] if given is None else given
    command = " ".join(("python -m benchmarks", *words))
    arguments.output.write_text(report.page(command, asked, sections, results, date.today()), encoding="utf-8")
    print(f"{arguments.output} written after {time.monotonic() - begun:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
