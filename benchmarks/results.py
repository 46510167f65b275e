"""The figures of a whole run: medians over the rounds, their spread, and ratios within each round."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from benchmarks.run import Figures


@dataclass
class Results:
    """What was measured: by section and row, one set of figures a round."""

    found: dict[tuple[str, str], dict[int, Figures]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    """By section, what could not be measured and why."""

    def add(self, section: str, row: str, number: int, figures: Figures) -> None:
        """Keep the figures of one round."""
        self.found.setdefault((section, row), {})[number] = figures

    def note(self, section: str, text: str) -> None:
        """Keep a line of what went wrong; once."""
        notes = self.notes.setdefault(section, [])
        if text not in notes:
            notes.append(text)

    def values(self, section: str, row: str, metric: str) -> dict[int, float]:
        """Return the figures of one metric, by round."""
        rounds = self.found.get((section, row), {})
        return {number: figures[metric] for number, figures in rounds.items() if metric in figures}

    def median(self, section: str, row: str, metric: str) -> float | None:
        """Return the middle of all rounds, None if nothing was measured."""
        values = self.values(section, row, metric).values()
        return median(values) if values else None

    def ratio(self, section: str, metric: str, top: str, bottom: str) -> float | None:
        """Return how many times `bottom` the row `top` is: the median of the ratios of each round.

        What ran side by side is compared, so that a computer that is busy for a while spoils both or none.
        """
        above, below = self.values(section, top, metric), self.values(section, bottom, metric)
        ratios = [above[number] / below[number] for number in above if below.get(number)]
        return median(ratios) if ratios else None
