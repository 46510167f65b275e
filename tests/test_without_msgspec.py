"""The client without msgspec, or with one that can't be used; and what importing it does not bring."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import types

import pytest

from firstock_ws import FirstockWS
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import Watched, connect


@pytest.mark.skipif(os.environ.get("FIRSTOCK_WS_FAST_PATH") == "0", reason="msgspec is not looked for")
@pytest.mark.parametrize("broken", [False, True], ids=["missing", "too old"])
def test_quotes_come_all_the_same(
    sim: Simulator,
    make_client: ClientMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: bool,
) -> None:
    caplog.set_level(logging.DEBUG, "firstock_ws.feed")
    monkeypatch.delitem(sys.modules, "firstock_ws.feed.typed", raising=False)
    if broken:
        old = types.ModuleType("msgspec")
        old.__getattr__ = lambda name: None  # type: ignore[method-assign]
        monkeypatch.setitem(sys.modules, "msgspec.structs", old)
        monkeypatch.setitem(sys.modules, "msgspec", old)
    else:
        monkeypatch.setitem(sys.modules, "msgspec", None)
    client: FirstockWS = make_client(tokens=["NSE:2885", "NSE:26000"])
    watched = Watched(client)
    connect(client, sim)
    sim.tick(count=5)
    watched.wait("on_quote", 4)
    assert client.quotes["NSE:2885"].bids
    assert watched.of("on_error") == []
    assert ("can't be used" if broken else "not installed") in caplog.text


def test_importing_it_brings_nothing_that_is_not_needed_yet() -> None:
    program = """
        import sys
        import firstock_ws

        extras = {"requests", "urllib3", "msgspec", "websockets", "rich", "argparse"}
        ours = {"firstock_ws.simulator", "firstock_ws.cli", "firstock_ws.rest.posting"}
        print(sorted((extras | ours) & set(sys.modules)))
    """
    lines = "\n".join(line.strip() for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
