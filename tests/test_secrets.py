"""The filter that keeps secrets out of log records."""

from __future__ import annotations

import html
import io
import json
import logging
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from firstock_ws import _secrets
from firstock_ws._secrets import MAX_REMEMBERED, Redactor, Secret, get_logger

KEY = "k/ey+with=\"odd\" 'signs'"


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.remember(KEY)
    return redactor


@pytest.mark.parametrize("spell", [str, quote, lambda key: quote(key, safe=""), json.dumps, repr, ascii])
def test_every_spelling_is_hidden(redactor: Redactor, spell: object) -> None:
    text = f"GET /ws?jKey={spell(KEY)}&x=1"  # type: ignore[operator]
    clean = redactor.redact(text)
    assert "ey" not in clean.replace("jKey", "")
    assert clean.endswith("&x=1")


def test_what_anybody_could_write_is_no_secret(redactor: Redactor) -> None:
    redactor.remember("x")
    assert redactor.redact("six digits") == "six digits"


def test_old_secrets_make_room(redactor: Redactor) -> None:
    for number in range(MAX_REMEMBERED):
        redactor.remember(f"another-{number}")
    assert redactor.redact(KEY) == KEY
    assert redactor.redact("another-5") == "***"


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(KEY)
    assert KEY not in f"{secret!r} {secret} {[secret]}"
    assert secret.reveal() == KEY


@pytest.mark.parametrize("name", ["firstock_ws.anything", "websocket"])
def test_records_of_ours_and_of_websocket_client_are_clean(name: str) -> None:
    _secrets.REDACTOR.remember(KEY)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = get_logger(name) if name.startswith("firstock") else logging.getLogger(name)
    logger.addHandler(handler)
    try:
        logger.error("dialling %s", f"wss://h/ws?jKey={quote(KEY)}")
        try:
            raise ValueError(KEY)
        except ValueError:
            logger.exception("it failed")
        logger.error("the end of %s", "it")
    finally:
        logger.removeHandler(handler)
    text = stream.getvalue()
    assert "with" not in text
    assert "***" in text
    assert "Traceback" in text
    assert "the end of it" in text


def test_loggers_carry_the_filter_once() -> None:
    logger = get_logger("firstock_ws.once")
    assert get_logger("firstock_ws.once") is logger
    assert logger.filters.count(_secrets.REDACTOR) == 1


@pytest.mark.parametrize("cut", [12, 20, 63])
def test_what_is_left_of_a_key_that_was_cut_short_is_hidden(cut: int) -> None:
    redactor = Redactor()
    key = "6f1d8c0b" * 8
    redactor.remember(key)
    assert redactor.redact(f"bad {key[:cut]}") == "bad ***"
    assert redactor.redact(f"{key[:cut]}/{key}/{key[:cut]} end") == "***/***/*** end"
    assert redactor.redact(key[:11]) == key[:11], "as short as a word"


@pytest.mark.parametrize(
    "key",
    [
        "k3yOfTheBrokerAbc/restOfTheKeyInTheClear0123456789==",
        "correct-horse-battery&staple2026!",
        # Whose first letters are the same in any case: which spelling comes first is up to the hash seed.
        "482915073364afbe01d2c3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e",
        "a1b2c3d4e5f6G7H8iJkLmNoPqRsT",
    ],
)
@pytest.mark.parametrize("first", [str, str.upper, str.lower, lambda key: quote(key, safe="")])
def test_a_spelling_that_begins_like_another_is_hidden_to_its_end(key: str, first: Callable[[str], str]) -> None:
    redactor = Redactor()
    redactor.remember(key)
    # As the hash seed may order them.
    redactor._known = tuple(sorted(redactor._known, key=lambda spelling: (-len(spelling), spelling != first(key))))
    assert redactor.redact(f"<{key}> <{key.upper()}> <{quote(key, safe='')}>") == "<***> <***> <***>"
    assert redactor.redact(f"cut: {key[:-3]}") == "cut: ***"
    assert redactor.redact(f"cut: {quote(key, safe='')[:-3]}") == "cut: ***"


def lower_percents(key: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), quote(key, safe=""))


@pytest.mark.parametrize("spell", [html.escape, lower_percents])
def test_spellings_of_web_pages_and_gateways(redactor: Redactor, spell: object) -> None:
    assert "odd" not in redactor.redact(spell(KEY))  # type: ignore[operator]


@pytest.mark.parametrize(
    "name", ["urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry", "websocket"]
)
def test_loggers_of_the_libraries_are_clean(name: str, caplog: pytest.LogCaptureFixture) -> None:
    _secrets.REDACTOR.remember(KEY)
    logging.getLogger(name).warning("Failed to parse headers, unparsed data: %r", KEY)
    assert "odd" not in caplog.text
