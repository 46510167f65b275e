"""The README's code is typed in and run, and its tables are held against the code."""

from __future__ import annotations

import re
import shlex
import threading
from pathlib import Path
from typing import Any

import pytest

import firstock_ws
from firstock_ws import FirstockError, FirstockWS, Session, cli
from firstock_ws.callbacks import CALLBACK_NAMES
from firstock_ws.cli.credentials import six_digits
from firstock_ws.simulator import Simulator
from tests.support import DEADLINE, KEY, wait_until

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def block(part: str) -> str:
    """Return the one block of Python that has `part` in it."""
    (found,) = (text for text in BLOCKS if part in text)
    return str(found)


def test_the_first_program(sim: Simulator, capfd: pytest.CaptureFixture[str]) -> None:
    program = block("client.run_forever()").replace('jkey="…"', f'jkey="{KEY}", url="{sim.url}"')
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
    assert " login(" in block("fresh_key")
    compile(block("import logging") + block("fresh_key"), "README.md", "exec")


def test_the_login_program_takes_a_secret_of_16_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    program = block("fresh_key").partition("\n\nclient =")[0]
    given: list[str] = []

    def login(user_id: str, password: str, totp: str, vendor_code: str, api_key: str) -> Session:
        given.append(totp)
        return Session("AB1234", KEY)

    for name in ("PASSWORD", "VENDOR_CODE", "API_KEY"):
        monkeypatch.setenv(f"FIRSTOCK_{name}", "any-word-at-all")
    monkeypatch.setenv("FIRSTOCK_TOTP_SECRET", "JBSWY3DPEHPK3PXP")
    monkeypatch.setattr(firstock_ws, "login", login)
    names: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), names)
    # The digits may change in between.
    before = six_digits("JBSWY3DPEHPK3PXP")
    assert names["fresh_key"]() == KEY
    assert given[0] in (before, six_digits("JBSWY3DPEHPK3PXP"))


@pytest.mark.slow
def test_the_first_ten_minutes(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas")
    (commands,) = (text for text in CONSOLE if "firstock-ws login" in text)
    lines = [shlex.split(line.partition("|")[0])[1:] for line in commands.splitlines()]
    assert [words[0] for words in lines] == ["login", "search", "stream", "stream", "record", "replay", "doctor"]
    for name in ("PASSWORD", "VENDOR_CODE", "API_KEY"):
        monkeypatch.setenv(f"FIRSTOCK_{name}", "any-word-at-all")
    monkeypatch.setenv("FIRSTOCK_TOTP", "123456")
    monkeypatch.chdir(home)
    with Simulator(rate=50.0, order_interval=0.5) as sim:
        addresses = {"ws://127.0.0.1:9100/ws": sim.url, "http://127.0.0.1:9101/V1": sim.rest_url}
        for words in lines:
            words = ["3" if word == "60" and words[0] == "record" else addresses.get(word, word) for word in words]
            assert cli.main([*words, *(["--seconds", "1"] if words[0] == "stream" else [])]) == 0, words
        program = block("from_login(")
        exec(compile(program, "README.md", "exec"), {"__name__": "strategy"})
    printed = capfd.readouterr().out
    assert "Bar('RELIANCE-EQ'" in printed
    assert "last_price" in printed


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
