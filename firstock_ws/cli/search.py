"""``search``: what instruments are called."""

from __future__ import annotations

import json
import os
import sys

from firstock_ws.access import saved_access
from firstock_ws.cli.live import bad_input
from firstock_ws.protocol import API_URL
from firstock_ws.showable import showable
from firstock_ws.symbols import Symbol, SymbolMaster

OK, NOTHING = 0, 1


def run_search(query: str, *, exchange: str | None, limit: int, as_json: bool) -> int:
    """Print the symbols that fit `query`, best first; return the exit code, 1 if there are none.

    Args:
        exchange: of which exchange; None for NSE.
        limit: how many at most.
        as_json: whether each is to be a line of JSON.
    """
    with bad_input():
        found = SymbolMaster(_rest_url()).search(query, (exchange or "NSE").upper(), limit)
    if not found:
        print(f"firstock-ws: no symbol fits {query!r}; --exchange names another file", file=sys.stderr)
        return NOTHING
    if as_json:
        for symbol in found:
            print(json.dumps(symbol.to_dict(), default=str))
        return OK
    width = max(len(symbol.name) for symbol in found)
    number = max(len(symbol.instrument) for symbol in found)
    for symbol in found:
        print(f"{showable(symbol.name):{width}}  {showable(symbol.instrument):{number}}  {_about(symbol)}")
    return OK


def _about(symbol: Symbol) -> str:
    parts = [symbol.company_name, f"lot {symbol.lot_size}", f"tick {symbol.tick_size}"]
    if symbol.expiry is not None:
        parts.append(f"expires {symbol.expiry:%d %b %Y}")
    return showable("  ".join(part for part in parts if part))


def _rest_url() -> str:
    """Return where symbol files come from: no login is needed for them."""
    access = saved_access()
    return os.environ.get("FIRSTOCK_REST_URL", "").strip() or (access.rest_url if access else None) or API_URL
