"""The filter that keeps secrets out of log records."""

from __future__ import annotations

import io
import json
import logging
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
