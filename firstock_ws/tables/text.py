"""A table of quotes as plain text, for what can show nothing else, and quickly made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from firstock_ws.models import Quote
from firstock_ws.tables.cells import cell_of, heading, name_of


def quotes_text(quotes: Iterable[Quote], fields: Sequence[str], *, now: datetime, caption: str) -> str:
    """Return a table of `quotes`, a row each, in their order.

    Args:
        fields: the columns after the name, as `check_fields` returned them.
        now: an aware time, against which ages are measured.
        caption: what stands below.
    """
    rows = [["instrument", *map(heading, fields)]]
    for quote in quotes:
        cells = (cell_of(quote, name, now).text.replace("\n", ", ") for name in fields)
        rows.append([name_of(quote), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([*lines, "", caption])
