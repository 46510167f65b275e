"""Finds symbols by parts of their names, and names that are nearly one."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from firstock_ws.symbols.symbol import Row, Symbol
from firstock_ws.symbols.table import Table

_EXACT, _BEGINS, _WORDS, _INSIDE = range(4)
_LIKE_ENOUGH = 0.6
"""Of 1, what two names must have in common to be taken for one another."""
_CANDIDATES = 200
_EQUITY = re.compile(r"-[A-Z0-9]{1,2}$")

Place = tuple[Table, str | None]
"""A table, and the exchange in it; None for all of it."""


def search(places: Iterable[Place], query: str, limit: int) -> list[Symbol]:
    """Return the symbols that fit `query`, best first: see `SymbolMaster.search`."""
    words = query.upper().split()
    wanted = " ".join(words)
    if not wanted or limit < 1:
        return []
    places = list(places)
    found = heapq.nsmallest(limit, _hits(places, wanted, words), key=lambda hit: hit[:4])
    symbols = [table.symbol(row) for *_, table, row in found]
    if len(symbols) < limit:
        seen = {symbol.instrument for symbol in symbols}
        more = (table.symbol(row) for table, row in nearest(places, wanted, limit))
        symbols += [symbol for symbol in more if symbol.instrument not in seen]
    return symbols[:limit]


def _hits(places: list[Place], wanted: str, words: list[str]) -> Iterator[tuple[int, int, int, str, Table, Row]]:
    for order, (table, exchange) in enumerate(places):
        at_name, company_of = table.columns.trading_symbol, table.columns.company
        for row in table.rows(exchange):
            name = row[at_name].upper()
            text = f"{name} {company_of(row).upper()}"
            if not all(word in text for word in words):
                continue
            if wanted in (name, _EQUITY.sub("", name)):
                rank = _EXACT
            elif name.startswith(wanted):
                rank = _BEGINS
            else:
                starts = f" {text}".replace("-", " ")
                rank = _WORDS if all(f" {word}" in starts for word in words) else _INSIDE
            yield rank, order, len(name), name, table, row


def nearest(places: Iterable[Place], wanted: str, limit: int) -> list[tuple[Table, Row]]:
    """Return the rows whose trading symbols are nearest to `wanted`, in capitals; best first."""
    pairs = {wanted[at : at + 2] for at in range(len(wanted) - 1)}

    def shared() -> Iterator[tuple[int, int, Table, Row]]:
        for table, exchange in places:
            at_name = table.columns.trading_symbol
            for row in table.rows(exchange):
                name = row[at_name].upper()
                count = sum([pair in name for pair in pairs])
                if count:
                    yield count, -len(name), table, row

    # Comparing letter by letter is slow: only what shares the most pairs of letters is worth it.
    candidates = heapq.nlargest(_CANDIDATES, shared(), key=lambda hit: hit[:2])
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    graded = []
    for place, (_, _, table, row) in enumerate(candidates):
        name = row[table.columns.trading_symbol].upper()
        matcher.set_seq1(name)
        like = matcher.ratio()
        bare = _EQUITY.sub("", name)
        if bare != name:
            matcher.set_seq1(bare)
            like = max(like, matcher.ratio())
        if like >= _LIKE_ENOUGH:
            graded.append((-like, place, table, row))
    graded.sort(key=lambda grade: grade[:2])
    return [(table, row) for *_, table, row in graded[:limit]]
