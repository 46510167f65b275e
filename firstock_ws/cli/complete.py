"""Completes instruments in the shell, from symbol files that are on this computer already."""

from __future__ import annotations

import os
from collections.abc import Iterator

_MOST = 50
_FILES = {"NSE": ("NSE", "Indices"), "BSE": ("BSE", "Indices"), "NFO": ("NFO",), "BFO": ("BFO",)}


def complete_instrument(incomplete: str) -> list[str]:
    """Return what `incomplete` may become; nothing where no file is kept. Never asks the network."""
    if os.environ.get("_FIRSTOCK_WS_COMPLETE", "").endswith("_bash"):
        # bash takes the colon for the end of a word: what it would make of a name is wrong.
        return []
    exchange, colon, start = incomplete.upper().partition(":")
    if not colon:
        return [f"{name}:" for name in _FILES if name.startswith(exchange)]
    found: list[str] = []
    for name in _FILES.get(exchange, ()):
        for symbol in _symbols(name, exchange):
            if symbol.upper().startswith(start):
                found.append(f"{exchange}:{symbol}")
                if len(found) >= _MOST:
                    return found
    return found


def _symbols(file: str, exchange: str) -> Iterator[str]:
    from firstock_ws.access import saved_access
    from firstock_ws.errors import UsageError
    from firstock_ws.protocol import API_URL
    from firstock_ws.symbols.store import Store, default_folder

    try:
        access = saved_access()
    except (UsageError, OSError):
        access = None
    rest_url = (access.rest_url if access is not None else None) or API_URL
    kept = Store(default_folder(), rest_url).read(file)
    lines = kept.data.decode("utf-8-sig", errors="replace").splitlines() if kept is not None else []
    if not lines:
        return
    names = [name.strip().lower() for name in lines[0].split(",")]
    if "exchange" not in names or "tradingsymbol" not in names:
        return
    # Split simply: both stand before the one column that may hold a comma.
    at_exchange, at_symbol = names.index("exchange"), names.index("tradingsymbol")
    for line in lines[1:]:
        cells = line.split(",", max(at_exchange, at_symbol) + 1)
        if len(cells) > max(at_exchange, at_symbol) and cells[at_exchange] == exchange:
            yield cells[at_symbol].strip()
