"""This client, as users run it, and with things taken away from it."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.machine import rss_mib
from benchmarks.meter import Meter
from benchmarks.target import Target

if TYPE_CHECKING:
    from firstock_ws import FirstockWS, Quote

MARKS = (0.05, 0.25, 0.5, 1.0)
"""Parts of a flood after which a stuck client's memory is looked at."""
_POLL = 0.01
_SETTLE = 0.5


def run(target: Target, meter: Meter) -> None:
    """Measure it. The queue holds all quotes: what is conflated would be work left out."""

    def read_price(quote: Quote) -> None:
        _ = quote.last_price
        meter.add(1)

    def read_stamp(quote: Quote) -> None:
        meter.stamp(quote.volume or 0)

    client = _client(target, read_stamp if target.latency else read_price, max_pending=target.quotes + 1_000)
    meter.more = lambda: {"conflated": client.stats.quotes_conflated}
    client.connect()


def run_with_json(target: Target, meter: Meter) -> None:
    """Measure it as installed without the optional JSON libraries."""
    for name in ("msgspec", "orjson"):
        sys.modules[name] = None  # type: ignore[assignment]
    run(target, meter)


def run_plain(target: Target, meter: Meter) -> None:
    """Measure it with websocket-client reading all frames."""
    os.environ["FIRSTOCK_WS_FAST_PATH"] = "0"
    run(target, meter)


def run_for_memory(target: Target, meter: Meter) -> None:
    """Measure what the client holds, beyond an interpreter that has imported it."""
    import firstock_ws  # noqa: F401 - its code is not what is measured

    gc.collect()
    before = rss_mib()
    client = _client(target, lambda quote: meter.add(1))

    def more() -> dict[str, Any]:
        time.sleep(_SETTLE)
        gc.collect()
        return {"mib": rss_mib() - before, "conflated": client.stats.quotes_conflated}

    meter.more = more
    client.connect()


def run_stuck(target: Target, meter: Meter) -> None:
    """Measure the memory of a client whose callback never returns, while frames go on coming."""
    client = _client(target, lambda quote: threading.Event().wait())
    client.connect()
    greeting = 1
    marks: list[list[float]] = []
    for part in MARKS:
        frames = int(target.quotes / target.per_frame * part)
        while client.stats.frames - greeting < frames:
            time.sleep(_POLL)
        marks.append([frames, rss_mib()])
    meter.more = lambda: {"marks": marks}
    meter.done.set()


def _client(target: Target, on_quote: Callable[[Quote], object], **options: Any) -> FirstockWS:
    from firstock_ws import FirstockWS

    return FirstockWS(
        "AB1234",
        "benchmark",
        tokens=target.tokens,
        url=target.url,
        ssl_context=target.ssl_context,
        on_quote=on_quote,
        **options,
    )
