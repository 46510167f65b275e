"""What all tests share."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # The floor under the coverage is for the whole suite: a single file or marker can't reach it.
    selected = config.option.keyword or config.option.markexpr or config.invocation_params.args
    if selected and hasattr(config.option, "cov_fail_under"):
        config.option.cov_fail_under = 0


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """After every test, no thread of ours is alive: what ``close()`` promises, held against all tests."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("firstock-ws")]
    assert left == []
