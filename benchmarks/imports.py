"""How long an import takes, in interpreters that have imported nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.run import RunError, environment

NEEDLESS = ("firstock_ws.simulator", "firstock_ws.cli", "websockets", "rich")
"""Modules that a program which only streams has no use for."""
ROWS = ("firstock_ws", "websocket, requests")
_PROGRAM = """\
import sys, time
begun = time.perf_counter()
import {modules}
took = time.perf_counter() - begun
print(took, sum(name in sys.modules for name in {needless!r}))
"""


def import_times(number: int, folder: Path) -> Iterator[tuple[str, float, int]]:
    """Yield what was imported, the seconds, and how many needless modules came along; in turns with `number`.

    Compiled code is kept in `folder`: pip compiles what it installs, so that is what users have.
    """
    for modules in ROWS if number % 2 else reversed(ROWS):
        if number == 0:
            _import(modules, folder)
        seconds, needless = _import(modules, folder)
        yield modules, seconds, needless


def _import(modules: str, folder: Path) -> tuple[float, int]:
    compiled = {"PYTHONPYCACHEPREFIX": str(folder), "PYTHONDONTWRITEBYTECODE": ""}
    program = _PROGRAM.format(modules=modules, needless=NEEDLESS)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment() | compiled, timeout=60
    )
    if done.returncode:
        raise RunError(f"import {modules}: {done.stderr.strip().splitlines()[-1]}")
    seconds, needless = done.stdout.split()
    return float(seconds), int(needless)
