"""Tables of quotes for the terminal. Needs rich (extra ``notebook`` or ``cli``): import it only when used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from firstock_ws.errors import FirstockError
from firstock_ws.models import IST, Quote
from firstock_ws.tables.cells import DEFAULT_FIELDS, Tone, cell_of, check_fields, heading, name_of

try:
    from rich import box
    from rich.table import Table
    from rich.text import Text
except ImportError as error:
    raise FirstockError('tables in a terminal need rich: pip install "firstock-ws[notebook]"') from error

__all__ = ["DEFAULT_FIELDS", "check_fields", "quotes_table"]

_STYLES = {Tone.PLAIN: "", Tone.STRONG: "bold", Tone.UP: "green", Tone.DOWN: "red", Tone.OLD: "dim"}


def quotes_table(
    quotes: Iterable[Quote],
    fields: Sequence[str] = DEFAULT_FIELDS,
    *,
    now: datetime | None = None,
    title: str | None = None,
) -> Table:
    """Return a rich table of `quotes`, a row each, in their order.

    Args:
        fields: the columns after the name: any of a quote's values, or ``"age"``, the time since its feed time.
        now: an aware time, against which ages are measured; None for this moment.
        title: what stands above.

    Raises:
        ValueError: no such field; the text says which come near.
    """
    names = check_fields(fields)
    moment = datetime.now(IST) if now is None else now
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left")
    table.add_column("instrument", no_wrap=True)
    for name in names:
        table.add_column(heading(name), justify="right", no_wrap=True)
    for quote in quotes:
        cells = (cell_of(quote, name, moment) for name in names)
        # Text, not str: what the broker calls an instrument is no markup.
        table.add_row(Text(name_of(quote)), *(Text(cell.text, style=_STYLES[cell.tone]) for cell in cells))
    return table
