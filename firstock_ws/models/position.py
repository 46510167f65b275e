"""`PositionUpdate`: what the account holds in one instrument after a trade."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from firstock_ws.models import _fields
from firstock_ws.models._reader import FieldReader, as_on_the_stream, names_in_book, plain_dict

_STREAM_NAMES = {
    "exchange": "exch",
    "token": "token",
    "tradingSymbol": "tsym",
    "product": "pcode",
    "netQuantity": "netqty",
    "dayBuyQuantity": "daybuyqty",
    "dayBuyAmount": "daybuyamt",
    "dayBuyAveragePrice": "daybuyavgprc",
    "daySellQuantity": "daysellqty",
    "daySellAmount": "daysellamt",
    "daySellAveragePrice": "daysellavgprc",
    "RealizedPNL": "rpnl",
    "uploadPrice": "upload_prc",
    "lotSize": "ls",
    "tickSize": "ti",
    "userId": "uid",
}


@dataclass(frozen=True, slots=True)
class PositionUpdate:
    """One update of one position. Page: the broker's "Position update feed".

    Amounts and prices are in rupees; an average price is None while nothing was bought or sold. A field that
    was missing or could not be parsed is None.
    """

    instrument: str | None
    """``"EXCHANGE:TOKEN"`` of the exchange leg, which the frame's own exchange and token often do not name."""
    exchange: str | None
    token: str | None
    trading_symbol: str | None
    product: str | None
    """``C`` delivery, ``I`` intraday, ``M`` margin."""
    instrument_name: str | None
    broker_name: str | None
    net_quantity: int | None
    """Above 0 long, below 0 short, 0 flat."""
    buy_average_price: float | None
    sell_average_price: float | None
    day_buy_quantity: int | None
    day_buy_amount: float | None
    day_buy_average_price: float | None
    day_sell_quantity: int | None
    day_sell_amount: float | None
    day_sell_average_price: float | None
    total_buy_amount: float | None
    total_sell_amount: float | None
    total_buy_average_price: float | None
    total_sell_average_price: float | None
    open_buy_quantity: int | None
    """Quantity of orders to buy that still wait."""
    open_sell_quantity: int | None
    """Quantity of orders to sell that still wait."""
    open_buy_amount: float | None
    open_sell_amount: float | None
    realised_profit: float | None
    """Profit of what was closed today, rupees; below 0 a loss."""
    upload_price: float | None
    lot_size: int | None
    tick_size: float | None
    """Smallest step of the price, rupees."""
    multiplier: int | None
    price_factor: float | None
    user_id: str | None
    account_id: str | None
    legs: tuple[PositionUpdate, ...]
    """The same position per exchange (``child_orders``); empty where none were sent."""
    raw: dict[str, Any] = field(repr=False, compare=False)
    """The object as it came: a frame of the stream, or an entry of the book."""
    source: str = _fields.STREAM
    """``"stream"``, or ``"book"`` for what the stream had not told when the position book was read."""

    def to_dict(self) -> dict[str, Any]:
        """Return all values by name, `legs` as dicts, without `raw`."""
        return plain_dict(self)


def _legs(raw: dict[str, Any], bad: list[str]) -> tuple[PositionUpdate, ...]:
    children = raw.get("child_orders")
    if children is None or children == "":
        return ()
    if not isinstance(children, list) or not all(isinstance(child, dict) for child in children):
        bad.append("child_orders")
        return ()
    legs = []
    for child in children:
        # Legs of legs have never been seen; reading them would let a hostile frame nest without end.
        leg, bad_in_leg = read_position({**child, "child_orders": None})
        legs.append(leg)
        bad.extend(f"child_orders.{name}" for name in bad_in_leg)
    return tuple(legs)


def read_position(raw: dict[str, Any]) -> tuple[PositionUpdate, list[str]]:
    """Return the position update in `raw`, and the names of the wire fields that could not be parsed."""
    wire = FieldReader(raw)
    legs = _legs(raw, wire.bad)
    exchange, token = wire.read("exch", _fields.text), wire.read("token", _fields.text)
    if legs and legs[0].exchange and legs[0].token:
        exchange, token = legs[0].exchange, legs[0].token
    update = PositionUpdate(
        instrument=f"{exchange}:{token}" if exchange and token else None,
        exchange=exchange,
        token=token,
        trading_symbol=wire.read("tsym", _fields.text),
        product=wire.read("pcode", _fields.text),
        instrument_name=wire.read("instname", _fields.text),
        broker_name=wire.read("brkname", _fields.text),
        net_quantity=wire.read("netqty", _fields.whole_number),
        buy_average_price=wire.read("buyavgprc", _fields.rupees),
        sell_average_price=wire.read("sellavgprc", _fields.rupees),
        day_buy_quantity=wire.read("daybuyqty", _fields.whole_number),
        day_buy_amount=wire.read("daybuyamt", _fields.decimal_number),
        day_buy_average_price=wire.read("daybuyavgprc", _fields.rupees),
        day_sell_quantity=wire.read("daysellqty", _fields.whole_number),
        day_sell_amount=wire.read("daysellamt", _fields.decimal_number),
        day_sell_average_price=wire.read("daysellavgprc", _fields.rupees),
        total_buy_amount=wire.read("totbuyamt", _fields.decimal_number),
        total_sell_amount=wire.read("totsellamt", _fields.decimal_number),
        total_buy_average_price=wire.read("totbuyavgprc", _fields.rupees),
        total_sell_average_price=wire.read("totsellavgprc", _fields.rupees),
        open_buy_quantity=wire.read("openbuyqty", _fields.whole_number),
        open_sell_quantity=wire.read("opensellqty", _fields.whole_number),
        open_buy_amount=wire.read("openbuyamt", _fields.decimal_number),
        open_sell_amount=wire.read("opensellamt", _fields.decimal_number),
        realised_profit=wire.read("rpnl", _fields.decimal_number),
        upload_price=wire.read("upload_prc", _fields.rupees),
        lot_size=wire.read("ls", _fields.whole_number),
        tick_size=wire.read("ti", _fields.rupees),
        multiplier=wire.read("mult", _fields.whole_number),
        price_factor=wire.read("prcftr", _fields.decimal_number),
        user_id=wire.read("uid", _fields.text),
        account_id=wire.read("actid", _fields.text),
        legs=legs,
        raw=raw,
    )
    return update, wire.bad


def read_book_position(raw: dict[str, Any]) -> tuple[PositionUpdate, list[str]]:
    """Return the position in an entry of the position book; else like `read_position`.

    Page: the broker's "Position book". What only the stream has, such as quantities of waiting orders, is None.
    """
    update, bad = read_position(as_on_the_stream(raw, _STREAM_NAMES))
    return replace(update, raw=raw, source=_fields.BOOK), names_in_book(bad, _STREAM_NAMES)
