"""Ctrl-C at any moment of what a user's thread calls: nobody else may stand still because of it."""

from __future__ import annotations

import ast
import dis
import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import pytest

import firstock_ws
from firstock_ws.simulator import Simulator
from tests import interrupted
from tests.conftest import ClientMaker
from tests.support import DEADLINE, connect, unmeasured

with_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer that is as quick")


def run(scene: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.interrupted", scene],
        cwd=Path(__file__).parents[1],
        env=unmeasured(),
        capture_output=True,
        text=True,
        timeout=6 * DEADLINE,
    )


@with_timer
@pytest.mark.parametrize("scene", [scene.__name__ for scene in interrupted.SCENES[1:]])
def test_nobody_stands_still(scene: str) -> None:
    done = run(scene)
    assert done.stdout == "went on\n", done.stderr
    # Of finalizers in requests, which have swallowed it; nothing else may be said.
    assert done.stderr == "" or (scene == "symbols" and done.stderr.startswith("Exception ignored"))


@with_timer
def test_a_condition_would_not_do() -> None:
    assert "another thread stands still" in run("conditions").stderr


def test_what_was_cut_in_half_can_be_asked_for_again(
    sim: Simulator, make_client: ClientMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(tokens=["NSE:1"])
    connect(client, sim)

    def cut(call: Callable[[str], None]) -> None:
        def press(*args: object) -> list[str]:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("firstock_ws.protocol.action_frames", press)
            with pytest.raises(KeyboardInterrupt):
                call("NSE:2")
        call("NSE:2")

    cut(client.subscribe)
    assert sim.wait_for(lambda sim: "NSE:2" in sim.subscriptions())
    cut(client.unsubscribe)
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:1"})


def blocks(source: str) -> list[range]:
    """The lines of each ``with`` in `source` that may be a lock's."""
    return [
        range(node.lineno, (node.end_lineno or 0) + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.With) and not all(isinstance(item.context_expr, ast.Call) for item in node.items)
    ]


OURS = {
    ("connection/tls_socket.py", "_decrypt_into"),
    ("feed/feed.py", "handle"),
    ("reconcile.py", "_run"),
    ("recording/writer.py", "_next"),
    ("simulator/feed.py", "beat"),
    ("simulator/rest.py", "process_request"),
}
"""Functions that no user's thread calls, or only one that has the lock to itself: a replay's."""


def uncovered(code: CodeType) -> Iterator[tuple[str, int]]:
    """Functions and lines of loops whose way back no ``finally`` or ``with`` around them covers, as it should."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from uncovered(constant)
    if code.co_name == "<genexpr>":
        return  # The ``with`` is in another frame.
    covered = [range(entry.start, entry.end) for entry in dis._parse_exception_table(code)]  # type: ignore[attr-defined]
    for before, here in itertools.pairwise(dis.get_instructions(code)):
        conditional = here.opname == "JUMP_BACKWARD" and "JUMP_IF" in before.opname
        if conditional and not any(here.offset in cover for cover in covered):
            yield code.co_name, (here.positions and here.positions.lineno) or 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="compiled otherwise")
def test_no_loop_with_a_condition_is_right_under_a_lock() -> None:
    """CPython 3.12 and 3.13 forget the ``with`` around a loop on the way back from a condition in it.

    Ctrl-C at that very step leaves the lock taken. In a function of its own, the loop does no harm.
    """
    sample = "def f():\n with lock:\n  return [x for x in xs if x]"
    assert list(uncovered(compile(sample, "", "exec"))) or sys.version_info >= (3, 14)
    found = []
    package = Path(firstock_ws.__file__).parent
    for path in package.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        locked = blocks(source)
        for function, line in uncovered(compile(source, str(path), "exec")):
            found += [(path.relative_to(package).as_posix(), function) for lines in locked if line in lines]
    assert set(found) == OURS
