"""A client that lives among random faults, and every moment of it held against what the server knows.

By itself: ``python -m tests.faults.soak --seconds 7200`` (and ``--seed N`` for the same faults again).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from firstock_ws import (
    AuthenticationError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    FirstockError,
    FirstockWS,
    FrameError,
    ReconcileError,
)
from firstock_ws.simulator import Simulator
from tests.faults.witness import COUNTED, Verdict, Witness, facts
from tests.support import wait_until

USER = "AB1234"
INSTRUMENTS = ["NSE:26000", "NSE:2885", "NSE:3045", "BSE:1", "NFO:44278", *(f"NSE:{n}" for n in range(100, 130))]
SETTLE = 30.0

PRICES = {
    "i_last_traded_price": "last_price",
    "i_average_trade_price": "average_price",
    "i_open_price": "open",
    "i_high_price": "high",
    "i_low_price": "low",
    "i_closing_price": "close",
    "i_upper_circuit_limit": "upper_circuit",
    "i_yearly_low_price": "year_low",
}
NUMBERS = {
    "i_last_trade_quantity": "last_quantity",
    "i_volume_traded_today": "volume",
    "i_total_buy_quantity": "total_buy_quantity",
    "i_total_sell_quantity": "total_sell_quantity",
    "i_open_interest": "open_interest",
}


class Soak:
    """Rounds of faults and trading, each ended by a comparison of all that the client and the simulator know."""

    def __init__(
        self, chance: random.Random, sim: Simulator, client: FirstockWS, keys: list[str], verdict: Verdict
    ) -> None:
        """
        Args:
            keys: what the client's ``jkey`` function returns is the last of these.
        """
        self.random = chance
        self.sim = sim
        self.client = client
        self.keys = keys
        self.verdict = verdict
        self.witness = Witness(client, self.verdict)
        self.wanted: set[str] = set(INSTRUMENTS[:10])
        self.pushed = 0
        self.live: list[str] = []
        self.unchecked: list[str] = []

    def run(self, until: float) -> None:
        """Go on till that `time.monotonic()`, and to the end of the round that is under way then."""
        self.client.subscribe(self.wanted)
        self.client.connect(SETTLE)
        while time.monotonic() < until:
            self._round()
            self.verdict.rounds += 1
        self.verdict.reconnects += self.client.stats.connections - 1
        self.witness.may_close = True

    def _round(self) -> None:
        chosen = self.random.sample(FAULTS, self.random.choice([0, 1, 1, 2, 3]))
        with self.witness.lock:
            self.witness.may_close = any(fault.cuts for fault in chosen)
            self.witness.expected = {kind for fault in chosen for kind in fault.errors}
            if self.witness.may_close:
                # Whatever cuts the connection may also cut the next tries, or a reading of the books.
                self.witness.expected |= {ConnectError, ConnectTimeoutError, ConnectionLostError, ReconcileError}
        self.sim.rate = 300.0
        for fault in chosen:
            self.verdict.faults[fault.name] += 1
            fault.begin(self)
            for _ in range(self.random.randint(1, 6)):
                self._live_a_little()
        self._heal(chosen)
        self._compare()

    def _live_a_little(self) -> None:
        for _ in range(self.random.randint(1, 20)):
            self._push_next()
        self._trade()
        if self.random.random() < 0.3:
            name = self.random.choice(INSTRUMENTS)
            if name in self.wanted:
                self.wanted.discard(name)
                self.client.unsubscribe(name)
            else:
                self.wanted.add(name)
                self.client.subscribe(name)
        threading.Event().wait(self.random.uniform(0, 0.15))

    def _push_next(self) -> None:
        self.pushed += 1
        exchange, token = COUNTED.split(":")
        self.sim.push(json.dumps({"c_exch_seg": exchange, "c_symbol": token, "i_last_traded_price": self.pushed}))

    def _is_whole(self) -> bool:
        """Whether a frame sent now arrives, over a connection with all subscriptions."""
        # A connection that is about to be found dead still looks alive to both sides: only a frame shows.
        self._push_next()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.witness.count == self.pushed, 0.5)
        return self.witness.count == self.pushed and self.sim.subscriptions() == self.wanted

    def _trade(self) -> None:
        what = self.random.random()
        if what < 0.3 or not self.live:
            side, quantity = self.random.choice("BS"), self.random.randint(1, 50)
            name = self.random.choice(["NSE:2885", "NFO:44278"])
            number = self.sim.place_order(name, side, quantity, 100.0, fill=False)
            self.live.append(number)
            self.unchecked.append(number)
            return
        number = self.random.choice(self.live)
        last = self.sim.order_history(number)[-1]
        left = int(last["qty"]) - int(last["fillshares"])
        if what < 0.7:
            self.sim.fill_order(number, self.random.randint(1, left))
        elif what < 0.85:
            self.sim.modify_order(number, price=float(self.random.randint(90, 110)))
        else:
            self.sim.cancel_order(number)
        if self.sim.order_history(number)[-1]["status"] in ("COMPLETE", "CANCELED"):
            self.live.remove(number)

    def _heal(self, chosen: list[Fault]) -> None:
        sim = self.sim
        sim.resume()
        sim.accept()
        sim.accept_rest()
        sim.trickle(0)
        sim.slow_down(0)
        sim.lose_updates(0)
        sim.release_updates()
        for fault in chosen:
            fault.end(self)

    def _compare(self) -> None:
        """Wait until everything has calmed down, and hold the client's knowledge against the simulator's."""
        connection = 0
        try:
            wait_until(self._is_whole, SETTLE)
            connection = self.witness.connection
            self.sim.rate = 0.0
            readings = self.client.stats.reconciles
            wait_until(lambda: self.client.stats.reconciles > readings and not self._behind(), SETTLE)
            wait_until(lambda: self.client.stats.gap_since is None, SETTLE)
            wait_until(self._is_whole, SETTLE)
        except AssertionError:
            told = f"frame {self.witness.count} of {self.pushed}, orders {self._behind()}"
            differ = sorted(self.wanted ^ self.sim.subscriptions())
            state = f"subscriptions that differ {differ}; {self.client!r}, {self.client.stats}"
            self.verdict.find("lost", f"not all told within {SETTLE} s: {told}; {state}")
        if self.witness.connection != connection:
            self.verdict.find("unexplained", "a reconnect after all faults were over")
        with self.witness.lock:
            self._compare_orders()
        # The market may have moved once more after its rate was set to 0; a frame that is lost never comes.
        patience = time.monotonic() + 2.0
        while any(map(self._differences, self.wanted)) and time.monotonic() < patience:
            threading.Event().wait(0.01)
        for name in sorted(self.wanted):
            for difference in self._differences(name):
                self.verdict.find("lost", difference)
        stats = self.client.stats
        if stats.quotes_received != stats.quotes_delivered + stats.quotes_conflated + stats.quotes_waiting:
            self.verdict.find("unexplained", f"the figures do not add up: {stats}")
        if stats.callback_errors:
            self.verdict.find("unexplained", f"{stats.callback_errors} callbacks raised")

    def _behind(self) -> list[str]:
        told = self.witness.orders
        both = [
            (number, number in told and facts(told[number]), truth_of(self.sim.order_history(number)[-1]))
            for number in self.unchecked
        ]
        return [f"{number} is {known}, and should be {true}" for number, known, true in both if known != true]

    def _compare_orders(self) -> None:
        for number in self.unchecked:
            happened = [truth_of(frame) for frame in self.sim.order_history(number)]
            place = -1
            for step in self.witness.seen[number]:
                if step in happened[place + 1 :]:
                    place = happened.index(step, place + 1)
                elif step == happened[place]:
                    self.verdict.find("duplicated", f"order {number}: {step}")
                else:
                    self.verdict.find("reordered", f"order {number}: {self.witness.seen[number]}, not {happened}")
                    break
        # What has ended is settled; a frame that comes for it later counts as one of an order not placed.
        self.unchecked = [number for number in self.unchecked if number in self.live]

    def _differences(self, name: str) -> list[str]:
        quote, truth = self.client.quotes.get(name), self.sim.truth(name)
        if quote is None:
            return [f"no quote of {name}"]
        expected: dict[str, object] = {
            attribute: None if not truth[wire] else truth[wire] / 100 for wire, attribute in PRICES.items()
        }
        expected |= {attribute: truth[wire] for wire, attribute in NUMBERS.items()}
        for side, attribute in (("best_buy", "bids"), ("best_sell", "asks")):
            levels = [level for level in truth[side] or [] if level["quantity"]]
            expected[attribute] = tuple((lv["price"] / 100, lv["quantity"], lv["orders"]) for lv in levels)
        return [
            f"{name}: {attribute} is {getattr(quote, attribute)!r}, and should be {value!r}"
            for attribute, value in expected.items()
            if getattr(quote, attribute) != value
        ]


def truth_of(frame: dict[str, str]) -> tuple[Any, ...]:
    return frame["status"], int(frame["fillshares"]), float(frame["prc"])


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that goes wrong: how it begins, what it may cause, and what ends it beyond the common healing."""

    name: str
    begin: Callable[[Soak], object]
    cuts: bool = False
    errors: tuple[type[FirstockError], ...] = ()
    end: Callable[[Soak], object] = lambda soak: None


