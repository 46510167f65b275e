"""What the three updates that are read field by field share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

_T = TypeVar("_T")


class FieldReader:
    """Reads fields of one wire object and remembers which could not be parsed."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self._raw = raw
        self.bad: list[str] = []

    def read(self, name: str, parse: Callable[[object], _T | None]) -> _T | None:
        """Return the parsed field `name`, None when it is missing or can't be parsed."""
        value = self._raw.get(name)
        if value is None:
            return None
        try:
            return parse(value)
        except (ValueError, OverflowError, OSError):
            # OverflowError and OSError: a number that is no time on this platform.
            self.bad.append(name)
            return None


def plain_dict(update: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, without ``raw``; nested updates become dicts too."""
    values: dict[str, Any] = {}
    for entry in fields(update):
        if entry.name != "raw":
            value = getattr(update, entry.name)
            values[entry.name] = [item.to_dict() for item in value] if isinstance(value, tuple) else value
    return values


def as_on_the_stream(raw: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return an object of a book with the field names that the stream has for the same things."""
    return {names[name]: value for name, value in raw.items() if name in names}


def names_in_book(bad: list[str], names: dict[str, str]) -> list[str]:
    """Return fields of the stream by the names that the book has for them."""
    back = {stream: book for book, stream in names.items()}
    return [back.get(name, name) for name in bad]
