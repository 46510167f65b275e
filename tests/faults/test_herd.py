"""A thousand clients that lose their server at once, on a simulated clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from firstock_ws.backoff import Backoff
from tests.faults.conftest import Fault

CLIENTS = 1_000
OUTAGE = 60.0
FIXED = 5.0
SLICE = 0.1


def peak_after_recovery(next_delays: list[Callable[[], float]]) -> int:
    """Let every client try till the server is back; return the most attempts in a slice of time from then on.

    The clock is arithmetic: a try fails at once while the server is away, and succeeds from then on.
    """
    attempts: Counter[int] = Counter()
    for next_delay in next_delays:
        now = 0.0
        while now < OUTAGE:
            now += next_delay()
        attempts[int((now - OUTAGE) / SLICE)] += 1
    assert attempts.total() == CLIENTS
    return max(attempts.values())


def seeded(seed: int) -> Callable[[], float]:
    backoff = Backoff(60.0)
    backoff._random = random.Random(seed)
    return backoff.next_delay


@pytest.mark.faults("herd")
def test_a_thousand_clients_do_not_come_back_as_one(fault: Fault) -> None:
    peaks = [
        peak_after_recovery([seeded(CLIENTS * turn + number) for number in range(CLIENTS)]) for turn in range(5)
    ]
    fixed = peak_after_recovery([lambda: FIXED] * CLIENTS)
    assert fixed == CLIENTS
    assert max(peaks) * 20 <= fixed
    fault.measured("peak {} attempts per 100 ms", max(peaks))
    fault.measured("{} with a fixed delay of 5 s", fixed)


@pytest.mark.faults("herd")
def test_no_client_waits_longer_than_its_limit(fault: Fault) -> None:
    longest = 0.0
    for number in range(CLIENTS):
        next_delay = seeded(number)
        now = 0.0
        while now < OUTAGE:
            delay = next_delay()
            assert 0 <= delay <= 60.0
            now += delay
        longest = max(longest, now - OUTAGE)
    assert longest <= 60.0
    fault.measured("the last is back after {} s", longest)
