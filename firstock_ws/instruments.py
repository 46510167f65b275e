"""Checks and splits what users write for instruments: ``"NSE:26000"``, ``"NSE:RELIANCE-EQ|BSE:1"``, or several."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeGuard


class HasInstrument(Protocol):
    """What knows its own instrument and name, such as a `firstock_ws.symbols.Symbol`."""

    @property
    def instrument(self) -> str:
        """``"EXCHANGE:TOKEN"``."""

    @property
    def trading_symbol(self) -> str:
        """The broker's name for it, without the exchange."""


class Named(NamedTuple):
    """The least that is such a thing."""

    instrument: str
    trading_symbol: str


Tokens = str | HasInstrument | Iterable[str | HasInstrument]
"""One ``"EXCHANGE:TOKEN"``, ``"EXCHANGE:SYMBOL"`` or `Symbol`, several of the texts joined with ``|``, or an
iterable of any of these."""

_INSTRUMENT = re.compile(r"[A-Z][A-Z0-9_]{0,15}:[0-9]{1,20}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,15}:(?![0-9]+$)[A-Za-z0-9][A-Za-z0-9 &._-]{0,63}")
_FORM = 'give "EXCHANGE:TOKEN" with the exchange in capitals and the token in digits, for example "NSE:26000"'
_FORMS = f'{_FORM}, or the trading symbol, for example "NSE:RELIANCE-EQ"'


def parse_tokens(tokens: Tokens) -> list[str]:
    """Return the instruments named by `tokens`, each once, in the order given; trading symbols are refused.

    Raises:
        ValueError: something in `tokens` is no instrument; the text names it and shows the right form.
    """
    found: dict[str, None] = {}
    for word in _words(tokens, _FORM):
        instrument = word if isinstance(word, str) else word.instrument
        if not _INSTRUMENT.fullmatch(instrument):
            raise ValueError(f"{instrument!r} is no instrument: {_FORM}")
        found[instrument] = None
    return list(found)


def resolve_tokens(
    tokens: Tokens, find: Callable[[str], HasInstrument], known: Callable[[str], HasInstrument | None]
) -> dict[str, str | None]:
    """Return the instruments named by `tokens`, each once, in the order given, and their trading symbols.

    Args:
        find: returns what has the name ``"EXCHANGE:SYMBOL"``; called when all of `tokens` is well-formed.
        known: returns what has the instrument ``"EXCHANGE:TOKEN"``, None where that would cost anything to know.

    Raises:
        ValueError: something in `tokens` is no instrument; also what `find` raises.
    """
    words = list(_words(tokens, _FORMS))
    for word in words:
        text = word if isinstance(word, str) else word.instrument
        if not _INSTRUMENT.fullmatch(text) and not (isinstance(word, str) and _NAME.fullmatch(text)):
            raise ValueError(f"{text!r} is no instrument: {_FORMS}")
    found: dict[str, str | None] = {}
    for word in words:
        symbol: HasInstrument | None
        if isinstance(word, str):
            symbol = known(word) if _INSTRUMENT.fullmatch(word) else find(word)
            instrument = word if symbol is None else symbol.instrument
        else:
            symbol, instrument = word, word.instrument
        found[instrument] = symbol.trading_symbol if symbol is not None else found.get(instrument)
    return found


def _words(tokens: Tokens, form: str) -> Iterator[str | HasInstrument]:
    if isinstance(tokens, str) or _has_instrument(tokens):
        words: Iterable[object] = [tokens]
    elif isinstance(tokens, (bytes, bytearray)) or not isinstance(tokens, Iterable):
        raise ValueError(f"{tokens!r} is no instrument and no list of them: {form}")
    else:
        words = tokens
    for word in words:
        if isinstance(word, str):
            yield from (part.strip() for part in word.split("|"))
        elif _has_instrument(word):
            yield word
        else:
            raise ValueError(f"{word!r} is no instrument: {form}")


def _has_instrument(word: object) -> TypeGuard[HasInstrument]:
    named = getattr(word, "trading_symbol", None)
    return isinstance(getattr(word, "instrument", None), str) and isinstance(named, str)
