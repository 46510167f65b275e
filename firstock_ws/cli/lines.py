"""Events as lines: words for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from firstock_ws._secrets import REDACTOR
from firstock_ws.cli.events import Event
from firstock_ws.models import IST, DepthLevel, OptionGreeks, OrderUpdate, PositionUpdate, Quote
from firstock_ws.showable import showable

_GREEKS = ("delta", "gamma", "theta", "vega", "implied_volatility")


def value_of(quote: Quote, name: str, now: datetime) -> Any:
    """Return one value of a quote; ``age`` is seconds since its feed time."""
    if name != "age":
        return getattr(quote, name)
    return None if quote.feed_time is None else round((now - quote.feed_time).total_seconds(), 3)


def name_of(quote: Quote) -> str:
    """Return what to call the instrument: its trading symbol where that is known."""
    return quote.symbol or quote.instrument


# --- for people --------------------------------------------------------------------------------------------


def in_words(event: Event, fields: Sequence[str]) -> str:
    """Return `event` as a line; of a quote, `fields`."""
    # The broker's words are in it: they must not steer the terminal, nor pass for another line.
    return showable(_WORDS[event.kind](event, fields))


def _quote(event: Event, fields: Sequence[str]) -> str:
    parts = (f"{name} {_shown(name, value_of(event.data, name, event.at))}" for name in fields)
    return " ".join(["quote", name_of(event.data), *parts])


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, DepthLevel):
        return f"{value.price:.2f}x{value.quantity or 0}"
    if isinstance(value, tuple):
        return ",".join(_shown(name, level) for level in value) or "-"
    if isinstance(value, datetime):
        return value.astimezone(IST).isoformat()
    if isinstance(value, float):
        return f"{value:+.2f}" if name.startswith("change") else f"{value:.2f}"
    return str(value)


def describe_order(order: OrderUpdate) -> str:
    """Return an order in words."""
    filled = f", {order.filled_quantity} filled at {order.average_price}" if order.is_fill else ""
    why = f", {order.rejection_reason}" if order.rejection_reason else ""
    what = f"{order.side} {order.quantity} {order.trading_symbol}"
    return f"order {order.order_number} {what}: {order.status}{filled}{why}"


def describe_position(position: PositionUpdate) -> str:
    """Return a position in words."""
    realised = position.realised_profit
    profit = "" if realised is None else f", realised {realised:.2f}"
    return f"position {position.trading_symbol}: {position.net_quantity}{profit}"


def _greeks(event: Event, fields: Sequence[str]) -> str:
    values = ((name, getattr(event.data, name)) for name in _GREEKS)
    return " ".join(
        ["greeks", event.data.instrument, *(f"{name} {value:g}" for name, value in values if value is not None)]
    )


_WORDS: dict[str, Callable[[Event, Sequence[str]], str]] = {
    "quote": _quote,
    "order": lambda event, fields: describe_order(event.data),
    "position": lambda event, fields: describe_position(event.data),
    "greeks": _greeks,
    "connect": lambda event, fields: "connected: authenticated and subscribed",
    "close": lambda event, fields: f"connection closed: {event.data[0]} {event.data[1]}".rstrip(),
    "reconnect": lambda event, fields: f"try {event.data[0]} to reconnect in {event.data[1]:.1f} s",
    "noreconnect": lambda event, fields: f"gave up: {event.data}",
    "error": lambda event, fields: f"error: {REDACTOR.redact(str(event.data))}",
    "note": lambda event, fields: str(event.data),
}


# --- for programs ------------------------------------------------------------------------------------------


def in_json(event: Event, fields: Sequence[str] | None) -> str:
    """Return `event` as a line of JSON; of a quote, all its values or `fields`."""
    return json.dumps({"event": event.kind, **_values(event, fields)}, default=_plain)


def _values(event: Event, fields: Sequence[str] | None) -> dict[str, Any]:
    data = event.data
    if isinstance(data, Quote):
        if fields is None:
            return data.to_dict()
        chosen = {name: _whole(value_of(data, name, event.at)) for name in fields}
        return {"instrument": data.instrument, "symbol": data.symbol, **chosen}
    if isinstance(data, (OrderUpdate, PositionUpdate, OptionGreeks)):
        return data.to_dict()
    at = {"time": event.at}
    if event.kind == "close":
        return at | {"code": data[0], "reason": data[1]}
    if event.kind == "reconnect":
        return at | {"attempt": data[0], "delay": data[1]}
    if isinstance(data, BaseException):
        return at | {"error": type(data).__name__, "message": REDACTOR.redact(str(data))}
    return at | {"text": data} if data is not None else at


def _whole(value: Any) -> Any:
    """Return levels as dicts, as `Quote.to_dict` has them: a named tuple would become a list."""
    if isinstance(value, DepthLevel):
        return value.to_dict()
    return [level.to_dict() for level in value] if isinstance(value, tuple) else value


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    # What has no form of its own in JSON, such as a date, has one in words.
    return str(value)
