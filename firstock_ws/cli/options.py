"""Checks of single options, at the moment when Typer reads them."""

from __future__ import annotations

import math
from enum import Enum

import typer


class Wire(str, Enum):
    """The generation of the wire."""

    V1 = "v1"
    V2 = "v2"


def not_negative(value: float | None) -> float | None:
    """Let a number through that is 0 or more."""
    if value is not None and not (value >= 0 and math.isfinite(value)):
        raise typer.BadParameter("give a number that is 0 or more.")
    return value


def check_port(value: int | None) -> int | None:
    """Let a port through."""
    if value is not None and not 0 <= value <= 65535:
        raise typer.BadParameter("give a port from 0 to 65535.")
    return value


def check_users(value: list[str] | None) -> list[str] | None:
    """Let words through that all are ``USER:KEY``, several joined with commas."""
    for word in ",".join(value or []).split(",") if value else []:
        user_id, _, key = word.strip().partition(":")
        if not user_id or not key:
            # The word itself is not repeated: it may hold a key.
            raise typer.BadParameter("give USER:KEY, for example AB1234:secret.")
    return value
