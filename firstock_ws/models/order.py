"""`OrderUpdate`: one step in the life of an order of this account."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from firstock_ws.models import _fields
from firstock_ws.models._reader import FieldReader, as_on_the_stream, names_in_book, plain_dict

FINAL_STATUSES = frozenset({"COMPLETE", "REJECTED", "CANCELED"})
"""The states after which an order does not change any more."""

_STREAM_NAMES = {
    "orderNumber": "norenordno",
    "exchange": "exch",
    "token": "token",
    "tradingSymbol": "tsym",
    "transactionType": "trantype",
    "quantity": "qty",
    "price": "prc",
    "triggerPrice": "trgprc",
    "priceType": "prctyp",
    "product": "pcode",
    "retention": "ret",
    "status": "status",
    "fillShares": "fillshares",
    "averagePrice": "avgprc",
    "rejectReason": "rejreason",
    "remarks": "remarks",
    "orderTime": "tm",
    "lotSize": "ls",
    "tickSize": "ti",
    "userId": "uid",
}
_SIDES = {"B": "BUY", "S": "SELL", "BUY": "BUY", "SELL": "SELL"}
_SPELLINGS = {"CANCELLED": "CANCELED", "AMO CANCELLED": "AMO CANCELED", "TRIGGER PENDING": "TRIGGER_PENDING"}


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """One update of one order. Page: the broker's "Order update feed".

    Prices are in rupees, None where there is none (a market order has no price, an unfilled one no average);
    times are aware, in IST. A field that was missing or could not be parsed is None.
    """

    order_number: str
    """The broker's number of the order (``norenordno``)."""
    status: str | None
    """In capitals, one spelling: ``OPEN``, ``COMPLETE``, ``REJECTED``, ``CANCELED``, ``TRIGGER_PENDING`` ..."""
    report_type: str | None
    """What this update reports: ``NewAck``, ``New``, ``Fill``, ``Rejected``, ``Canceled``, ``Replaced`` ..."""
    instrument: str | None
    """``"EXCHANGE:TOKEN"``."""
    exchange: str | None
    token: str | None
    trading_symbol: str | None
    side: str | None
    """``"BUY"`` or ``"SELL"``."""
    quantity: int | None
    """Quantity of the whole order."""
    filled_quantity: int | None
    """Quantity filled so far, over all fills."""
    cancelled_quantity: int | None
    disclosed_quantity: int | None
    price: float | None
    trigger_price: float | None
    average_price: float | None
    """Average price of what is filled so far, rupees."""
    price_type: str | None
    """``LMT``, ``MKT``, ``SL-LMT``, ``SL-MKT``."""
    product: str | None
    """``C`` delivery, ``I`` intraday, ``M`` margin."""
    retention: str | None
    """``DAY`` or ``IOC``."""
    rejection_reason: str | None
    """Why the order was rejected; None when the broker sent a blank."""
    fill_id: str | None
    fill_quantity: int | None
    """Quantity of the fill that this update reports; from the book, what was filled since the last update."""
    fill_price: float | None
    """Price of the fill that this update reports, rupees."""
    fill_time: datetime | None
    order_time: datetime | None
    """When the broker stamped this update, IST, whole seconds (``tm``); in the book, when it was placed."""
    exchange_time: datetime | None
    exchange_order_id: str | None
    remarks: str | None
    """The text that was given when the order was placed."""
    user_id: str | None
    account_id: str | None
    lot_size: int | None
    tick_size: float | None
    """Smallest step of the price, rupees."""
    raw: dict[str, Any] = field(repr=False, compare=False)
    """The object as it came: a frame of the stream, or an entry of the book."""
    source: str = _fields.STREAM
    """``"stream"``, or ``"book"`` for what the stream had not told when the order book was read."""

    @property
    def is_final(self) -> bool:
        """Whether the order is complete, rejected or canceled."""
        return self.status in FINAL_STATUSES

    @property
    def is_fill(self) -> bool:
        """Whether this update reports a fill, part or whole."""
        return (self.report_type or "").lower() == "fill" or bool(self.fill_quantity)

    @property
    def pending_quantity(self) -> int | None:
        """Quantity that can still be filled: 0 once the order is final, None when the quantity is not known."""
        if self.is_final:
            return 0
        if self.quantity is None:
            return None
        return max(0, self.quantity - (self.filled_quantity or 0) - (self.cancelled_quantity or 0))

    def to_dict(self) -> dict[str, Any]:
        """Return all values by name, the derived ones too, without `raw`."""
        derived = ("is_final", "is_fill", "pending_quantity")
        return {**plain_dict(self), **{name: getattr(self, name) for name in derived}}


