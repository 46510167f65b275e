"""What the tests of recordings share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firstock_ws import FirstockWS, OptionGreeks, OrderUpdate, PositionUpdate, Quote, Replay, replay
from tests.support import Watched

Call = tuple[str, tuple[Any, ...]]


def contents(calls: list[Call]) -> list[tuple[str, list[Any]]]:
    """Return calls as plain values: everything that a callback can see."""
    return [(name, [_plain(arg) for arg in args]) for name, args in calls]


def _plain(arg: Any) -> Any:
    if isinstance(arg, Quote):
        return arg.to_dict(), sorted(arg.changed), arg.raw
    if isinstance(arg, (OrderUpdate, PositionUpdate, OptionGreeks)):
        return arg.to_dict(), arg.raw
    if isinstance(arg, BaseException):
        return type(arg), str(arg), vars(arg)
    return arg


def play(path: Path, client: FirstockWS | None = None, **options: Any) -> Watched:
    """Replay `path` as fast as can be; return the calls."""
    client = client or FirstockWS("AB1234", lambda: "")
    watched = Watched(client)
    replay(path, client, speed=options.pop("speed", "max"), **options)
    return watched


def frames_of(path: Path) -> list[bytes]:
    return [record.frame for record in Replay(path) if record.kind in ("frame", "binary")]
