"""Tables of quotes: what the cells say, and how that is drawn in a terminal, as plain text, in HTML, and live.

`firstock_ws.tables.terminal` needs rich, the extra ``notebook`` or ``cli``; the others need nothing.
"""

from firstock_ws.tables.cells import DEFAULT_FIELDS, check_fields

__all__ = ["DEFAULT_FIELDS", "check_fields"]
