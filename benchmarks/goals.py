"""The goals: what this client is held against."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.results import Results


@dataclass(frozen=True)
class Goal:
    """A limit on a figure, or on the ratio of two rows of a section."""

    section: str
    row: str
    metric: str
    limit: float
    against: str | None = None
    """The row that is divided by; None for the figure itself."""
    at_most: bool = True

    def value(self, results: Results) -> float | None:
        """What was reached; None where something was not measured."""
        if self.against is None:
            return results.median(self.section, self.row, self.metric)
        return results.ratio(self.section, self.metric, self.row, self.against)

    def met(self, value: float) -> bool:
        """Whether `value` is good enough."""
        return value <= self.limit if self.at_most else value >= self.limit


_SLOW, _FAST = "at 1,000/s", "at 5,000/s"

GOALS: tuple[Goal, ...] = (
    Goal("v1", "ours", "cpu_frame", 1 / 35, "broker"),
    Goal("v1", "ours-json", "cpu_frame", 1 / 12, "broker"),
    Goal("v1", "ours", "cpu_frame", 2.0, "floor"),
    Goal("v1", "ours", "cpu_frame", 1.0, "websockets"),
    Goal("v1", "ours", "cpu_frame", 1.5, "aiohttp"),
    Goal("v1-tls", "ours", "cpu_frame", 1 / 25, "broker"),
    Goal("v2-50", "ours", "cpu_frame", 1 / 45, "broker"),
    Goal("indian", "ours V1", "quotes_s", 4.0, "kite of 1", at_most=False),
    Goal("indian", "ours V2 of 50", "quotes_s", 4.0, "kite of 50", at_most=False),
    Goal("indian", "ours V1", "quotes_s", 4.0, "smart", at_most=False),
    Goal("delta", "delta", "cpu_frame", 0.5, "full frame"),
    Goal("scale", "3,000", "cpu_frame", 1.15, "10"),
    Goal("latency", f"ours {_SLOW}", "p50", 1.3, f"app {_SLOW}"),
    Goal("latency", f"ours {_SLOW}", "p99", 2.0, f"app {_SLOW}"),
    Goal("latency", f"ours {_FAST}", "p50", 2.0, f"ours {_SLOW}"),
    Goal("memory", "ours", "mib", 30.0),
    Goal("backlog", "after all", "mib", 1.05, "after 5 %"),
    Goal("import", "firstock_ws", "ms", 1.5, "websocket, requests"),
    Goal("import", "firstock_ws", "needless", 0.0),
)
