"""Checks and splits what users write for instruments: ``"NSE:26000"``, ``"NSE:26000|BSE:1"``, or several."""

from __future__ import annotations

import re
from collections.abc import Iterable

Tokens = str | Iterable[str]
"""One ``"EXCHANGE:TOKEN"``, several joined with ``|``, or an iterable of either."""

_INSTRUMENT = re.compile(r"[A-Z][A-Z0-9_]{0,15}:[0-9]{1,20}")
_FORM = 'give "EXCHANGE:TOKEN" with the exchange in capitals and the token in digits, for example "NSE:26000"'


def parse_tokens(tokens: Tokens) -> list[str]:
    """Return the instruments named by `tokens`, each once, in the order given.

    Raises:
        ValueError: something in `tokens` is no instrument; the text names it and shows the right form.
    """
    if isinstance(tokens, str):
        words: Iterable[object] = [tokens]
    elif isinstance(tokens, (bytes, bytearray)) or not isinstance(tokens, Iterable):
        raise ValueError(f"{tokens!r} is no instrument and no list of them: {_FORM}")
    else:
        words = tokens
    found: dict[str, None] = {}
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"{word!r} is no instrument: {_FORM}")
        for part in word.split("|"):
            instrument = part.strip()
            if not _INSTRUMENT.fullmatch(instrument):
                raise ValueError(f"{instrument!r} is no instrument: {_FORM}")
            found[instrument] = None
    return list(found)
