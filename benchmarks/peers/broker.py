"""The broker's own Python package."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.meter import Meter
from benchmarks.target import Target


def run(target: Target, meter: Meter) -> None:
    """Measure it, with a callback that reads the last price of each quote from the dict it gets."""
    from firstock import Firstock, FirstockWebSocket

    # The one place that it reads the key from.
    Path("config.json").write_text(json.dumps({"AB1234": {"jKey": "benchmark"}}))
    if target.ca:
        os.environ["WEBSOCKET_CLIENT_CA_BUNDLE"] = target.ca

    def read_flat(data: dict[str, Any]) -> None:
        _ = data["i_last_traded_price"]
        meter.add(1)

    def read_keyed(data: dict[str, Any]) -> None:
        for quote in data.values():
            _ = quote["i_last_traded_price"]
        meter.add(len(data))

    def read(data: dict[str, Any]) -> None:
        (read_flat if "i_last_traded_price" in data else read_keyed)(data)

    model = FirstockWebSocket(tokens=target.tokens, subscribe_feed_data=read)
    _, error = Firstock.initialize_websockets(
        "AB1234", model, {"scheme": target.scheme, "host": target.host, "path": "/ws"}
    )
    if error:
        raise RuntimeError(str(error))
