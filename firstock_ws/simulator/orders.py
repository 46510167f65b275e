"""Takes the updates of the books to the sessions, and places orders now and then by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator

from . import wire
from .market import INDEX_LEVELS
from .state import World
from .trading import Order, Update

logger = logging.getLogger("firstock_ws.simulator")

DEFAULT_INSTRUMENT = "NSE:2885"


def paise(rupees: float) -> int:
    """An amount of rupees in whole paise."""
    return round(rupees * 100)


class OrderWalks:
    """Moves orders and reports every step to all sessions of their user.

    Called on the event loop's thread, or on any thread while nothing is served.

    Args:
        world: The broker.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._walks: set[asyncio.Task[None]] = set()

    def place(
        self,
        user_id: str,
        instrument: str,
        side: str,
        quantity: int,
        price: float | None,
        product: str,
        price_type: str,
        trading_symbol: str | None,
        fill: bool,
        step_delay: float,
    ) -> str:
        """See :meth:`Simulator.place_order`."""
        world = self._world
        with world.lock:
            if ":" not in instrument:
                raise ValueError(f"instrument must look like EXCHANGE:TOKEN, not {instrument!r}")
            limit = world.instrument(instrument).last if price is None else paise(price)
            order = world.desk.open(
                user_id, instrument, trading_symbol, side, quantity, limit, product, price_type
            )
            steps = self._steps(order, fill)
            if step_delay > 0:
                self._report(user_id, next(steps))
                walk = asyncio.get_running_loop().create_task(self._walk(order, steps, step_delay))
                self._walks.add(walk)
                walk.add_done_callback(self._walks.discard)
            else:
                for updates in steps:
                    self._report(user_id, updates)
            return order.number

    def fill(self, number: str, quantity: int | None, price: float | None) -> None:
        """See :meth:`Simulator.fill_order`."""
        with self._world.lock:
            order = self._world.desk.order(number)
            updates = self._world.desk.fill(order, quantity, None if price is None else paise(price))
            self._report(order.user_id, updates)

    def cancel(self, number: str) -> None:
        """See :meth:`Simulator.cancel_order`."""
        with self._world.lock:
            order = self._world.desk.order(number)
            self._report(order.user_id, self._world.desk.cancel(order))

    def reject(self, number: str, reason: str) -> None:
        """See :meth:`Simulator.reject_order`."""
        with self._world.lock:
            order = self._world.desk.order(number)
            self._report(order.user_id, self._world.desk.reject(order, reason))

    def modify(self, number: str, quantity: int | None, price: float | None) -> None:
        """See :meth:`Simulator.modify_order`."""
        with self._world.lock:
            order = self._world.desk.order(number)
            for updates in self._world.desk.modify(order, quantity, None if price is None else paise(price)):
                self._report(order.user_id, updates)

    def release(self) -> None:
        """See :meth:`Simulator.release_updates`."""
        with self._world.lock:
            for user_id, data in self._world.gate.release():
                self._send(user_id, data)

    async def trade_by_itself(self, interval: float, speaking: asyncio.Event) -> None:
        """Place an order for some connected user now and then, for ever.

        Args:
            interval: Seconds between orders.
            speaking: Cleared while the server is silent; nothing is placed in that time.
        """
        world = self._world
        rng = world.order_rng
        while True:
            await asyncio.sleep(interval)
            await speaking.wait()
            with world.lock:
                users = sorted({session.user_id for session in world.ready_sessions()})
                if not users:
                    continue
                user = rng.choice(users)
                wanted = sorted(world.subscribed(user) - set(INDEX_LEVELS))
                instrument = rng.choice(wanted or [DEFAULT_INSTRUMENT])
                fate = rng.random()
                side, quantity = rng.choice("BS"), rng.randint(1, 20) * 5
                number = self.place(user, instrument, side, quantity, None, "I", "LMT", None, fate < 0.8, 0.0)
                if fate >= 0.9:
                    self.reject(number, "RED:Margin Shortfall")
                elif fate >= 0.8:
                    self.cancel(number)

    def _steps(self, order: Order, fill: bool) -> Iterator[list[Update]]:
        desk = self._world.desk
        yield from desk.acknowledge(order)
        if fill:
            yield from desk.fill_in_parts(order)

    async def _walk(self, order: Order, steps: Iterator[list[Update]], delay: float) -> None:
        while True:
            await asyncio.sleep(delay)
            with self._world.lock:
                if order.ended:
                    logger.debug("order %s ended before its walk did", order.number)
                    return
                updates = next(steps, None)
                if updates is None:
                    return
                self._report(order.user_id, updates)

    def _report(self, user_id: str, updates: Iterable[Update]) -> None:
        for update in updates:
            data = wire.dump(update)
            if self._world.gate.passes(user_id, data):
                self._send(user_id, data)
        self._world.touch()

    def _send(self, user_id: str, data: bytes) -> None:
        for session in self._world.ready_sessions(user_id):
            session.put(data)
