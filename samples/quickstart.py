"""The shortest useful program: prints quotes, order updates and position updates until Ctrl-C.

Against the simulator, which needs no account: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python quickstart.py

Against the broker: set FIRSTOCK_USER_ID to your client code and FIRSTOCK_JKEY to the ``susertoken`` of today's
login, leave FIRSTOCK_URL unset, and run ``python quickstart.py``.
"""

import os
import sys

from firstock_ws import V1_URL, FirstockError, FirstockWS, OrderUpdate, PositionUpdate, Quote


def show_quote(quote: Quote) -> None:
    # Rupees. None is what the broker has not said yet: print() takes it, a format like {:.2f} would not.
    print("quote", quote.instrument, quote.last_price, "change", quote.change)


def show_order(order: OrderUpdate) -> None:
    print("order", order.order_number, order.side, order.quantity, order.trading_symbol, order.status)


def show_position(position: PositionUpdate) -> None:
    print("position", position.instrument, position.net_quantity, "realised", position.realised_profit)


def main() -> int:
    user_id, jkey = os.environ.get("FIRSTOCK_USER_ID"), os.environ.get("FIRSTOCK_JKEY")
    if not user_id or not jkey:
        print("Set FIRSTOCK_USER_ID and FIRSTOCK_JKEY in the environment first.", file=sys.stderr)
        return 2

    client = FirstockWS(
        user_id=user_id,
        jkey=jkey,
        url=os.environ.get("FIRSTOCK_URL") or V1_URL,
        rest_url=os.environ.get("FIRSTOCK_REST_URL") or None,
        tokens=["NSE:26000", "NSE:2885"],
    )
    client.on_quote = show_quote
    client.on_order_update = show_order
    client.on_position_update = show_position
    try:
        client.run_forever()
    except FirstockError as error:
        print(f"Gave up: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
