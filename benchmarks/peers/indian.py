"""The clients of two other Indian brokers, on their own frames."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.meter import Meter
from benchmarks.others import kite_tokens
from benchmarks.target import Target


def run_kite(target: Target, meter: Meter) -> None:
    """Measure KiteTicker."""
    from kiteconnect import KiteTicker

    numbers = kite_tokens(target.instruments)
    ticker = KiteTicker("key", "token", root=f"ws://{target.host}")

    def on_connect(ticker: Any, response: object) -> None:
        ticker.subscribe(numbers)
        ticker.set_mode(ticker.MODE_FULL, numbers)

    def on_ticks(ticker: Any, ticks: list[dict[str, Any]]) -> None:
        for tick in ticks:
            _ = tick["last_price"]
        meter.add(len(ticks))

    ticker.on_connect = on_connect
    ticker.on_ticks = on_ticks
    # Its reactor may not handle signals on this thread.
    ticker.connect(threaded=True)


def run_smart(target: Target, meter: Meter) -> None:
    """Measure SmartWebSocketV2."""
    parts = _smart_module()
    client = parts.SmartWebSocketV2("token", "key", "client", "feed")
    client.ROOT_URI = target.url
    numbers = [name.partition(":")[2] for name in target.tokens]

    def on_open(app: object) -> None:
        client.subscribe("benchmark", client.SNAP_QUOTE, [{"exchangeType": client.NSE_CM, "tokens": numbers}])

    def on_data(app: object, quote: dict[str, Any]) -> None:
        _ = quote["last_traded_price"]
        meter.add(1)

    client.on_open = on_open
    client.on_data = on_data
    client.connect()


def _smart_module() -> ModuleType:
    """Load the one module: importing its package asks a web site for this computer's address."""
    package = find_spec("SmartApi")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0], "smartWebSocketV2.py")
    spec = spec_from_file_location("smartWebSocketV2", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
