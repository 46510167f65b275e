"""Writes what the tests measured: ``pytest -m faults --faults-report docs/reliability.md``.

A test belongs to the rows that its ``faults`` marker names, and hands over its figures as user properties. The
report is written only when every row has tests and all of them ran and passed.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.faults.rows import ROWS

FOLDER = Path(__file__).parent

HEAD = """\
# What the client does when things go wrong

Written by the fault suite from its own run: the real client, real sockets on 127.0.0.1, servers that misbehave on
purpose. To run it, and to write this page anew:

```console
pip install -e ".[test]"
pytest -m faults
pytest -m faults --faults-report docs/reliability.md
```

{date}: Python {python}, websocket-client {library}, {system}; {tests} tests, all passed.

Held against every test, besides its own row: at most one live connection for one client; the key in no log record
(everything at DEBUG, `websocket.enableTrace(True)`), output, exception or repr; after `close()` all threads are
gone and the number of file descriptors is what it was; each `close()` returns within 5 s; nothing is raised out of
a thread; `client.state` takes only legal steps; `on_close` comes once for each `on_connect`.

The times are those of one run on one computer; where settings are named, the tests made them short.

| fault | what the client does | measured |
|---|---|---|
"""


class Measured:
    """What the tests of one row measured: texts, and numbers that stand for ``{}`` in a text."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, text: str, value: float | None) -> None:
        values = self._values.setdefault(text, [])
        if value is not None:
            values.append(value)

    def __str__(self) -> str:
        return "; ".join(text.replace("{}", _span(values)) for text, values in self._values.items())


def _span(values: Iterable[float]) -> str:
    shown = list(dict.fromkeys(_number(value) for value in sorted(values)))
    return shown[0] if len(shown) == 1 else f"{shown[0]} to {shown[-1]}" if shown else ""


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if value < 0.1:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


class FaultsReport:
    """Watches a run, and writes the report at its end or says why not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._expected: dict[str, list[str]] = {}
        self._whole = True
        self._outcomes: dict[str, list[str]] = defaultdict(list)
        self._measured: dict[str, Measured] = defaultdict(Measured)
        self._problems: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        # Before anything is deselected: a test that is left out must not be missed.
        for item in items:
            rows = [value for name, value in item.user_properties if name == "row"]
            if rows:
                self._expected[item.nodeid] = [str(row) for row in rows]
        paths = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
        self._whole = any("::" not in str(arg) for arg in config.args) and any(
            path == FOLDER or FOLDER.is_relative_to(path) for path in paths
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self._expected:
            return
        self._outcomes[report.nodeid].append(report.outcome)
        if report.when == "teardown":
            for name, value in report.user_properties:
                if name == "measured":
                    row, text, number = value  # type: ignore[misc]
                    self._measured[str(row)].add(str(text), number)

    def problems(self) -> list[str]:
        """Why the report can't be written; empty if it can."""
        found = [] if self._whole else ["only a part of tests/faults was asked for"]
        for row in ROWS:
            tests = [test for test, rows in self._expected.items() if row.id in rows]
            bad = [test for test in tests if self._outcomes[test] != ["passed"] * 3]
            if not tests:
                found.append(f"row {row.id}: no test")
            elif bad:
                others = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
                found.append(f"row {row.id}: {bad[0]}{others} did not run and pass")
            elif not str(self._measured[row.id]):
                found.append(f"row {row.id}: nothing was measured")
        return found

    def text(self) -> str:
        """The report."""
        head = HEAD.format(
            date=date.today().isoformat(),
            python=platform.python_version(),
            library=version("websocket-client"),
            system=platform.system(),
            tests=len(self._expected),
        )
        lines = [f"| {row.fault} | {row.expected} | {self._measured[row.id]} |\n" for row in ROWS]
        return head + "".join(lines)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._problems = self.problems()
        if self._problems:
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(self.text(), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._problems:
            terminalreporter.write_line(f"faults report: {self._path} written")
            return
        terminalreporter.write_line(f"faults report: {self._path} NOT written", red=True)
        for problem in self._problems:
            terminalreporter.write_line(f"  {problem}", red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults-report",
        metavar="FILE",
        type=Path,
        help="write the table of faults and measured figures to FILE, if every test of every row passes",
    )
    parser.addoption("--soak-seconds", type=float, default=60.0, help="how long the soak goes on (default: 60)")
    parser.addoption("--soak-seed", type=int, help="the seed of the soak's faults (default: another in each run)")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--faults-report")
    if path is not None:
        config.pluginmanager.register(FaultsReport(path), "faults-report")
