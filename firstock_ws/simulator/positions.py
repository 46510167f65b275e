"""Position arithmetic in exact fractions of paise, and the broker's frame of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

PositionFrame = dict[str, object]

CASH_EXCHANGES = frozenset({"NSE", "BSE"})


def rupees(paise: Fraction | int) -> str:
    """An amount of paise as text in rupees with two decimals."""
    return f"{float(paise) / 100:.2f}"


def padded(quantity: int) -> str:
    """A quantity as the position feed pads it: ``"00"``, ``"01"``, ``"-50"``."""
    return f"{quantity:02d}"


def average(amount: int, quantity: int) -> Fraction:
    """Paise per share, 0 for no shares."""
    return Fraction(amount, quantity) if quantity else Fraction(0)


@dataclass
class Position:
    """One user's position in one instrument and product.

    Args:
        user_id: Whose it is.
        instrument: ``EXCHANGE:TOKEN``.
        trading_symbol: The instrument's trading symbol.
        product: ``C``, ``I`` or ``M``.
    """

    user_id: str
    instrument: str
    trading_symbol: str
    product: str
    net: int = 0
    bought: int = 0
    sold: int = 0
    buy_amount: int = 0
    sell_amount: int = 0
    open_average: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)

    def fill(self, side: str, quantity: int, price: int) -> None:
        """Take in one fill.

        Args:
            side: ``B`` or ``S``.
            quantity: Shares filled.
            price: Paise per share.
        """
        signed = quantity if side == "B" else -quantity
        if side == "B":
            self.bought += quantity
            self.buy_amount += quantity * price
        else:
            self.sold += quantity
            self.sell_amount += quantity * price
        if self.net * signed >= 0:
            held = abs(self.net)
            self.open_average = (self.open_average * held + price * quantity) / (held + quantity)
        else:
            closed = min(quantity, abs(self.net))
            direction = 1 if self.net > 0 else -1
            self.realised += direction * closed * (price - self.open_average)
            if quantity > closed:
                self.open_average = Fraction(price)
            elif quantity == abs(self.net):
                self.open_average = Fraction(0)
        self.net += signed

    def frame(
        self, pending_buy: tuple[int, int], pending_sell: tuple[int, int], upload_time: str
    ) -> PositionFrame:
        """The position update of this position.

        Args:
            pending_buy: Quantity, and amount in paise, of the unfilled part of live buy orders.
            pending_sell: The same for sell orders.
            upload_time: Text for ``uptm``; the broker sends a number there that is no epoch.
        """
        exchange, token = self.instrument.split(":", 1)
        leg = self._leg(exchange, token, pending_buy, pending_sell, upload_time)
        if exchange not in CASH_EXCHANGES:
            return {**leg, "child_orders": []}
        outer: PositionFrame = {**leg, "exch": "EQT", "token": self.trading_symbol.removesuffix("-EQ")}
        outer["child_orders"] = [leg]
        return outer

    def _leg(
        self, exchange: str, token: str, pending_buy: tuple[int, int], pending_sell: tuple[int, int], uptm: str
    ) -> PositionFrame:
        buy_average = average(self.buy_amount, self.bought)
        sell_average = average(self.sell_amount, self.sold)
        realised = rupees(self.realised)
        return {
            "uid": self.user_id,
            "actid": self.user_id,
            "exch": exchange,
            "token": token,
            "tsym": self.trading_symbol,
            "pcode": self.product,
            "instname": "EQ" if exchange in CASH_EXCHANGES else "OPTIDX",
            "brkname": "FIRSTOCK",
            "netqty": padded(self.net),
            "buyavgprc": rupees(buy_average),
            "sellavgprc": rupees(sell_average),
            "daybuyqty": padded(self.bought),
            "daybuyamt": rupees(self.buy_amount),
            "daybuyavgprc": rupees(buy_average),
            "daysellqty": padded(self.sold),
            "daysellamt": rupees(self.sell_amount),
            "daysellavgprc": rupees(sell_average),
            "totbuyamt": rupees(self.buy_amount),
            "totsellamt": rupees(self.sell_amount),
            "totbuyavgprc": rupees(buy_average),
            "totsellavgprc": rupees(sell_average),
            "openbuyqty": padded(pending_buy[0]),
            "openbuyamt": rupees(pending_buy[1]),
            "opensellqty": padded(pending_sell[0]),
            "opensellamt": rupees(pending_sell[1]),
            # The broker's zero is a negative one.
            "rpnl": "-0.00" if float(realised) == 0 else realised,
            "upload_prc": "0.00",
            "uptm": uptm,
            "pp": "2",
            "ti": "0.05",
            "ls": "1",
            "mult": "1",
            "prcftr": "1.000000",
        }