def _expire(soak: Soak) -> None:
    soak.keys.append(f"{soak.random.getrandbits(256):064x}")
    soak.sim.expire_key(new_key=soak.keys[-1])


def _garbage(soak: Soak) -> None:
    for frame in ("{", "[1, null]", '{"i_last_traded_price": 5}', '{"NSE:5": 7}', '{"who": "knows"}'):
        soak.sim.push(frame)
    soak.sim.push(b"\xff\xfe")
    soak.sim.push(b"\x00", binary=True)


def _cut_the_cable(soak: Soak) -> None:
    supervisor = soak.client._lifecycle.supervisor
    connection = supervisor and supervisor._connection
    if connection:
        connection.abort()


FAULTS = [
    Fault("close frame", lambda soak: soak.sim.drop(soak.random.choice([1000, 1001, 1011, 1012, 1013])), True),
    Fault("reset", lambda soak: soak.sim.reset(), True),
    Fault("fin", lambda soak: soak.sim.hang_up(), True),
    Fault("cable", _cut_the_cable, True),
    Fault("silence", lambda soak: soak.sim.go_silent(), True),
    Fault("refusal", lambda soak: (soak.sim.refuse(soak.random.choice([429, 502, 503])), soak.sim.reset()), True),
    Fault("deaf", lambda soak: (soak.sim.refuse(None), soak.sim.hang_up()), True),
    Fault("new key", _expire, True, (AuthenticationError,)),
    Fault("too big", lambda soak: soak.sim.push("[" + " " * 2**21 + "]"), True),
    Fault("garbage", _garbage, errors=(FrameError,)),
    Fault("lost updates", lambda soak: soak.sim.lose_updates(soak.random.choice([1, 2, 5, None]))),
    Fault("late updates", lambda soak: soak.sim.hold_updates()),
    Fault("books down", lambda soak: soak.sim.refuse_rest(503), errors=(ReconcileError,)),
    Fault("books mute", lambda soak: soak.sim.hush_rest(), errors=(ReconcileError,)),
    Fault("books cut", lambda soak: soak.sim.refuse_rest(None), errors=(ReconcileError,)),
    Fault("dribble", lambda soak: soak.sim.trickle(soak.random.choice([100, 1000]), 0.0001)),
    Fault("slow server", lambda soak: soak.sim.slow_down(0.005)),
]


