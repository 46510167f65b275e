"""``stream``: quotes, orders and positions as they come."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from firstock_ws.access import live_access
from firstock_ws.cli.board import Board
from firstock_ws.cli.events import Collector
from firstock_ws.cli.live import bad_input, closing, connect, is_closed, make_client, show
from firstock_ws.cli.output import choose_output
from firstock_ws.tables.cells import check_fields


def run_stream(
    instruments: Sequence[str],
    *,
    greeks: bool = False,
    fields: Sequence[str] | None = None,
    seconds: float | None = None,
    as_json: bool = False,
) -> int:
    """Stream until Ctrl-C or for `seconds`; return the exit code.

    Args:
        fields: what to show of a quote; None for the usual.
        as_json: whether each event is to be a line of JSON.
    """
    with bad_input():
        chosen = None if fields is None else check_fields(fields)
    access = live_access()
    board = Board(f"{access.session.user_id} at {access.server}", instruments)
    # The log and the table would write over each other.
    logs = logging.getLogger("firstock_ws").isEnabledFor(logging.DEBUG)
    output = choose_output(board, as_json=as_json, fields=chosen, lines_wanted=logs)
    collector = Collector(newest_only=output.newest_only)
    client = make_client(access, instruments, greeks=greeks, collector=collector)
    with closing(client, collector):
        connect(client, access)
        show(collector, output, seconds=seconds, over=lambda: is_closed(client))
    return 0
