"""The true greeks of an option."""

from __future__ import annotations

import random

BOUNDS = {
    "delta": (-1.0, 1.0, 0.01),
    "gamma": (0.0001, 0.02, 0.0003),
    "theta": (-40.0, -0.1, 0.4),
    "vega": (0.1, 30.0, 0.3),
    "rho": (-10.0, 10.0, 0.1),
    "iv": (5.0, 60.0, 0.5),
}


class OptionGreeks:
    """A bounded random walk of the greeks of one option.

    Args:
        name: ``EXCHANGE:TOKEN``.
        seed: Together with the name it decides the whole walk.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.exchange, self.token = name.split(":", 1)
        self._rng = random.Random(f"{seed}|{name}|greeks")
        self.values = {greek: round(self._rng.uniform(low, high), 6) for greek, (low, high, _) in BOUNDS.items()}

    def advance(self) -> None:
        """Make one step of the walk."""
        for greek, (low, high, width) in BOUNDS.items():
            moved = self.values[greek] + self._rng.uniform(-width, width)
            self.values[greek] = round(min(max(moved, low), high), 6)

    def frame(self, scale: float, keyed: bool) -> dict[str, object]:
        """The wire object.

        Args:
            scale: Factor on every greek.
            keyed: Whether it stands under ``EXCHANGE:TOKEN``.
        """
        inner: dict[str, object] = {"c_exch_seg": self.exchange, "c_symbol": self.token}
        inner.update({greek: round(value * scale, 8) for greek, value in self.values.items()})
        return {self.name: inner} if keyed else inner
