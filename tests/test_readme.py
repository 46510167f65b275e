"""The README's code is typed in and run, and its tables are held against the code."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

import firstock_ws
from firstock_ws import FirstockError, FirstockWS
from firstock_ws.callbacks import CALLBACK_NAMES
from firstock_ws.simulator import Simulator
from tests.support import DEADLINE, KEY, wait_until

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_program(sim: Simulator, capfd: pytest.CaptureFixture[str]) -> None:
    program = BLOCKS[0].replace('jkey="…"', f'jkey="{KEY}", url="{sim.url}"')
    assert KEY in program
    names: dict[str, FirstockWS] = {}
    thread = threading.Thread(target=exec, args=(compile(program, "README.md", "exec"), names))
    thread.start()
    assert sim.wait_for(lambda sim: sim.subscriptions() == {"NSE:26000", "BSE:1"})
    number = sim.place_order("NSE:2885", quantity=50)
    client = names["client"]
    wait_until(lambda: client.stats.position_updates >= 2)
    client.close()
    thread.join(DEADLINE)
    printed = capfd.readouterr().out
    assert f"NSE:26000 {sim.truth('NSE:26000')['i_last_traded_price'] / 100}" in printed
    assert f"{number} COMPLETE" in printed
    assert f"{sim.positions()[0]['tsym']} 50" in printed


def test_the_login_program_compiles() -> None:
    assert "login(" in BLOCKS[2]
    compile(BLOCKS[1] + BLOCKS[2], "README.md", "exec")


def test_every_callback_is_in_the_table() -> None:
    table = README.split("## Callbacks")[1].split("##")[0]
    assert re.findall(r"^\| `(on_\w+)\(.*?\)` \|", table, re.MULTILINE) == list(CALLBACK_NAMES)


def test_every_error_is_named() -> None:
    errors = {
        name
        for name, thing in vars(firstock_ws).items()
        if isinstance(thing, type) and issubclass(thing, FirstockError)
    }
    assert {name for name in errors if f"`{name}`" in README} == errors
