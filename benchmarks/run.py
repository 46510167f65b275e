"""Runs one case: a flood server and a client, each in a fresh process, with a limit on the time of both."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.loads import LOADS
from benchmarks.peers import PEERS

ROOT = Path(__file__).parents[1]
WARM_UP = 0.1
"""Part of the frames that is sent before the clock starts."""
QUICK = 10
"""A quick run has this many times fewer frames."""
SMALLEST_RUN = 50
"""Frames that a quick run has at least."""

Figures = dict[str, float]
"""What one run measured, by metric."""


class RunError(Exception):
    """A case could not be measured; the text says why, in one line."""


@dataclass(frozen=True)
class Case:
    """A client under a load."""

    name: str
    """Its row in the table."""
    peer: str
    load: str
    frames: int
    instruments: int = 500
    rate: float = 0.0
    """Frames a second; 0 for as many as the client takes."""
    tls: bool = False
    latency: bool = False
    warm_up: bool = True
    whole: bool = False
    """Whether a quick run is no shorter."""
    seconds: float = 90.0
    """A run that takes longer has failed."""

    def quick(self) -> Case:
        """The same, shorter. Paced loads keep their pace."""
        return self if self.whole else replace(self, frames=max(SMALLEST_RUN, self.frames // QUICK))

    @property
    def warm(self) -> int:
        """Frames of the warm-up: each instrument's first frame, which costs more, is among them."""
        if not self.warm_up:
            return 0
        kind = LOADS[self.load]
        rest = max(int(self.frames * WARM_UP), -(-self.instruments // kind.quotes))
        return rest + (self.instruments if kind.opens else 0)


class Certificates(NamedTuple):
    """PEM files of a throw-away authority."""

    authority: Path
    server: Path


class Bench:
    """The folder of one whole run, and its certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """For whatever is needed only while it runs."""
        self._certificates: Certificates | None = None

    def run(self, case: Case) -> Figures:
        """Measure `case` once.

        Raises:
            RunError: a process failed, took too long, or left something out; or something isn't installed.
        """
        if missing := PEERS[case.peer].missing():
            raise RunError(f"{case.name} is left out: {', '.join(missing)} not installed")
        server = self._serve(case)
        try:
            port, control = _ports(server)
            said = self._measure(case, port, control)
        finally:
            server.kill()
            server.communicate()
        return _figures(case, said)

    def _serve(self, case: Case) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.flood", "--load", case.load]
        command += ["--instruments", str(case.instruments), "--warm", str(case.warm), "--frames", str(case.frames)]
        command += ["--rate", str(case.rate)]
        if PEERS[case.peer].greeted:
            command += ["--greet"]
        if case.tls:
            command += ["--certificate", str(self._certified().server)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder, env=environment()
        )

    def _measure(self, case: Case, port: int, control: int) -> dict[str, Any]:
        per_frame = LOADS[case.load].quotes
        command = [sys.executable, "-m", "benchmarks.child", "--peer", case.peer]
        command += ["--port", str(port), "--control", str(control), "--instruments", str(case.instruments)]
        command += ["--warm", str(case.warm * per_frame), "--quotes", str(case.frames * per_frame)]
        command += ["--per-frame", str(per_frame)]
        command += ["--seconds", str(case.seconds)]
        if case.tls:
            command += ["--ca", str(self._certified().authority)]
        if case.latency:
            command += ["--latency"]
        # Some clients write files where they are started.
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            try:
                child = subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    cwd=folder,
                    env=environment(),
                    timeout=case.seconds + 30,
                )
            except subprocess.TimeoutExpired:
                raise RunError(f"{case.name}: hangs") from None
        lines = [line for line in child.stdout.splitlines() if line.startswith("{")]
        if child.returncode or not lines:
            errors = child.stderr.strip().splitlines() or ["it said nothing"]
            raise RunError(f"{case.name}: {errors[-1]}")
        said: dict[str, Any] = json.loads(lines[-1])
        return said

    def _certified(self) -> Certificates:
        if self._certificates is None:
            self._certificates = _certify(self.folder)
        return self._certificates


def environment() -> dict[str, str]:
    """Return the environment of a measured process: it finds this package, and nobody looks at its coverage."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "FIRSTOCK_WS_"))
    }
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path}


def _ports(server: subprocess.Popen[str]) -> tuple[int, int]:
    assert server.stdout is not None
    ready, _, _ = select.select([server.stdout], [], [], 60.0)
    words = server.stdout.readline().split() if ready else []
    if len(words) != 2:
        server.kill()
        raise RunError(f"the flood server did not start: {server.communicate()[1].strip()[-200:]}")
    return int(words[0]), int(words[1])


def _certify(folder: Path) -> Certificates:
    try:
        import trustme
    except ImportError:
        raise RunError("trustme is not installed") from None
    authority = trustme.CA()
    made = Certificates(folder / "authority.pem", folder / "server.pem")
    authority.cert_pem.write_to_path(made.authority)
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(made.server)
    return made


def _figures(case: Case, said: dict[str, Any]) -> Figures:
    if said.get("conflated"):
        raise RunError(f"{case.name}: left {said['conflated']} quotes out")
    figures: Figures = {name: float(said[name]) for name in ("p50", "p99", "mib") if name in said}
    figures |= {f"{number:.0f}": mib for number, mib in said.get("marks", [])}
    if said["wall"]:
        figures["quotes"] = said["quotes"]
        figures["cpu_frame"] = said["cpu"] / case.frames * 1e6
        figures["cpu_quote"] = said["cpu"] / said["quotes"] * 1e6
        figures["frames_s"] = case.frames / said["wall"]
        figures["quotes_s"] = said["quotes"] / said["wall"]
    return figures
