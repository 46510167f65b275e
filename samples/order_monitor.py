"""Watches the account's orders without any quotes: open orders, fills, and whether the line is up.

Order and position updates come for the account that connects; nothing has to be subscribed. What happened before
the program was started, or while the connection was down, comes from the broker's books.

It uses the session of ``firstock-ws login``, at the broker or at a simulator. A simulator that nobody has logged
in to needs none: run ``firstock-ws simulate --rest-port 9101`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_REST_URL=http://127.0.0.1:9101/V1 \\
    FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python order_monitor.py

"""

import sys

from firstock_ws import FirstockError, FirstockWS, OrderUpdate, PositionUpdate

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
    try:
        client = FirstockWS.from_login(
            on_order_update=on_order_update,
            on_position_update=on_position_update,
            on_connect=lambda: print("connected"),
            on_close=on_close,
            on_reconnect=on_reconnect,
            on_noreconnect=on_noreconnect,
        )
    except FirstockError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        client.run_forever()
    except FirstockError:
        # on_noreconnect has said why.
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
