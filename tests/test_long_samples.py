"""The samples that log in by themselves, or are tests: each run as its user would run it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from firstock_ws.simulator import Simulator
from tests.test_samples import KEY, PATIENCE, SAMPLES, USER_ID, Sample, environment, needs_sigint

SECRETS = {
    "FIRSTOCK_PASSWORD": "a-password-to-hide",
    "FIRSTOCK_TOTP_SECRET": "JBSWY3DPEHPK3PXP",
    "FIRSTOCK_API_KEY": "an-api-key-to-hide",
}


@pytest.fixture
def sim() -> Iterator[Simulator]:
    passwords = {USER_ID: SECRETS["FIRSTOCK_PASSWORD"]}
    with Simulator(users={USER_ID: KEY}, passwords=passwords, seed=11, rate=0, order_interval=None) as simulator:
        yield simulator


@pytest.fixture
def weeks(sim: Simulator, tmp_path: Path) -> Iterator[Sample]:
    settings = {
        **SECRETS,
        "FIRSTOCK_URL": sim.url,
        "FIRSTOCK_REST_URL": sim.rest_url,
        "FIRSTOCK_USER_ID": USER_ID,
        "FIRSTOCK_VENDOR_CODE": "vendor",
        "FIRSTOCK_SESSION_FILE": str(tmp_path / "session.json"),
    }
    sample = Sample(tmp_path, "run_for_weeks.py", **settings)
    yield sample
    sample.dispose()


def logins(sim: Simulator) -> int:
    return sim.rest_requests.count("login")


def is_up(sim: Simulator, handshakes: int) -> bool:
    """Whether the client stands after exactly so many tries."""
    return sim.handshakes == handshakes and sim.subscriptions() == {"NSE:26000"}


@needs_sigint
def test_run_for_weeks_logs_in_only_when_the_key_is_dead(sim: Simulator, weeks: Sample, tmp_path: Path) -> None:
    assert sim.wait_for(lambda sim: is_up(sim, 1), PATIENCE)
    assert logins(sim) == 1
    first = sim.jkey
    assert stat.S_IMODE((tmp_path / "session.json").stat().st_mode) == 0o600 or os.name != "posix"

    sim.reset()
    assert sim.wait_for(lambda sim: is_up(sim, 2), PATIENCE)
    assert logins(sim) == 1

    sim.expire_key()
    assert sim.wait_for(lambda sim: is_up(sim, 3), PATIENCE)
    assert logins(sim) == 2
    assert sim.jkey != first

    weeks.interrupt()
    code, log = weeks.end()
    assert code == 0
    assert log.count("logged in as AB1234") == 2
    assert log.count("run_for_weeks: connected") == 3
    assert "ALARM: gave up" not in log
    assert "ALARM: a callback" not in log
    for secret in (first, sim.jkey, *SECRETS.values()):
        assert secret not in log
    assert sim.close_codes[-1] == 1000


def test_run_for_weeks_ends_when_the_login_is_refused(sim: Simulator, weeks: Sample) -> None:
    assert sim.wait_for(lambda sim: is_up(sim, 1), PATIENCE)
    body = '{"status":"failed","code":"401","name":"INVALID_CREDENTIALS","error":{"field":"TOTP","message":"no"}}'
    sim.refuse_rest(401, {"Content-Type": "application/json"}, body)
    sim.expire_key()
    code, log = weeks.end()
    assert code == 1
    assert "ALARM: gave up: login failed: no" in log
    assert logins(sim) == 2


def test_run_for_weeks_names_what_is_missing(tmp_path: Path) -> None:
    sample = Sample(tmp_path, "run_for_weeks.py", FIRSTOCK_USER_ID=USER_ID)
    code, errors = sample.end()
    sample.dispose()
    assert code == 2
    assert errors.startswith("Set FIRSTOCK_PASSWORD, FIRSTOCK_TOTP_SECRET, ")


def test_the_tests_of_a_strategy_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_strategy.py"],
        cwd=SAMPLES,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count = (SAMPLES / "test_strategy.py").read_text(encoding="utf-8").count("\ndef test_")
    assert f"{count} passed" in done.stdout
