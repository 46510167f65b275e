"""What all tests share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firstock_ws import FirstockWS
from firstock_ws.simulator import Simulator
from tests.support import KEY, Gate


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background job ignores Ctrl-C, and the programs that tests start and stop would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The floor under the coverage is for the whole suite: a single file or marker can't reach it.
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    coverage = config.pluginmanager.getplugin("_cov")
    if coverage is not None and (config.option.keyword or config.option.markexpr or not whole):
        coverage.options.cov_fail_under = 0


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """After every test, no thread of ours is alive: what ``close()`` promises, held against all tests."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("firstock-ws")]
    assert left == []


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbol files of a test are its own: nothing is read from, or left in, the user's cache folder."""
    monkeypatch.setenv("FIRSTOCK_WS_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A simulator that says nothing by itself but snapshots."""
    with Simulator(users={"AB1234": KEY}, rate=0, order_interval=None, seed=1) as simulator:
        yield simulator


ClientMaker = Callable[..., FirstockWS]


@pytest.fixture
def make_client(sim: Simulator) -> Iterator[ClientMaker]:
    """Makes clients of `sim`, and closes them at the end of the test."""
    made: list[FirstockWS] = []

    def make(cls: type[FirstockWS] = FirstockWS, **options: Any) -> FirstockWS:
        settings: dict[str, Any] = {"user_id": sim.user_id, "jkey": KEY, "url": sim.url, **options}
        made.append(cls(**settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A callback that blocks, until the end of the test at the latest."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for whatever a command line keeps, and no word of a session in the environment."""
    for name in list(os.environ):
        if name.startswith("FIRSTOCK_"):
            monkeypatch.delenv(name)
    folders = {"HOME": "home", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache"}
    for name, folder in folders.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path
