"""Reads the broker's books of orders and positions. Pages: "Order book", "Position book"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from firstock_ws._secrets import Secret
from firstock_ws.errors import ServerError
from firstock_ws.models.order import OrderUpdate, read_book_order
from firstock_ws.models.position import PositionUpdate, read_book_position
from firstock_ws.rest import Answer, Rest, failure

_T = TypeVar("_T")


class Entries(NamedTuple):
    """One book, as it stood at one moment; `bad` names fields that could not be parsed, and their entries."""

    orders: list[OrderUpdate]
    positions: list[PositionUpdate]
    bad: list[tuple[str, dict[str, Any]]]
    epoch: int
    """When the broker made the book, epoch seconds by its own clock; 0 where it does not say."""


def fetch_orders(rest: Rest, user_id: str, jkey: Secret) -> Entries:
    """Return all orders of the day, oldest first.

    Raises:
        AuthenticationError: the broker does not accept the key.
        RateLimitError, ServerError: there was no book to be had.
    """
    bad: list[tuple[str, dict[str, Any]]] = []
    entries, epoch = _fetch("orderBook", rest, user_id, jkey)
    orders = _read(entries, read_book_order, bad)
    # Order numbers break the tie: those of one second count up.
    orders.sort(key=lambda order: (order.order_time.timestamp() if order.order_time else 0.0, order.order_number))
    return Entries(orders, [], bad, epoch)


def fetch_positions(rest: Rest, user_id: str, jkey: Secret) -> Entries:
    """Return all positions of the day; errors are those of `fetch_orders`."""
    bad: list[tuple[str, dict[str, Any]]] = []
    entries, epoch = _fetch("positionBook", rest, user_id, jkey)
    return Entries([], _read(entries, read_book_position, bad), bad, epoch)


def _fetch(what: str, rest: Rest, user_id: str, jkey: Secret) -> tuple[list[dict[str, Any]], int]:
    answer = rest.call(what, {"userId": user_id, "jKey": jkey})
    if not answer.ok:
        if _says_empty(answer):
            return [], answer.epoch
        error = failure(what, answer, about_key=False)
        # It may repeat what was sent, and error reporters write the variables of every frame down.
        del answer
        raise error
    entries = answer.body.get("data")
    if entries is None or entries == "" or entries == {}:
        return [], answer.epoch
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        del answer, entries
        raise ServerError(f"{what} failed: the answer holds no list of entries", status=200)
    return entries, answer.epoch


def _says_empty(answer: Answer) -> bool:
    # Told as a failure too, in words that nobody has published.
    words = answer.said.lower().replace("_", " ")
    return answer.status < 500 and ("no data" in words or "no record" in words)


def _read(
    entries: list[dict[str, Any]],
    read: Callable[[dict[str, Any]], tuple[_T | None, list[str]]],
    bad: list[tuple[str, dict[str, Any]]],
) -> list[_T]:
    found = []
    for entry in entries:
        update, names = read(entry)
        bad.extend((name, entry) for name in names)
        if update is not None:
            found.append(update)
    return found
