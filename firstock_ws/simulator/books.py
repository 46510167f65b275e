"""From orders and positions to the objects of the REST books, which have names of their own for everything."""

from __future__ import annotations

from .positions import Position, average, rupees
from .trading import OrderFrame

BookEntry = dict[str, str]


def order_entry(frame: OrderFrame, placed: str) -> BookEntry:
    """An order as the order book tells it.

    Args:
        frame: An update of the order.
        placed: When it was placed, in epoch seconds.
    """
    return {
        "orderNumber": frame["norenordno"],
        "exchange": frame["exch"],
        "token": frame["token"],
        "tradingSymbol": frame["tsym"],
        "transactionType": frame["trantype"],
        "quantity": frame["qty"],
        "price": frame["prc"],
        "priceType": frame["prctyp"],
        "product": frame["pcode"],
        "retention": frame["ret"],
        "status": frame["status"],
        # The feed says "0" where the book says nothing.
        "fillShares": "" if frame["fillshares"] == "0" else frame["fillshares"],
        "averagePrice": frame["avgprc"],
        "rejectReason": frame["rejreason"],
        "remarks": frame["remarks"],
        "orderTime": placed,
        "lotSize": frame["ls"],
        "tickSize": frame["ti"],
        "userId": frame["uid"],
    }


def position_entry(position: Position, last: int) -> BookEntry:
    """A position as the position book tells it.

    Args:
        position: The position; all of it is of today.
        last: Last traded price of its instrument, in paise.
    """
    exchange, token = position.instrument.split(":", 1)
    gain = position.net * (last - position.open_average)
    return {
        "exchange": exchange,
        "token": token,
        "tradingSymbol": position.trading_symbol,
        "product": position.product,
        "netQuantity": str(position.net),
        "netAveragePrice": rupees(position.open_average),
        "dayBuyQuantity": str(position.bought),
        "dayBuyAmount": rupees(position.buy_amount),
        "dayBuyAveragePrice": rupees(average(position.buy_amount, position.bought)),
        "daySellQuantity": str(position.sold),
        "daySellAmount": rupees(position.sell_amount),
        "daySellAveragePrice": rupees(average(position.sell_amount, position.sold)),
        "cfBuyQty": "",
        "cfBuyAmt": "",
        "cfSellQty": "",
        "cfSellAmt": "",
        "RealizedPNL": rupees(position.realised),
        "totalPNL": rupees(position.realised + gain),
        "totalMTM": rupees(gain),
        "lastTradedPrice": rupees(last),
        "uploadPrice": "0.00",
        "netUploadPrice": "0.00",
        "lotSize": "1",
        "tickSize": "0.05",
        "userId": position.user_id,
    }
