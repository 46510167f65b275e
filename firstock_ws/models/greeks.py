"""`OptionGreeks`: what the broker computes for an option contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from firstock_ws.models import _fields
from firstock_ws.models._reader import FieldReader, plain_dict


@dataclass(frozen=True, slots=True)
class OptionGreeks:
    """The greeks of one option, as the numbers that came: the broker has not published their scale.

    What was not sent is None.
    """

    instrument: str
    """``"EXCHANGE:TOKEN"``, for example ``"NFO:44278"``."""
    exchange: str
    token: str
    delta: float | None
    gamma: float | None
    theta: float | None
    vega: float | None
    rho: float | None
    implied_volatility: float | None
    """The wire's ``iv``, where it is sent."""
    raw: dict[str, Any] = field(repr=False, compare=False)
    """The object as it came."""

    def to_dict(self) -> dict[str, Any]:
        """Return all values by name, without `raw`."""
        return plain_dict(self)


def read_greeks(instrument: str, raw: dict[str, Any]) -> tuple[OptionGreeks, list[str]]:
    """Return the greeks in `raw`, and the names of the wire fields that could not be parsed."""
    exchange, _, token = instrument.partition(":")
    wire = FieldReader(raw)
    greeks = OptionGreeks(
        instrument=instrument,
        exchange=exchange,
        token=token,
        delta=wire.read("delta", _fields.decimal_number),
        gamma=wire.read("gamma", _fields.decimal_number),
        theta=wire.read("theta", _fields.decimal_number),
        vega=wire.read("vega", _fields.decimal_number),
        rho=wire.read("rho", _fields.decimal_number),
        implied_volatility=wire.read("iv", _fields.decimal_number),
        raw=raw,
    )
    return greeks, wire.bad
