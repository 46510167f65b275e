"""Watches the account's orders without any quotes: open orders, fills, and whether the line is up.

Order and position updates come for the account that connects; nothing has to be subscribed. What happened before
the program was started, or while the connection was down, comes from the broker's books.

Against the simulator, which needs no account: run ``firstock-ws simulate --rest-port 9101`` in another terminal,
then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_REST_URL=http://127.0.0.1:9101/V1 \\
    FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python order_monitor.py

Against the broker: set FIRSTOCK_USER_ID to your client code and FIRSTOCK_JKEY to the ``susertoken`` of today's
login, leave FIRSTOCK_URL unset, and run ``python order_monitor.py``.
"""

import os
import sys

from firstock_ws import V1_URL, FirstockError, FirstockWS, OrderUpdate, PositionUpdate

open_orders: dict[str, OrderUpdate] = {}


def on_order_update(order: OrderUpdate) -> None:
    if order.is_fill:
        # The order book knows how much was filled, but not at which price each time.
        price = f"at {order.fill_price}" if order.source == "stream" else "(from the order book)"
        print(
            f"fill {order.order_number}: {order.fill_quantity} {price},"
            f" {order.filled_quantity} of {order.quantity} at {order.average_price} on average"
        )
    if order.is_final:
        open_orders.pop(order.order_number, None)
        print(f"ended {order.order_number}: {order.status}", order.rejection_reason or "")
    else:
        open_orders[order.order_number] = order
    print(f"open orders: {len(open_orders)}")
    for number, waiting in open_orders.items():
        print(
            f"  {number} {waiting.side} {waiting.pending_quantity} {waiting.trading_symbol}"
            f" at {waiting.price}: {waiting.status}"
        )


def on_position_update(position: PositionUpdate) -> None:
    print(f"position {position.trading_symbol}: {position.net_quantity}, realised {position.realised_profit}")


def on_close(code: int, reason: str) -> None:
    print(f"connection ended: {code} {reason}")


def on_reconnect(attempt: int, delay: float) -> None:
    # What happens meanwhile comes after the next connect: till then a trader must know that the table may be old.
    print(f"not connected, try {attempt} in {delay:.1f} s: the table may be out of date")


def on_noreconnect(error: FirstockError) -> None:
    print(f"Gave up: {error}", file=sys.stderr)


def main() -> int:
    user_id, jkey = os.environ.get("FIRSTOCK_USER_ID"), os.environ.get("FIRSTOCK_JKEY")
    if not user_id or not jkey:
        print("Set FIRSTOCK_USER_ID and FIRSTOCK_JKEY in the environment first.", file=sys.stderr)
        return 2
    client = FirstockWS(
        user_id,
        jkey,
        url=os.environ.get("FIRSTOCK_URL") or V1_URL,
        rest_url=os.environ.get("FIRSTOCK_REST_URL") or None,
        on_order_update=on_order_update,
        on_position_update=on_position_update,
        on_connect=lambda: print("connected"),
        on_close=on_close,
        on_reconnect=on_reconnect,
        on_noreconnect=on_noreconnect,
    )
    try:
        client.run_forever()
    except FirstockError:
        # on_noreconnect has said why.
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
