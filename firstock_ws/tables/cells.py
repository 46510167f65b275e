"""What a table of quotes says in each cell; how it looks is up to `tables`, `html_table` and `text_table`."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from firstock_ws.models import IST, DepthLevel, Quote
from firstock_ws.models.quote import VALUE_NAMES
from firstock_ws.showable import showable

DEFAULT_FIELDS = ("last_price", "change", "change_percent", "best_bid", "best_ask", "volume", "age")
AGE = "age"
"""The one column that is no attribute of a quote: the time since `Quote.feed_time`."""

_FIELDS = (*VALUE_NAMES, AGE)
_HEADINGS = {"last_price": "last", "change_percent": "%", "best_bid": "bid", "best_ask": "ask"}
_ABBREVIATIONS = {"ltp": "last_price", "oi": "open_interest", "%": "change_percent"}
_ALIKE = 0.7
_OLD = 60.0
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


class Tone(Enum):
    """What the colour of a cell says."""

    PLAIN = "plain"
    STRONG = "strong"
    UP = "up"
    DOWN = "down"
    OLD = "old"


class Cell(NamedTuple):
    """One value as it is shown."""

    text: str
    tone: Tone = Tone.PLAIN


def check_fields(fields: Sequence[str]) -> tuple[str, ...]:
    """Return `fields` as a tuple.

    Args:
        fields: names of a quote's values, such as ``"last_price"``, or ``"age"``.

    Raises:
        ValueError: a name is none of these, or there is no name at all; the text says which come near.
        TypeError: `fields` is one string, or something else that is no sequence of strings.
    """
    return check_names(fields, _FIELDS, "field")


def check_names(names: Iterable[str], known: Sequence[str], what: str) -> tuple[str, ...]:
    """Return `names` as a tuple, each of which is among `known`.

    Args:
        what: what a name is the name of, for the error's text.

    Raises:
        ValueError, TypeError: as `check_fields`.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f'{what}s is a sequence of names, such as ["last_price", "volume"], not {names!r}')
    wanted = tuple(names)
    if not wanted:
        raise ValueError(f"no {what} is named: give one at least, such as {known[0]!r}")
    for name in wanted:
        if name not in known:
            near = _near(str(name), known)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise ValueError(f"there is no {what} {name!r}: {hint}")
    return wanted


def _near(name: str, known: Sequence[str]) -> list[str]:
    """Return those of `known` that `name` may have meant, the nearest first: alike as a whole, or in a word."""
    name = _ABBREVIATIONS.get(name.lower(), name.lower())
    scores = {candidate: _likeness(name, candidate) for candidate in known}
    return sorted((each for each in known if scores[each] >= _ALIKE), key=lambda each: -scores[each])[:3]


def _likeness(name: str, other: str) -> float:
    words = itertools.product(name.split("_"), other.split("_"))
    best = max(difflib.SequenceMatcher(None, one, two).ratio() for one, two in words)
    return max(difflib.SequenceMatcher(None, name, other).ratio(), 0.9 * best)


def heading(field: str) -> str:
    """Return what stands above the column of `field`."""
    return _HEADINGS.get(field) or field.replace("_", " ")


def name_of(quote: Quote) -> str:
    """Return what a quote's row is called: the trading symbol where it is known, else the instrument."""
    return showable(getattr(quote, "symbol", None) or quote.instrument)


def cell_of(quote: Quote, field: str, now: datetime) -> Cell:
    """Return what stands in the column `field` of `quote`; nothing where the broker sent nothing.

    Args:
        now: an aware time, against which ages are measured.
    """
    if field == AGE:
        return _age(quote.feed_time, now)
    value: Any = getattr(quote, field)
    if value is None:
        return Cell("")
    if field in _SIGNED:
        tone = Tone.UP if value > 0 else Tone.DOWN if value < 0 else Tone.PLAIN
        number = f"{value:+,.2f}" if abs(value) >= 0.005 else "0.00"
        return Cell(number + ("%" if field == "change_percent" else ""), tone)
    return Cell(_WRITERS[type(value)](value, now), Tone.STRONG if field == "last_price" else Tone.PLAIN)


_SIGNED = ("change", "change_percent")


def _age(feed_time: datetime | None, now: datetime) -> Cell:
    if feed_time is None:
        return Cell("")
    # The exchange's clock may be ahead of this computer's.
    seconds = max(0.0, (now - feed_time).total_seconds())
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return Cell(f"{int(seconds // size)} {unit}", Tone.OLD if seconds >= _OLD else Tone.PLAIN)


def _time(moment: datetime, now: datetime) -> str:
    today = moment.date() == now.astimezone(IST).date()
    return moment.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")


def _level(level: DepthLevel) -> str:
    return f"{level.price:,.2f}" + ("" if level.quantity is None else f" x {level.quantity:,}")


_WRITERS: dict[type, Callable[[Any, datetime], str]] = {
    float: lambda price, now: f"{price:,.2f}",
    int: lambda number, now: f"{number:,}",
    datetime: _time,
    DepthLevel: lambda level, now: f"{level.price:,.2f}",
    tuple: lambda levels, now: "\n".join(map(_level, levels)),
}
