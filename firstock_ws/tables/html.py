"""A table of quotes as HTML, for Jupyter: readable without scripts and without its style sheet, light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from firstock_ws.models import Quote
from firstock_ws.tables.cells import Cell, Tone, cell_of, heading, name_of

# They stand in the cells, since a style sheet is lost where a notebook is shown that nobody has trusted yet. Mixed
# with the theme's own colour of text they are darker on a light ground, lighter on a dark one; the first of each
# is for browsers that can't mix, and can be read on both.
_UP = "color:#1a8f4c;color:color-mix(in srgb,currentColor 30%,#1fae5c)"
_DOWN = "color:#e0484d;color:color-mix(in srgb,currentColor 30%,#ef4444)"
_STYLES = {
    Tone.PLAIN: "",
    Tone.STRONG: ' style="font-weight:600"',
    Tone.UP: f' style="{_UP}"',
    Tone.DOWN: f' style="{_DOWN}"',
    Tone.OLD: ' style="opacity:.55"',
}
_SHEET = (
    ".firstock-ws{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.3em 0}"
    ".firstock-ws th,.firstock-ws td{text-align:right;padding:.25em .8em;white-space:nowrap;border:0;"
    "border-bottom:1px solid rgba(128,128,128,.25)}"
    ".firstock-ws thead th{font-weight:500;opacity:.65;border-bottom:1px solid rgba(128,128,128,.6)}"
    ".firstock-ws tr>:first-child{text-align:left}"
    ".firstock-ws tbody th{font-weight:500}"
    ".firstock-ws caption{caption-side:bottom;text-align:left;padding:.4em .8em;font-size:.85em;opacity:.65}"
)


def quotes_html(quotes: Iterable[Quote], fields: Sequence[str], *, now: datetime, caption: str) -> str:
    """Return a table of `quotes`, a row each, in their order.

    Args:
        fields: the columns after the name, as `check_fields` returned them.
        now: an aware time, against which ages are measured.
        caption: what stands below; plain text.
    """
    head = "".join(f'<th scope="col">{escape(heading(name))}</th>' for name in ("instrument", *fields))
    rows = "".join(
        f'<tr><th scope="row">{escape(name_of(quote))}</th>'
        + "".join(_cell(cell_of(quote, name, now)) for name in fields)
        + "</tr>"
        for quote in quotes
    )
    return (
        f'<style>{_SHEET}</style><table class="firstock-ws"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _cell(cell: Cell) -> str:
    text = escape(cell.text).replace("\n", "<br>")
    return f"<td{_STYLES[cell.tone]}>{text}</td>"
