"""A client in a process of its own: ``python -m tests.faults.child '{"url": ...}'``, the key in the environment.

It prints one line of JSON for each lifecycle call, and answers the words "stats", "orders" and "objects" on its
input, until that ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import threading
import time
from typing import Any

from websocket import WebSocket, WebSocketApp

from firstock_ws import FirstockError, FirstockWS, OrderUpdate, Quote
from firstock_ws.connection.connection import Connection


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what, default=str) + "\n")
    sys.stdout.flush()


def count_objects() -> dict[str, int]:
    # A function of its own: the list must not keep what it counted alive.
    things = gc.get_objects()
    kept = sum(isinstance(thing, (Connection, WebSocket, WebSocketApp)) for thing in things)
    return {"all": len(things), "connections": kept}


def run(client: FirstockWS) -> None:
    with contextlib.suppress(FirstockError):
        client.run_forever()


def main() -> None:
    options = json.loads(sys.argv[1])
    if options.pop("gc_off", False):
        gc.disable()
    pause, block = options.pop("callback_takes", 0.0), options.pop("callback_blocks", 0.0)
    idle = threading.Event()
    orders: list[tuple[str, int]] = []
    client = FirstockWS("AB1234", os.environ["FIRSTOCK_TEST_KEY"], **options)

    def take_quote(quote: Quote) -> None:
        nonlocal block
        if block:
            say(event="blocked")
            began = time.monotonic()
            idle.wait(block)
            block = 0.0
            say(event="released", after=time.monotonic() - began, orders=len(orders))
        if pause:
            idle.wait(pause)

    def take_order(order: OrderUpdate) -> None:
        orders.append((order.order_number, order.filled_quantity or 0))

    client.on_quote = take_quote
    client.on_order_update = take_order
    client.on_connect = lambda: say(event="connect")
    client.on_close = lambda code, reason: say(event="close", code=code, reason=reason)
    client.on_error = lambda error: say(
        event="error",
        kind=type(error).__name__,
        code=getattr(error, "code", None),
        status=getattr(error, "status", None),
        text=str(error),
    )
    client.on_noreconnect = lambda error: say(event="noreconnect", kind=type(error).__name__)
    threading.Thread(target=run, args=(client,), daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "stats":
            say(event="stats", **client.stats.to_dict())
        elif line.strip() == "orders":
            say(event="orders", orders=orders)
        elif line.strip() == "objects":
            say(event="objects", **count_objects())
        else:
            break
    client.close()
    say(event="closed", state=client.state.value)


if __name__ == "__main__":
    main()
