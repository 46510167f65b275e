"""The shortest useful program: prints quotes, order updates and position updates until Ctrl-C.

It uses the session of ``firstock-ws login``, at the broker or at a simulator. A simulator that nobody has logged
in to needs none: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python quickstart.py

"""

import sys

from firstock_ws import FirstockError, FirstockWS, OrderUpdate, PositionUpdate, Quote


def show_quote(quote: Quote) -> None:
    # Rupees. None is what the broker has not said yet: print() takes it, a format like {:.2f} would not.
    print("quote", quote.instrument, quote.last_price, "change", quote.change)


def show_order(order: OrderUpdate) -> None:
    print("order", order.order_number, order.side, order.quantity, order.trading_symbol, order.status)


def show_position(position: PositionUpdate) -> None:
    print("position", position.instrument, position.net_quantity, "realised", position.realised_profit)


def main() -> int:
    try:
        client = FirstockWS.from_login(tokens=["NSE:26000", "NSE:2885"])
    except FirstockError as error:
        print(error, file=sys.stderr)
        return 2
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
