"""The fault suite's report: written from a run in which everything passed, refused in every other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.faults.report import FaultsReport
from tests.faults.rows import ROWS

ROOT = Path(__file__).parents[1]


class FakeItem:
    def __init__(self, row: str) -> None:
        self.nodeid = f"test_{row}"
        self.user_properties = [("row", row)]


class FakeConfig:
    def __init__(self, *args: str) -> None:
        self.args = list(args)
        self.invocation_params = pytest.Config.InvocationParams(args=args, plugins=None, dir=ROOT)


def run(
    report: FaultsReport,
    *,
    args: tuple[str, ...] = ("tests",),
    without: str = "",
    failed: tuple[str, str] = ("", ""),
    measures: bool = True,
) -> None:
    items: Any = [FakeItem(row.id) for row in ROWS if row.id != without]
    config: Any = FakeConfig(*args)
    report.pytest_collection_modifyitems(config, items)
    for item in items:
        row = item.user_properties[0][1]
        values = [2, 1500] if row == "herd" else [0.123, 0.456, 12.34]
        measured = [("measured", (row, "found after {} s", value)) for value in values if measures]
        phases: tuple[Literal["setup", "call", "teardown"], ...] = ("setup", "call", "teardown")
        for phase in phases:
            outcome: Any = "failed" if failed == (row, phase) else "passed"
            report.pytest_runtest_logreport(
                pytest.TestReport(item.nodeid, ("", 0, ""), {}, outcome, None, phase, user_properties=measured)
            )


def test_a_run_in_which_all_passed_is_written_down() -> None:
    report = FaultsReport(Path("unused"))
    run(report)
    assert report.problems() == []
    text = report.text()
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == len(ROWS) + 1
    assert all(line.count("|") == 4 for line in table)
    assert f"{len(ROWS)} tests" in text
    assert "found after 0.12 to 12.3 s |" in text
    assert "found after 2 to 1,500 s |" in text
    assert "pytest -m faults --faults-report docs/reliability.md" in text
    assert str(ROOT) not in text


@pytest.mark.parametrize(
    ("run_options", "problem"),
    [
        ({"without": "lost"}, "row lost: no test"),
        ({"failed": ("lost", "call")}, "row lost: test_lost did not run and pass"),
        ({"failed": ("lost", "setup")}, "row lost: test_lost did not run and pass"),
        ({"failed": ("lost", "teardown")}, "row lost: test_lost did not run and pass"),
        ({"measures": False}, "row refused: nothing was measured"),
        ({"args": ("tests/faults/test_herd.py",)}, "only a part of tests/faults was asked for"),
        ({"args": ("tests/faults::test_x",)}, "only a part of tests/faults was asked for"),
    ],
)
def test_any_other_run_is_not(run_options: dict[str, Any], problem: str) -> None:
    report = FaultsReport(Path("unused"))
    run(report, **run_options)
    assert problem in report.problems()


def test_the_command_refuses_with_a_clear_line(tmp_path: Path) -> None:
    target = tmp_path / "reliability.md"
    command = [sys.executable, "-m", "pytest", "--no-cov", "-p", "no:cacheprovider", "-m", "faults", "-k", "herd"]
    result = subprocess.run(
        [*command, f"--faults-report={target}"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 1
    assert "reliability.md NOT written" in result.stdout
    assert "row lost: " in result.stdout
    assert not target.exists()


def test_every_row_has_its_own_name() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert all("|" not in row.fault + row.expected for row in ROWS)
