"""Orders of the simulated users: the states they walk through, and the updates each step causes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from .history import History
from .market import IST, NANO, VIRTUAL_START, Clock
from .positions import Position, PositionFrame, average, padded, rupees

OrderFrame = dict[str, str]
Update = dict[str, object]

VIRTUAL_EVENT_NS = 1_000_137_911
#: Ended orders, and updates of each position, whose past is kept; a simulator may run for weeks.
KEPT_PASTS = 10_000


@dataclass
class Order:
    """One order; prices in paise.

    Args:
        number: The broker's order number.
        user_id: Whose it is.
        instrument: ``EXCHANGE:TOKEN``.
        trading_symbol: The instrument's trading symbol.
        side: ``B`` or ``S``.
        quantity: Shares ordered.
        price: Paise per share; for a market order the price at which it will fill.
        product: ``C``, ``I`` or ``M``.
        price_type: ``LMT``, ``MKT``, ``SL-LMT`` or ``SL-MKT``.
    """

    number: str
    user_id: str
    instrument: str
    trading_symbol: str
    side: str
    quantity: int
    price: int
    product: str
    price_type: str
    filled: int = 0
    amount: int = 0
    cancelled: int = 0
    ended: bool = False
    exchange_number: str = ""
    exchange_time: str = ""
    placed: str = ""
    last: OrderFrame = field(default_factory=dict)
    history: History[OrderFrame] = field(default_factory=History)

    @property
    def remaining(self) -> int:
        """Shares that may still fill."""
        return 0 if self.ended else self.quantity - self.filled

    def frame(self, status: str, report: str, now: int, extra: OrderFrame) -> OrderFrame:
        """The order update of a step.

        Args:
            status: State of the order.
            report: What the update reports.
            now: Epoch nanoseconds.
            extra: Fields that only this step has.
        """
        exchange, token = self.instrument.split(":", 1)
        stop = self.price_type.startswith("SL")
        market = self.price_type.endswith("MKT")
        self.last = {
            "norenordno": self.number,
            "uid": self.user_id,
            "actid": self.user_id,
            "exch": exchange,
            "token": token,
            "tsym": self.trading_symbol,
            "trantype": self.side,
            "qty": str(self.quantity),
            "prc": "0.00" if market else rupees(self.price),
            "prctyp": self.price_type,
            "trgprc": rupees(self.price) if stop else "0.00",
            "pcode": self.product,
            "ret": "DAY",
            "status": status,
            "reporttype": report,
            "fillshares": str(self.filled),
            "avgprc": rupees(average(self.amount, self.filled)),
            "rejreason": " ",
            "exchordid": self.exchange_number,
            "exch_tm": self.exchange_time,
            "cancelqty": str(self.cancelled),
            "dscqty": "0",
            "remarks": "",
            "tm": str(now // NANO),
            "ntm": str(now % NANO),
            "pp": "2",
            "ti": "0.05",
            "ls": "1",
            "mult": "1",
            "prcftr": "1.000000",
            "kidid": "1",
            "handlinst": "0",
            **extra,
        }
        self.placed = self.placed or self.last["tm"]
        self.history.add(dict(self.last))
        return self.last


class Desk:
    """The broker's books: every order and position of every user.

    Args:
        virtual_time: If true, each event is about a second after the one before, from
            2026-01-02 09:15:00 IST on; else events carry the wall clock.
        symbol_of: Returns the trading symbol of ``EXCHANGE:TOKEN``.
    """

    def __init__(self, virtual_time: bool, symbol_of: Callable[[str], str]) -> None:
        self._clock = Clock(virtual_time)
        self._symbol_of = symbol_of
        self._events = 0
        self._fills = 0
        self._orders: dict[str, Order] = {}
        self._positions: dict[tuple[str, str, str], Position] = {}
        self._frames: dict[tuple[str, str, str], PositionFrame] = {}
        self._states: dict[tuple[str, str, str], History[Position]] = {}
        self._position_updates: dict[str, History[PositionFrame]] = {}
        self._ended: deque[Order] = deque()

    def order(self, number: str) -> Order:
        """The order of that number.

        Raises:
            KeyError: There is none.
        """
        return self._orders[number]

    def orders(self, user_id: str) -> list[OrderFrame]:
        """The last update of each order of a user, oldest order first."""
        return [dict(order.last) for order in self._orders.values() if order.user_id == user_id and order.last]

    def positions(self, user_id: str) -> list[PositionFrame]:
        """The last update of each position of a user."""
        return [dict(frame) for key, frame in self._frames.items() if key[0] == user_id]

    def position_updates(self, user_id: str) -> list[PositionFrame]:
        """Every update of the positions of a user, oldest first; the oldest of many are lost."""
        updates = self._position_updates.get(user_id)
        return [dict(frame) for frame in updates.entries()] if updates else []

    def orders_seen_after(self, user_id: str, lag: float) -> list[tuple[OrderFrame, str]]:
        """The orders of a user as somebody sees them who learns everything late, newest first.

        Args:
            user_id: Whose.
            lag: Seconds.

        Returns:
            The update of each order that he saw last, and when the order was placed, in epoch seconds.
        """
        mine = [order for order in reversed(self._orders.values()) if order.user_id == user_id]
        seen = [(order.history.seen_after(lag), order.placed) for order in mine]
        return [(frame, placed) for frame, placed in seen if frame is not None]

    def positions_seen_after(self, user_id: str, lag: float) -> list[Position]:
        """The positions of a user in the same way, newest first."""
        mine = [states for key, states in reversed(self._states.items()) if key[0] == user_id]
        seen = [states.seen_after(lag) for states in mine]
        return [position for position in seen if position is not None]

    def open(
        self,
        user_id: str,
        instrument: str,
        symbol: str | None,
        side: str,
        quantity: int,
        price: int,
        product: str,
        price_type: str,
    ) -> Order:
        """Enter an order; nothing is reported before :meth:`acknowledge`.

        Args:
            user_id: Whose it is.
            instrument: ``EXCHANGE:TOKEN``.
            symbol: Trading symbol; None for that of the symbol files.
            side: ``B`` or ``S``.
            quantity: Shares, at least 1.
            price: Paise per share.
            product: ``C``, ``I`` or ``M``.
            price_type: ``LMT``, ``MKT``, ``SL-LMT`` or ``SL-MKT``.

        Raises:
            ValueError: An argument is none of these.
        """
        if side not in ("B", "S"):
            raise ValueError(f"side must be 'B' or 'S', not {side!r}")
        if quantity < 1:
            raise ValueError(f"quantity must be at least 1, not {quantity}")
        if ":" not in instrument:
            raise ValueError(f"instrument must look like EXCHANGE:TOKEN, not {instrument!r}")
        if price_type not in ("LMT", "MKT", "SL-LMT", "SL-MKT"):
            raise ValueError(f"unknown price type {price_type!r}")
        day = VIRTUAL_START if self._clock.virtual else datetime.now(IST)
        number = f"{day:%y%m%d}{len(self._orders) + 1:08d}"
        symbol = symbol or self._symbol_of(instrument)
        order = Order(number, user_id, instrument, symbol, side, quantity, price, product, price_type)
        self._orders[number] = order
        return order

    def acknowledge(self, order: Order) -> Iterator[list[Update]]:
        """Walk a new order to the exchange: the updates of each step, one list per step."""
        yield [self._report(order, "PENDING", "PendingNew")]
        yield [self._report(order, "ORDER ACK", "NewAck")]
        order.exchange_number = f"11{order.number}"
        order.exchange_time = f"{datetime.fromtimestamp(self._now() // NANO, IST):%d-%m-%Y %H:%M:%S}"
        if order.price_type.startswith("SL"):
            yield [self._report(order, "TRIGGER_PENDING", "New")]
        yield [self._report(order, "OPEN", "New")]

    def fill_in_parts(self, order: Order) -> Iterator[list[Update]]:
        """Fill what remains of an order in two parts (one, if it is a single share), one list per fill."""
        part = order.remaining // 2
        if part:
            yield self.fill(order, part, None)
        yield self.fill(order, None, None)

    def fill(self, order: Order, quantity: int | None, price: int | None) -> list[Update]:
        """Fill an order, wholly or in part.

        Args:
            order: A live order.
            quantity: Shares; None for all that remain.
            price: Paise per share; None for the order's own price.

        Returns:
            The order update and the position update that follows it.

        Raises:
            ValueError: The order has ended, or fewer shares remain.
        """
        self._require_live(order)
        quantity = order.remaining if quantity is None else quantity
        if not 1 <= quantity <= order.remaining:
            raise ValueError(f"cannot fill {quantity} of the {order.remaining} shares that remain")
        price = order.price if price is None else price
        order.filled += quantity
        order.amount += quantity * price
        order.ended = order.filled == order.quantity
        self._fills += 1
        extra = {
            "flid": str(700_000 + self._fills),
            "flqty": str(quantity),
            "flprc": rupees(price),
            "fltm": f"{datetime.fromtimestamp(self._now() // NANO, IST):%d-%m-%Y %H:%M:%S}",
        }
        report = self._report(order, "COMPLETE" if order.ended else "OPEN", "Fill", extra)
        key = (order.user_id, order.instrument, order.product)
        position = self._positions.get(key)
        if position is None:
            position = Position(order.user_id, order.instrument, order.trading_symbol, order.product)
            self._positions[key] = position
        position.fill(order.side, quantity, price)
        frame = position.frame(self._pending(key, "B"), self._pending(key, "S"), padded(self._fills))
        self._frames[key] = frame
        self._states.setdefault(key, History(KEPT_PASTS)).add(replace(position))
        self._position_updates.setdefault(order.user_id, History(KEPT_PASTS)).add(dict(frame))
        return [report, dict(frame)]

    def modify(self, order: Order, quantity: int | None, price: int | None) -> Iterator[list[Update]]:
        """Change a live order, one list of updates per step.

        Args:
            order: A live order.
            quantity: Shares, filled ones among them; None to leave it.
            price: Paise per share; None to leave it.

        Raises:
            ValueError: The order has ended, or as many shares are filled already.
        """
        self._require_live(order)
        quantity = order.quantity if quantity is None else quantity
        if quantity <= order.filled:
            raise ValueError(f"quantity must be more than the {order.filled} shares filled, not {quantity}")
        yield [self._report(order, "PENDING", "PendingReplace")]
        order.quantity = quantity
        order.price = order.price if price is None else price
        yield [self._report(order, "OPEN", "Replaced")]

    def cancel(self, order: Order) -> list[Update]:
        """Cancel what remains of an order.

        Raises:
            ValueError: The order has ended.
        """
        self._require_live(order)
        order.cancelled = order.remaining
        order.ended = True
        return [self._report(order, "CANCELED", "Canceled")]

    def reject(self, order: Order, reason: str) -> list[Update]:
        """Reject an order for a reason in words.

        Raises:
            ValueError: The order has ended.
        """
        self._require_live(order)
        order.ended = True
        return [self._report(order, "REJECTED", "Rejected", {"rejreason": reason})]

    @property
    def epoch(self) -> int:
        """Epoch seconds by the clock that stamps the updates."""
        return self._now() // NANO

    def _require_live(self, order: Order) -> None:
        if order.ended:
            raise ValueError(f"order {order.number} has ended with {order.last['status']}")

    def _now(self) -> int:
        if self._clock.virtual:
            return int(VIRTUAL_START.timestamp()) * NANO + self._events * VIRTUAL_EVENT_NS
        return self._clock.at(0)

    def _report(self, order: Order, status: str, report: str, extra: OrderFrame | None = None) -> Update:
        self._events += 1
        frame = order.frame(status, report, self._now(), extra or {})
        if order.ended:
            self._ended.append(order)
            if len(self._ended) > KEPT_PASTS:
                self._ended.popleft().history.forget()
        return dict(frame)

    def _pending(self, key: tuple[str, str, str], side: str) -> tuple[int, int]:
        live = [
            order
            for order in self._orders.values()
            if (order.user_id, order.instrument, order.product) == key and order.side == side
        ]
        return sum(o.remaining for o in live), sum(o.remaining * o.price for o in live)