DAY = 120.0
"""Seconds after which a new simulator and a new client begin: books only grow."""


def soak(seconds: float, seed: int) -> Verdict:
    """Run a soak, on simulators of its own.

    Args:
        seed: decides the faults and the trading; when each happens is the machine's affair.
    """
    verdict, chance = Verdict(), random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _one_day(min(end, time.monotonic() + DAY), chance, verdict)
    return verdict


def _one_day(until: float, chance: random.Random, verdict: Verdict) -> None:
    keys = ["0f" * 32]
    with Simulator(users={USER: keys[0]}, rate=0, order_interval=None, ping_interval=1, ping_timeout=5) as sim:
        client = FirstockWS(
            USER,
            lambda: keys[-1],
            url=chance.choice([sim.url, sim.url_v2]),
            rest_url=sim.rest_url,
            reconnect_max_delay=0.3,
            connect_timeout=3.0,
            ping_interval=1.0,
            ping_timeout=2.0,
            io_timeout=3.0,
            reconcile_interval=0.5,
            max_pending=1_000_000,
        )
        try:
            Soak(chance, sim, client, keys, verdict).run(until)
        finally:
            client.close()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("firstock-ws")]
    if left:
        verdict.find("unexplained", f"threads after close(): {left}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    arguments = parser.parse_args()
    write = sys.stdout.write
    write(f"seed {arguments.seed}\n")
    sys.stdout.flush()
    verdict = soak(arguments.seconds, arguments.seed)
    write(verdict.report(arguments.seed) + "\n")
    raise SystemExit(not verdict.clean)


if __name__ == "__main__":
    main()
