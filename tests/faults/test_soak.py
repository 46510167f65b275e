"""Random faults for a while; ``--soak-seconds`` says how long."""

from __future__ import annotations

import random

import pytest

from tests.faults.conftest import Fault
from tests.faults.soak import soak


@pytest.mark.faults("soak")
@pytest.mark.slow
def test_soak(fault: Fault, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> None:
    fault.log_little()
    seconds = request.config.getoption("--soak-seconds")
    seed = request.config.getoption("--soak-seed")
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    with capfd.disabled():
        # Shown at once, and whatever happens: without it a finding could not be looked into.
        print(f" soak: seed {seed} ", end="", flush=True)  # noqa: T201
    verdict = soak(seconds, seed)
    assert verdict.clean, verdict.report(seed)
    fault.measured(f"{seconds:.0f} s of it: lost, duplicated, reordered, unexplained: all 0")
    fault.measured("{} rounds of faults", verdict.rounds)
    fault.measured("{} reconnects", verdict.reconnects)
    fault.measured("{} quotes", verdict.quotes)
    fault.measured("{} order updates", verdict.orders)
    fault.measured("{} updates brought by the books", verdict.from_books)
