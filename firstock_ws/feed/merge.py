"""Merges market updates, most of which name only what changed, into the full state of each instrument.

The rules are the wire's ("Market fields" of the broker's feed as it behaves): "no value" marks and ``null`` say
nothing, a price of 0 says nothing, depth is merged by position and field, order of levels is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firstock_ws.feed.market import BAD, PLAIN_LIMIT, MarketUpdate
from firstock_ws.models import _fields
from firstock_ws.models.market_state import NO_ZERO_COUNT, NUMBER_COUNT, Level, MarketState, State, values_of

_EMPTY_LEVEL = Level(None, None, None)


def _quantity(sent: Any, known: Any) -> Any:
    """Return what is known of a quantity after `sent` came.

    Raises:
        ValueError: `sent` is too large for a number of this feed.
    """
    if sent is BAD:
        return None
    number = _fields.whole_number(sent)
    return known if number is None else number


def _price(sent: Any, known: Any) -> Any:
    """The same of a price or a time, of which 0 says nothing."""
    return None if sent is BAD else _quantity(sent, known) or known


def _merge_level(old: Level, sent: Level) -> Level:
    price, quantity, orders = sent.price, sent.quantity, sent.orders
    if type(price) is type(quantity) is type(orders) is int:
        if 0 <= price < PLAIN_LIMIT and 0 <= quantity < PLAIN_LIMIT and 0 <= orders < PLAIN_LIMIT:
            # Nearly all; as below, without a call.
            if price:
                return sent
            return Level(old.price, quantity, orders) if quantity or orders else _EMPTY_LEVEL
    elif price is quantity is orders is None:
        return old
    # Also what is nothing only when rounded, or by a mark of "no value".
    maybe_empty = price == 0 or type(price) is float
    if maybe_empty and _quantity(price, None) == _quantity(quantity, None) == 0 and not _quantity(orders, None):
        return _EMPTY_LEVEL
    return Level(_price(price, old.price), _quantity(quantity, old.quantity), _quantity(orders, old.orders))


def _merge_side(old: Sequence[Level], sent: Any) -> Sequence[Level]:
    if sent is None:
        return old
    if sent is BAD:
        return ()
    levels = [*old, *[_EMPTY_LEVEL] * (len(sent) - len(old))]
    levels[: len(sent)] = map(_merge_level, levels, sent)
    return tuple(levels)


def _covers(update: State, before: State) -> bool:
    """Whether `update`, which leaves nothing out, takes the place of `before`, which may have more levels."""
    (bids, asks), (known_bids, known_asks) = update.level_counts, before.level_counts
    return bool(bids >= known_bids and asks >= known_asks)


def merge(before: State, update: MarketUpdate, raw: bytes | dict[str, Any]) -> State:
    """Return a new state: `before` with `update` merged over it.

    Args:
        raw: what `update` was read from.

    Raises:
        ValueError: a number in `update` is too large for one of this feed.
    """
    if type(update) is dict:
        return before.merged(update, raw, False)
    if type(update) is not tuple:
        if _covers(update, before):
            return update
        update = values_of(update)
    known = values_of(before)
    # The usual is settled in the loops, without a call.
    prices = [
        (new if type(new) is int and 0 < new < PLAIN_LIMIT else _price(new, old)) if new else old
        for new, old in zip(update[:NO_ZERO_COUNT], known, strict=False)
    ]
    quantities = [
        old if new is None else (new if type(new) is int and 0 <= new < PLAIN_LIMIT else _quantity(new, old))
        for new, old in zip(update[NO_ZERO_COUNT:NUMBER_COUNT], known[NO_ZERO_COUNT:], strict=False)
    ]
    old_text, old_bids, old_asks = known[NUMBER_COUNT:]
    text, bids, asks = update[NUMBER_COUNT:]
    text = old_text if text is None else None if text is BAD else text
    sides = _merge_side(old_bids, bids), _merge_side(old_asks, asks)
    return MarketState._make((*prices, *quantities, text, *sides))
