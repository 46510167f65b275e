"""What the caller's threads and the event loop's thread of a simulator share."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import wire
from .behaviour import Behaviour
from .gate import Gate
from .greeks import OptionGreeks
from .market import Clock, Instrument
from .outgoing import LiveSession
from .symbols import SymbolFiles
from .trading import Desk

KEPT_ACTIONS = 100_000


@dataclass(frozen=True)
class Refusal:
    """What every REST call is answered; nothing at all if ``status`` is None."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Spoilt:
    """How a symbol file is served instead of well."""

    status: int
    body: bytes | None
    """None for the file itself."""
    cut: bool
    tells_length: bool


@dataclass
class RestLine:
    """How the REST side is at the moment, and what it was asked."""

    refusal: Refusal | None = None
    hushed: bool = False
    pause: float = 0.0
    requests: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_ACTIONS))
    #: By the name of the file.
    spoilt: dict[str, Spoilt] = field(default_factory=dict)
    #: Statuses of the answers to those who asked for symbol files.
    symbol_statuses: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT_ACTIONS))

    def behave(self) -> None:
        """Answer at once again."""
        self.refusal, self.hushed, self.pause = None, False, 0.0
        self.spoilt.clear()


class World:
    """The simulated broker without its network: users, market, books, and what has been seen.

    :attr:`lock` is the one lock of the simulator and this class is its owner: every attribute here, and
    every attribute of a :class:`~.sessions.Session` that is said to be so, is read and written with it held,
    and :meth:`touch` wakes those who wait for a change. It is re-entrant, and it is never held while
    waiting for the network.

    Args:
        users: jKey by userId.
        rate: Market updates a second, over all instruments together.
        seed: Decides the whole market; None for a random one on the wall clock.
        max_sessions: Sessions that one user may have.
        behaviour: Switches for what is not known of the broker.
        passwords: Plain passwords by userId; a user without one may log in with any.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        rate: float,
        seed: int | None,
        max_sessions: int,
        behaviour: Behaviour,
        passwords: Mapping[str, str],
    ) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.users: dict[str, str] = dict(users)
        # Whoever ever had a key can log in for another; an empty text stands for any password.
        self._digests = dict.fromkeys(users, "")
        self._digests.update({u: hashlib.sha256(word.encode()).hexdigest() for u, word in passwords.items()})
        self.first_user = next(iter(users))
        self.rate = rate
        self.max_sessions = max_sessions
        self.behaviour = behaviour
        self.sessions: list[LiveSession] = []
        #: Counts up whenever the set of subscribed instruments may have changed.
        self.roster = 0
        self.vanished: dict[str, list[float]] = {}
        self.refusal: tuple[int, Mapping[str, str]] | None = None
        self.rest = RestLine()
        self.gate = Gate()
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
        self.files = SymbolFiles(self.clock)
        self.desk = Desk(seed is not None, self.files.trading_symbol)
        self.schedule = random.Random(f"{self.seed}|schedule")
        self.order_rng = random.Random(f"{self.seed}|orders")
        self._instruments: dict[str, Instrument] = {}
        self._noise: dict[str, random.Random] = {}
        self._greeks: dict[str, OptionGreeks] = {}

    def touch(self) -> None:
        """Tell every waiter that something changed."""
        with self.lock:
            self.changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Wait until a predicate holds.

        Args:
            predicate: Called with the lock held, at once and after every change.
            timeout: Seconds.
        """
        with self.lock:
            return self.changed.wait_for(predicate, timeout)

    def set_key(self, user_id: str, key: str) -> None:
        """Give a user, known or new, another jKey."""
        self.users[user_id] = key
        self._digests.setdefault(user_id, "")

    def digest_of(self, user_id: str) -> tuple[bool, str]:
        """Whether a user is known, and the SHA-256 of his password in hex; empty if any will do."""
        return user_id in self._digests, self._digests.get(user_id, "")

    def instrument(self, name: str) -> Instrument:
        """The true market of ``EXCHANGE:TOKEN``, opened at first use."""
        if name not in self._instruments:
            base = self.files.opening_price(name)
            self._instruments[name] = Instrument(name, self.seed, self.clock, base)
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
