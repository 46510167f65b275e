"""The live table: how a `Board` is laid out on a terminal of any size."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from firstock_ws.cli.board import Board
from firstock_ws.models import IST, OptionGreeks, OrderUpdate, PositionUpdate, Quote
from firstock_ws.showable import showable
from firstock_ws.tables import DEFAULT_FIELDS
from firstock_ws.tables.terminal import quotes_table

_FRAME = 4
"""Lines that the table of quotes takes beside its rows."""
_PART_FRAME = 3
"""The same of a table below it: title, head, a blank line."""
_FEWEST = 3
"""Quotes that are shown before any of the tables below is."""
_EVENTS = 4
"""Latest events that are shown where there is room."""
_FIRST_TO_GO = ("volume", "change_percent", "best_ask", "best_bid", "age", "change")
"""What a narrow terminal does without, in this order."""
_ENDED = {"gave up": "gave up", "connecting": "ended before it was connected"}
_STATES = {"connected": "green", "reconnecting": "yellow", "connecting": "yellow", "gave up": "red"}


def picture(
    board: Board,
    console: Console,
    fields: Sequence[str] | None = None,
    *,
    ended: bool = False,
) -> Group:
    """Return the whole view, no higher and no wider than the terminal.

    Args:
        fields: columns of the quotes; None for the usual ones, fewer on a narrow terminal.
        ended: whether this is what is left behind at the end.
    """
    now = board.clock()
    height = console.height
    head: list[RenderableType] = [_text(board.title, style="bold", no_wrap=True)]
    foot = [*_events(board, _EVENTS if height >= 24 else 1 if height >= 12 else 0), _status(board, ended)]
    room = height - len(head) - len(foot)
    quotes = board.in_order()
    others = [part for part in (_greeks(board), _orders(board), _positions(board)) if part.rows]
    # Quotes come first; the tables below share what they leave, and get half of a terminal that is full.
    heights = [_height(quote, fields or ()) for quote in quotes]
    least = _FRAME + sum(heights[:_FEWEST]) + 1
    wanted = sum(len(part.rows) + _PART_FRAME for part in others)
    capacity = room - min(wanted, room // 2, max(0, room - least)) - _FRAME
    rows = len(quotes) if sum(heights) <= capacity else _how_many(heights, capacity - 1)
    body: list[RenderableType] = []
    if rows:
        body.append(_quotes(quotes[:rows], fields, console, now))
        room -= sum(heights[:rows]) + _FRAME
    if rows < len(quotes) and room > 0:
        text = f"and {len(quotes) - rows} more: make the terminal higher"
        body.append(Text(text, style="dim", no_wrap=True, overflow="ellipsis"))
        room -= 1
    waiting = board.waiting()
    if waiting and room > 0:
        text = f"no quote yet: {', '.join(waiting)}"
        body.append(_text(text, style="dim", no_wrap=True))
        room -= 1
    others = others[: max(0, room // (_PART_FRAME + 1))]
    for place, part in enumerate(others):
        shown = part.newest(room // (len(others) - place) - _PART_FRAME)
        body += [shown, Text()]
        room -= shown.row_count + _PART_FRAME
    return Group(*head, *body, *foot)


def _height(quote: Quote, fields: Sequence[str]) -> int:
    """Return the lines that the row of `quote` takes: the book is shown a level a line."""
    return max([1, *(len(getattr(quote, name)) for name in fields if name in ("bids", "asks"))])


def _how_many(heights: Sequence[int], lines: int) -> int:
    """Return how many rows of these heights have room in so many lines."""
    return sum(total <= lines for total in accumulate(heights))


def _quotes(quotes: Sequence[Quote], fields: Sequence[str] | None, console: Console, now: datetime) -> Table:
    if fields is not None:
        return quotes_table(quotes, fields, now=now)
    shown = [*DEFAULT_FIELDS]
    table = quotes_table(quotes, shown, now=now)
    for name in _FIRST_TO_GO:
        if _fits(table, console):
            break
        shown = [field for field in shown if field != name]
        table = quotes_table(quotes, shown, now=now)
    return table


def _fits(table: Table, console: Console) -> bool:
    # Asked without the limit of the terminal: within it, every table says that it fits.
    free = console.options.update(width=10_000, max_width=10_000)
    return Measurement.get(console, free, table).maximum <= console.width


class _Part(NamedTuple):
    """A table below the quotes."""

    title: str
    columns: tuple[tuple[str, bool], ...]
    """Names, and whether numbers stand in them."""
    rows: list[list[RenderableType]]

    def newest(self, count: int) -> Table:
        """Return it with its last `count` rows: the newest must be seen."""
        rows = self.rows[-count:]
        title = f"{self.title} ({len(rows)} of {len(self.rows)})" if len(rows) < len(self.rows) else self.title
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for name, is_number in self.columns:
            table.add_column(name, justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis")
        for row in rows:
            table.add_row(*row)
        return table


def _orders(board: Board) -> _Part:
    columns = (
        *(("time", False), ("instrument", False), ("side", False), ("status", False)),
        *(("filled", True), ("price", True), ("number", False)),
    )
    return _Part("Orders", columns, [_order(order) for order in board.orders.values()])


def _order(order: OrderUpdate) -> list[RenderableType]:
    style = "red" if order.status == "REJECTED" else "green" if order.status == "COMPLETE" else ""
    return [
        f"{order.order_time:%H:%M:%S}" if order.order_time else "",
        _text(order.trading_symbol or order.instrument),
        _text(order.side),
        _text(order.status, style=style),
        f"{order.filled_quantity or 0}/{order.quantity or 0}",
        _price(order.average_price or order.price),
        _text(order.order_number),
    ]


def _positions(board: Board) -> _Part:
    columns = (
        *(("instrument", False), ("product", False), ("net", True)),
        *(("bought at", True), ("sold at", True), ("realised", True)),
    )
    return _Part("Positions", columns, [_position(position) for position in board.positions.values()])


def _position(position: PositionUpdate) -> list[RenderableType]:
    realised = position.realised_profit
    style = "" if not realised else "green" if realised > 0 else "red"
    return [
        _text(position.trading_symbol or position.instrument),
        _text(position.product),
        f"{position.net_quantity or 0:,}",
        _price(position.buy_average_price or position.day_buy_average_price),
        _price(position.sell_average_price or position.day_sell_average_price),
        Text("" if realised is None else f"{realised:+,.2f}", style=style),
    ]


def _greeks(board: Board) -> _Part:
    names = ("delta", "gamma", "theta", "vega", "rho", "implied_volatility")
    columns = (("instrument", False), *(("IV" if name == names[-1] else name, True) for name in names))
    rows: list[list[RenderableType]] = [
        [_text(board.name_of(greeks.instrument)), *(_number(greeks, name) for name in names)]
        for greeks in board.greeks.values()
    ]
    return _Part("Greeks", columns, rows)


def _text(words: str | None, style: str = "", *, no_wrap: bool | None = None) -> Text:
    # Text, not str: what the broker calls something is no markup.
    return Text(showable(words or ""), style=style, no_wrap=no_wrap, overflow="ellipsis")


def _number(greeks: OptionGreeks, name: str) -> str:
    value = getattr(greeks, name)
    return "" if value is None else f"{value:.4g}"


def _price(price: float | None) -> str:
    return "" if price is None else f"{price:,.2f}"


def _events(board: Board, count: int) -> list[Text]:
    latest = list(board.happenings)[-count:] if count else []
    return [
        Text(f"{at.astimezone(IST):%H:%M:%S} {words}", style="dim", no_wrap=True, overflow="ellipsis")
        for at, words in latest
    ]


def _status(board: Board, ended: bool) -> Text:
    style = _STATES.get(board.state, "")
    text = Text(no_wrap=True, overflow="ellipsis")
    state = _ENDED.get(board.state, "ended") if ended else board.state
    text.append(f"● {state}", style=f"bold {style}")
    parts = [f"reconnects {board.reconnects}"]
    if board.last_at is not None:
        parts.append(f"last quote {board.last_at.astimezone(IST):%H:%M:%S}")
    parts.append(f"instruments {len(board.quotes)}")
    text.append("  " + "  ".join(parts if ended else [*parts, "Ctrl-C ends"]))
    return text
