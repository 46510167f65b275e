"""The simulator that tests and demonstrations hold in their hands."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from .behaviour import Behaviour
from .faults import Faults
from .observing import Observing
from .positions import PositionFrame
from .rest_faults import RestFaults
from .state import World
from .trading import OrderFrame

DEFAULT_USERS = {"AB1234": "secret"}


class Simulator(Observing, Faults, RestFaults):
    """A Firstock broker on this machine: WebSocket server, REST server, market and order books.

    Use it as a context manager, or call `start` and `stop`. It serves from daemon threads of
    its own. Script methods may be called from any thread; each is carried out on the server's thread, in
    the order of the calls, and returns when it is done. All state that both sides touch is behind one lock,
    ``World.lock``, owned by the `World` that this object holds. A predicate of
    `wait_for` runs with that lock held: it may look at anything here, but must not call a script
    method.

    With a ``seed`` the market is the same in every run: each instrument's frames depend only on the seed,
    the instrument and the number of steps it made, the time fields too (a virtual clock that starts at
    2026-01-02 09:15:00 IST). Without one it is random and on the wall clock.

    Over REST it also serves symbol files: what trades, by name, with contracts that expire after its own clock's
    day. They depend on that day alone.

    Args:
        users: jKey by userId; the first one is `user_id`.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one. A restart uses the same port again.
        rest_port: The same for the REST side.
        passwords: Plain passwords by userId, for the login call; a user without one may log in with any.
        rate: Market updates a second, over all subscribed instruments together; 0 for snapshots only.
        order_interval: Seconds between orders that the simulator places by itself for a connected user;
            None for none.
        seed: See above.
        ssl_context: A server-side context; the URLs are ``wss://`` then.
        ping_interval: Seconds between protocol pings of a session; None for none.
        ping_timeout: Seconds that a client has to answer a ping before it is dropped.
        max_sessions: Sessions that one user may have at a time.
        behaviour: Switches for what is not known of the broker.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        rest_port: int = 0,
        passwords: Mapping[str, str] | None = None,
        rate: float = 20.0,
        order_interval: float | None = 5.0,
        seed: int | None = None,
        ssl_context: ssl.SSLContext | None = None,
        ping_interval: float | None = 5.0,
        ping_timeout: float = 10.0,
        max_sessions: int = 3,
        behaviour: Behaviour | None = None,
    ) -> None:
        users = dict(DEFAULT_USERS if users is None else users)
        if not users:
            raise ValueError("a simulator needs at least one user")
        world = World(users, rate, seed, max_sessions, behaviour or Behaviour(), passwords or {})
        super().__init__(world, host, port, rest_port, order_interval, ping_interval, ping_timeout, ssl_context)

    def start(self) -> Simulator:
        """Listen and serve; no effect if it does already.

        Raises:
            OSError: The port cannot be had.
        """
        self._launch()
        return self

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def wait_for(self, predicate: Callable[[Simulator], bool], timeout: float = 5.0) -> bool:
        """Wait until a predicate of this simulator holds; it is looked at again after every change.

        Args:
            predicate: Called with the lock held: it must not call a script method.
            timeout: Seconds.

        Returns:
            Whether it came to hold.
        """
        return self._world.wait_for(lambda: predicate(self), timeout)

    @property
    def url(self) -> str:
        """Address of the first generation, without a query."""
        return self._address("ws", self.port, "/ws")

    @property
    def url_v2(self) -> str:
        """Address of the second generation, without a query."""
        return self._address("ws", self.port, "/V2/ws")

    @property
    def user_id(self) -> str:
        """The first user."""
        return self._world.first_user

    @property
    def jkey(self) -> str:
        """The first user's key that works now; empty after it expired without a new one."""
        with self._world.lock:
            return self._world.users.get(self._world.first_user, "")

    @property
    def behaviour(self) -> Behaviour:
        """The switches; assign a changed copy to change what happens next."""
        with self._world.lock:
            return self._world.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        with self._world.lock:
            self._world.behaviour = behaviour
            self._world.touch()

    @property
    def rate(self) -> float:
        """Market updates a second; may be assigned while it runs."""
        with self._world.lock:
            return self._world.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        def change() -> None:
            self._world.rate = rate
            if self._broker is not None:
                self._broker.feed.stir()

        self._call(change)

    # Market

    def truth(self, instrument: str) -> dict[str, Any]:
        """The true full state of ``EXCHANGE:TOKEN`` in wire names and paise.

        ``None`` stands for a field that has no value for this instrument; times are exact, and
        ``c_net_change_indicator`` is an int.
        """
        with self._world.lock:
            return self._world.instrument(instrument).truth()

    def greeks(self, instrument: str) -> dict[str, float]:
        """The true greeks of ``EXCHANGE:TOKEN``, before ``behaviour.greeks_scale``."""
        with self._world.lock:
            return dict(self._world.option(instrument).values)

    def tick(self, *instruments: str, count: int = 1) -> None:
        """Move instruments by hand, with no regard to the rate.

        Args:
            instruments: Each ``EXCHANGE:TOKEN``; they move together (one V2 frame). None given: every
                subscribed one, greeks too.
            count: Steps.
        """

        def move() -> None:
            broker = self._require_broker()
            for _ in range(count):
                broker.feed.beat([("feed", name) for name in instruments] or list(broker.feed.subjects()))

        self._call(move)

    # Orders

    def place_order(
        self,
        instrument: str,
        side: str = "B",
        quantity: int = 50,
        price: float | None = None,
        *,
        user_id: str | None = None,
        product: str = "I",
        price_type: str = "LMT",
        trading_symbol: str | None = None,
        fill: bool = True,
        step_delay: float = 0.0,
    ) -> str:
        """Place an order and walk it through its states; every session of the user sees each step.

        Args:
            instrument: ``EXCHANGE:TOKEN``.
            side: ``B`` or ``S``.
            quantity: Shares.
            price: Rupees; None for the last traded price.
            user_id: Whose order; None for the first user.
            product: ``C``, ``I`` or ``M``.
            price_type: ``LMT``, ``MKT``, ``SL-LMT`` or ``SL-MKT``.
            trading_symbol: None for that of the symbol files.
            fill: Fill it, in two parts; else it stays open.
            step_delay: Seconds between the steps; 0 for all at once. The call returns after the first.

        Returns:
            The order number, 14 digits.

        Raises:
            ValueError: An argument is none of these.
        """
        user = user_id or self.user_id
        return self._call(
            lambda: self._orders.place(
                user, instrument, side, quantity, price, product, price_type, trading_symbol, fill, step_delay
            )
        )

    def fill_order(self, order_number: str, quantity: int | None = None, price: float | None = None) -> None:
        """Fill an open order.

        Args:
            order_number: From `place_order`.
            quantity: Shares; None for all that remain.
            price: Rupees; None for the order's own price.

        Raises:
            KeyError: No such order.
            ValueError: It has ended, or fewer shares remain.
        """
        self._call(lambda: self._orders.fill(order_number, quantity, price))

    def cancel_order(self, order_number: str) -> None:
        """Cancel what remains of an open order; raises as `fill_order` does."""
        self._call(lambda: self._orders.cancel(order_number))

    def reject_order(self, order_number: str, reason: str) -> None:
        """Reject an open order for a reason in words; raises as `fill_order` does."""
        self._call(lambda: self._orders.reject(order_number, reason))

    def modify_order(self, order_number: str, price: float | None = None, quantity: int | None = None) -> None:
        """Change an open order, in two updates: a pending one, and one with what is new.

        Args:
            order_number: From `place_order`.
            price: Rupees; None to leave it.
            quantity: Shares, filled ones among them; None to leave it.

        Raises:
            KeyError: No such order.
            ValueError: It has ended, or as many shares are filled already.
        """
        self._call(lambda: self._orders.modify(order_number, quantity, price))

    def lose_updates(self, count: int | None = None) -> None:
        """Let order and position updates get lost on connections that are well; the books have them.

        Args:
            count: So many of the next ones, whoever they are for; None for all, 0 for none any more.
        """
        if count is not None and count < 0:
            raise ValueError(f"cannot lose {count} updates")

        def change() -> None:
            self._world.gate.to_lose = count

        self._call(change)

    def hold_updates(self) -> None:
        """Keep order and position updates back until `release_updates`; the books have them."""

        def change() -> None:
            self._world.gate.holding = True

        self._call(change)

    def release_updates(self) -> None:
        """Undo `hold_updates`: what was held goes, in order, to the sessions that are live now."""
        self._call(self._orders.release)

    def order_history(self, order_number: str) -> list[OrderFrame]:
        """Every update of an order, in order, lost and held ones among them.

        Only the last one is kept of an order after which 10,000 others ended.

        Raises:
            KeyError: No such order.
        """
        with self._world.lock:
            return [dict(frame) for frame in self._world.desk.order(order_number).history.entries()]

    def position_history(self, user_id: str | None = None) -> list[PositionFrame]:
        """The last 10,000 updates of the positions of a user (None: the first), lost and held ones too."""
        with self._world.lock:
            return self._world.desk.position_updates(user_id or self.user_id)

    def orders(self, user_id: str | None = None) -> list[OrderFrame]:
        """The last update of each order of a user (None: the first), oldest order first."""
        with self._world.lock:
            return self._world.desk.orders(user_id or self.user_id)

    def positions(self, user_id: str | None = None) -> list[PositionFrame]:
        """The last update of each position of a user (None: the first)."""
        with self._world.lock:
            return self._world.desk.positions(user_id or self.user_id)
