"""What the caller's threads and the event loop's thread of a simulator share."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from . import wire
from .behaviour import Behaviour
from .greeks import OptionGreeks
from .market import Clock, Instrument
from .outgoing import LiveSession
from .trading import Desk

KEPT_ACTIONS = 100_000


class World:
    """The simulated broker without its network: users, market, books, and what has been seen.

    :attr:`changed` is the one lock of the simulator and this class is its owner: every attribute here, and
    every attribute of a :class:`~.sessions.Session` that is said to be so, is read and written with it held,
    and :meth:`touch` wakes those who wait for a change. It is re-entrant, and it is never held while
    waiting for the network.

    Args:
        users: jKey by userId.
        rate: Market updates a second, over all instruments together.
        seed: Decides the whole market; None for a random one on the wall clock.
        max_sessions: Sessions that one user may have.
        behaviour: Switches for what is not known of the broker.
    """

    def __init__(
        self, users: Mapping[str, str], rate: float, seed: int | None, max_sessions: int, behaviour: Behaviour
    ) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.users: dict[str, str] = dict(users)
        self.first_user = next(iter(users))
        self.rate = rate
        self.max_sessions = max_sessions
        self.behaviour = behaviour
        self.sessions: list[LiveSession] = []
        #: Counts up whenever the set of subscribed instruments may have changed.
        self.roster = 0
        self.vanished: dict[str, list[float]] = {}
        self.refusal: tuple[int, Mapping[str, str]] | None = None
        self.frame_delay = 0.0
        self.handshakes = 0
        self.handshake_paths: list[str] = []
        self.actions: deque[str] = deque(maxlen=KEPT_ACTIONS)
        self.early_actions: deque[str] = deque(maxlen=KEPT_ACTIONS)
        self.pongs = 0
        self.close_codes: list[int] = []
        self.peak_sessions = 0
        self.seed = seed if seed is not None else random.SystemRandom().getrandbits(63)
        self.clock = Clock(virtual=seed is not None)
        self.desk = Desk(virtual_time=seed is not None)
        self.schedule = random.Random(f"{self.seed}|schedule")
        self.order_rng = random.Random(f"{self.seed}|orders")
        self._instruments: dict[str, Instrument] = {}
        self._noise: dict[str, random.Random] = {}
        self._greeks: dict[str, OptionGreeks] = {}

    def touch(self) -> None:
        """Tell every waiter that something changed."""
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Wait until a predicate holds.

        Args:
            predicate: Called with the lock held, at once and after every change.
            timeout: Seconds.
        """
        with self.changed:
            return self.changed.wait_for(predicate, timeout)

    def instrument(self, name: str) -> Instrument:
        """The true market of ``EXCHANGE:TOKEN``, opened at first use."""
        if name not in self._instruments:
            self._instruments[name] = Instrument(name, self.seed, self.clock)
            self._noise[name] = random.Random(f"{self.seed}|{name}|wire")
        return self._instruments[name]

    def option(self, name: str) -> OptionGreeks:
        """The true greeks of ``EXCHANGE:TOKEN``, opened at first use."""
        if name not in self._greeks:
            self._greeks[name] = OptionGreeks(name, self.seed)
        return self._greeks[name]

    def snapshot(self, name: str) -> wire.Body:
        """The snapshot of an instrument as it stands."""
        return wire.snapshot(self.instrument(name), self.seed)

    def advance(self, name: str) -> tuple[wire.Body, bool]:
        """Move an instrument by one step.

        Returns:
            The delta, and whether V2 leaves the exchange and the token out of it.
        """
        instrument = self.instrument(name)
        noise = self._noise[name]
        tick = instrument.advance()
        body = wire.delta(instrument, tick, noise)
        return body, noise.random() < 0.3

    def ready_sessions(self, user_id: str | None = None) -> list[LiveSession]:
        """Sessions past their success frame, of one user or of all."""
        return [s for s in self.sessions if s.ready and user_id in (None, s.user_id)]

    def subscribed(self, user_id: str | None = None) -> set[str]:
        """Instruments that live sessions of a user, or of anybody, have subscribed."""
        return {name for session in self.ready_sessions(user_id) for name in session.feed}

    def counted_sessions(self, user_id: str) -> int:
        """Sessions that count towards a user's limit, vanished ones that are not forgotten yet among them."""
        now = time.monotonic()
        ghosts = [deadline for deadline in self.vanished.get(user_id, []) if deadline > now]
        self.vanished[user_id] = ghosts
        return len(ghosts) + sum(1 for session in self.sessions if session.user_id == user_id)
