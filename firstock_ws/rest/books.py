"""Reads the broker's books of orders and positions. Pages: "Order book", "Position book"."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from firstock_ws._secrets import Secret
from firstock_ws.errors import ServerError
from firstock_ws.models.order import OrderUpdate, read_book_order
from firstock_ws.models.position import PositionUpdate, read_book_position
from firstock_ws.rest.calls import Answer, Rest, failure

_T = TypeVar("_T")
_EMPTY = re.compile(r"\bno (data|records?|orders?|positions?)\b", re.IGNORECASE)
_FAULTY = re.compile(r"\b(un)?auth|\baccess|\blimit|\btime|\btoken|\bkey\b|\bserver|\bupstream", re.IGNORECASE)


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
    orders = _one_each(_read(entries, read_book_order, bad))
    # Order numbers break the tie: those of one second count up.
    orders.sort(key=lambda order: (order.order_time.timestamp() if order.order_time else 0.0, order.order_number))
    return Entries(orders, [], bad, epoch)


def fetch_positions(rest: Rest, user_id: str, jkey: Secret) -> Entries:
    """Return all positions of the day; errors are those of `fetch_orders`."""
    bad: list[tuple[str, dict[str, Any]]] = []
    entries, epoch = _fetch("positionBook", rest, user_id, jkey)
    return Entries([], _read(entries, read_book_position, bad), bad, epoch)


def _one_each(orders: list[OrderUpdate]) -> list[OrderUpdate]:
    """Return each order once: where the book has it several times, as what moved on furthest."""
    furthest: dict[str, OrderUpdate] = {}
    for order in orders:
        other = furthest.get(order.order_number)
        if other is None or _progress(order) > _progress(other):
            furthest[order.order_number] = order
    return list(furthest.values())


def _progress(order: OrderUpdate) -> tuple[int, bool]:
    return order.filled_quantity or 0, order.is_final


def _fetch(what: str, rest: Rest, user_id: str, jkey: Secret) -> tuple[list[Any], int]:
    answer = rest.call(what, {"userId": user_id, "jKey": jkey})
    if not answer.ok:
        if _says_empty(answer):
            return [], answer.epoch
        error = failure(what, answer, about_key=False)
        # It may repeat what was sent, and error reporters write the variables of every frame down.
        del answer
        raise error
    entries = answer.body.get("data")
    if "data" in answer.body and not entries:
        return [], answer.epoch
    if not isinstance(entries, list):
        del answer, entries
        raise ServerError(f"{what} failed: the answer holds no list of entries", status=200)
    return entries, answer.epoch


def _says_empty(answer: Answer) -> bool:
    # Told as a failure too, in words nobody has published; not to be taken for one of a key, a limit or a fault.
    code = str(answer.body.get("code"))
    about_book = answer.status in (200, 400, 404) and code not in ("401", "403", "429", "500", "503")
    words = answer.said.replace("_", " ")
    return about_book and _EMPTY.search(words) is not None and _FAULTY.search(words) is None


def _read(
    entries: list[Any],
    read: Callable[[dict[str, Any]], tuple[_T | None, list[str]]],
    bad: list[tuple[str, dict[str, Any]]],
) -> list[_T]:
    found = []
    for entry in entries:
        if not isinstance(entry, dict):
            bad.append(("entry", {"entry": entry}))
            continue
        update, names = read(entry)
        bad.extend((name, entry) for name in names)
        if update is not None:
            found.append(update)
    return found
