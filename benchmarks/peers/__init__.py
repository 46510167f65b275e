"""The clients that are compared, by name. A module is imported only in the process that measures it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple, cast

from benchmarks.meter import Meter
from benchmarks.target import Target

Run = Callable[[Target, Meter], None]
"""Starts the client; may return or go on until the process ends."""


class Peer(NamedTuple):
    """A client to measure."""

    where: str
    """Module of this package, and the function in it."""
    about: str
    needs: tuple[str, ...] = ()
    """Modules that must be installed."""
    greeted: bool = False
    """Whether it waits for the broker's word on the key."""
    shown: bool = True
    """Whether the tables have it under its own name."""

    def missing(self) -> list[str]:
        """What it needs that isn't installed."""
        return [name for name in self.needs if find_spec(name) is None]

    def load(self) -> Run:
        """Import and return what starts it."""
        module, _, function = self.where.partition(":")
        return cast(Run, getattr(importlib.import_module(f"benchmarks.peers.{module}"), function))


PEERS: dict[str, Peer] = {
    "ours": Peer("ours:run", "this client, default settings, reading `quote.last_price`", greeted=True),
    "ours-json": Peer("ours:run_with_json", "the same without the fast JSON library", greeted=True),
    "ours-plain": Peer("ours:run_plain", "the same with `FIRSTOCK_WS_FAST_PATH=0`", greeted=True),
    "ours-memory": Peer("ours:run_for_memory", "this client, default settings", greeted=True, shown=False),
    "ours-stuck": Peer("ours:run_stuck", "this client, its callback stuck", greeted=True, shown=False),
    "broker": Peer(
        "broker:run", "the broker's own package, reading the price from its dict", ("firstock",), greeted=True
    ),
    "app": Peer("bare:run_app", "bare `websocket.WebSocketApp` and `orjson.loads`", ("websocket", "orjson")),
    "floor": Peer("bare:run_floor", "a bare socket, a hand-made split and `orjson.loads`", ("orjson",)),
    "websockets": Peer(
        "loops:run_websockets", "websockets (asyncio) and `orjson.loads`", ("websockets", "orjson")
    ),
    "aiohttp": Peer("loops:run_aiohttp", "aiohttp (asyncio) and `orjson.loads`", ("aiohttp", "orjson")),
    "picows": Peer("loops:run_picows", "picows (asyncio, in C) and `orjson.loads`", ("picows", "orjson")),
    "kite": Peer("indian:run_kite", "KiteTicker, its binary frames in mode full", ("kiteconnect",)),
    "smart": Peer("indian:run_smart", "SmartWebSocketV2, its binary frames in mode 3", ("SmartApi", "logzero")),
}