def _status(value: object) -> str | None:
    words = _fields.text(value)
    if words is None:
        return None
    words = " ".join(words.upper().split())
    return _SPELLINGS.get(words, words)


def _side(value: object) -> str | None:
    words = _fields.text(value)
    if words is None:
        return None
    if words.upper() not in _SIDES:
        raise ValueError("neither B nor S")
    return _SIDES[words.upper()]


def read_order(raw: dict[str, Any]) -> tuple[OrderUpdate | None, list[str]]:
    """Return the order update in `raw`, and the names of the wire fields that could not be parsed.

    None instead of an update when it has no order number: then nobody could tell what it is about.
    """
    wire = FieldReader(raw)
    order_number = wire.read("norenordno", _fields.text)
    if order_number is None:
        return None, ["norenordno"]
    exchange = wire.read("exch", _fields.text)
    token = wire.read("token", _fields.text)
    update = OrderUpdate(
        order_number=order_number,
        status=wire.read("status", _status),
        report_type=wire.read("reporttype", _fields.text),
        instrument=f"{exchange}:{token}" if exchange and token else None,
        exchange=exchange,
        token=token,
        trading_symbol=wire.read("tsym", _fields.text),
        side=wire.read("trantype", _side),
        quantity=wire.read("qty", _fields.whole_number),
        filled_quantity=wire.read("fillshares", _fields.whole_number),
        cancelled_quantity=wire.read("cancelqty", _fields.whole_number),
        disclosed_quantity=wire.read("dscqty", _fields.whole_number),
        price=wire.read("prc", _fields.rupees),
        trigger_price=wire.read("trgprc", _fields.rupees),
        average_price=wire.read("avgprc", _fields.rupees),
        price_type=wire.read("prctyp", _fields.text),
        product=wire.read("pcode", _fields.text),
        retention=wire.read("ret", _fields.text),
        rejection_reason=wire.read("rejreason", _fields.text),
        fill_id=wire.read("flid", _fields.text),
        fill_quantity=wire.read("flqty", _fields.whole_number),
        fill_price=wire.read("flprc", _fields.rupees),
        fill_time=wire.read("fltm", _fields.clock_text),
        order_time=wire.read("tm", _fields.epoch),
        exchange_time=wire.read("exch_tm", _fields.clock_text),
        exchange_order_id=wire.read("exchordid", _fields.text),
        remarks=wire.read("remarks", _fields.text),
        user_id=wire.read("uid", _fields.text),
        account_id=wire.read("actid", _fields.text),
        lot_size=wire.read("ls", _fields.whole_number),
        tick_size=wire.read("ti", _fields.rupees),
        raw=raw,
    )
    return update, wire.bad


def read_book_order(raw: dict[str, Any]) -> tuple[OrderUpdate | None, list[str]]:
    """Return the order in an entry of the order book; else like `read_order`. Page: the broker's "Order book"."""
    update, bad = read_order(as_on_the_stream(raw, _STREAM_NAMES))
    if update is not None:
        update = replace(update, raw=raw, source=_fields.BOOK)
    return update, names_in_book(bad, _STREAM_NAMES)
