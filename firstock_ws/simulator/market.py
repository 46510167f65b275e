"""The true state of every instrument: a random walk with a five-level book around it."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

IST = timezone(timedelta(hours=5, minutes=30), "IST")
VIRTUAL_START = datetime(2026, 1, 2, 9, 15, tzinfo=IST)
VIRTUAL_STEP_NS = 250_123_457
NANO = 1_000_000_000

TICK = 5
DEPTH = 5
#: So that the books of both sides have room above nothing.
CHEAPEST = 40 * TICK
INDEX_LEVELS = {"NSE:26000": 2_514_865, "NSE:26009": 5_731_240, "BSE:1": 8_203_515}
DERIVATIVE_EXCHANGES = frozenset({"NFO", "BFO"})

Level = dict[str, int]
Value = int | str | list[Level] | None
State = dict[str, Value]

EMPTY_LEVEL: Level = {"price": 0, "quantity": 0, "orders": 0}


class Clock:
    """Time of the market.

    Args:
        virtual: If true, time starts at 2026-01-02 09:15:00 IST and moves by a fixed amount per step, so
            that a run can be repeated; else it is the wall clock.
    """

    def __init__(self, virtual: bool) -> None:
        self.virtual = virtual

    def at(self, step: int) -> int:
        """Epoch nanoseconds of a step."""
        if self.virtual:
            return int(VIRTUAL_START.timestamp()) * NANO + step * VIRTUAL_STEP_NS
        return time.time_ns()


def time_fields(nanoseconds: int) -> dict[str, Value]:
    """The four fields that tell one instant, given as epoch nanoseconds."""
    seconds = nanoseconds // NANO
    return {
        "i_feed_time": seconds,
        "c_exch_feed_time": datetime.fromtimestamp(seconds, IST).strftime("%d-%b-%Y %H:%M:%S"),
        "i_seconds_since_boe": nanoseconds,
        "i_usecs": nanoseconds % NANO,
    }


@dataclass(frozen=True)
class Tick:
    """One step of an instrument.

    Args:
        changes: Fields whose true value changed, with the new value.
        depth_before: ``best_buy`` and ``best_sell`` as they stood before the step.
    """

    changes: State
    depth_before: dict[str, list[Level]]


class Instrument:
    """The true market of one instrument, in wire names and paise.

    Args:
        name: ``EXCHANGE:TOKEN``.
        seed: Together with the name it decides the whole walk.
        clock: Gives the time of each step.
        base: Yesterday's closing price in paise; None for one that the name decides.
    """

    def __init__(self, name: str, seed: int, clock: Clock, base: int | None = None) -> None:
        self.name = name
        self.exchange, self.token = name.split(":", 1)
        self.is_index = name in INDEX_LEVELS
        self.is_derivative = self.exchange in DERIVATIVE_EXCHANGES
        self.step = 0
        self._clock = clock
        self._rng = random.Random(f"{seed}|{name}|walk")
        self._disordered = False
        self._traded_value = 0
        self.state: State = self._opening(base)

    @property
    def last(self) -> int:
        """Last traded price in paise."""
        return self._number("i_last_traded_price")

    def depth(self, side: str) -> list[Level]:
        """Levels of ``best_buy`` or ``best_sell``, best first; empty for an index."""
        levels = self.state[side]
        return levels if isinstance(levels, list) else []

    def truth(self) -> State:
        """A copy of the full state; ``None`` stands for a field that has no value here."""
        copy = dict(self.state)
        for side in ("best_buy", "best_sell"):
            copy[side] = [dict(level) for level in self.depth(side)]
        return copy

    def advance(self) -> Tick:
        """Make one step of the walk.

        Returns:
            What changed.
        """
        self.step += 1
        new: State = dict(time_fields(self._clock.at(self.step)))
        if self.is_index:
            self._move_index(new)
        else:
            self._move_traded(new)
        before = {side: self.depth(side) for side in ("best_buy", "best_sell")}
        changes: State = {field: value for field, value in new.items() if self.state[field] != value}
        self.state.update(changes)
        return Tick(changes, before)

    def _number(self, field: str) -> int:
        value = self.state[field]
        return value if isinstance(value, int) else 0

    def _opening(self, base: int | None) -> State:
        rng = self._rng
        digest = hashlib.sha256(self.name.encode()).digest()
        if base is None:
            base = 10_000 + int.from_bytes(digest[:4], "big") % 290_000 // TICK * TICK
        close = INDEX_LEVELS.get(self.name, base)
        last = close + rng.randint(-20, 20) * TICK
        now = self._clock.at(0)
        traded = not self.is_index
        volume = rng.randint(1_000, 50_000) if traded else 0
        self._traded_value = volume * last
        lower, upper = close * 9 // 10 // TICK * TICK, close * 11 // 10 // TICK * TICK
        state: State = {
            "c_exch_seg": self.exchange,
            "c_symbol": self.token,
            "i_last_traded_price": last,
            "i_last_trade_quantity": rng.randint(1, 500) if traded else 0,
            "i_last_trade_time": now // NANO if traded else 0,
            "i_average_trade_price": last if traded else 0,
            "i_open_price": last,
            "i_high_price": last,
            "i_low_price": last,
            "i_closing_price": close,
            "close_price": close,
            "i_net_price_change_from_closing_price": last - close if traded else 0,
            "c_net_change_indicator": 43 if last >= close else 45,
            "i_volume_traded_today": volume,
            "i_total_tradevalue": self._traded_value,
            "i_total_buy_quantity": rng.randint(50_000, 900_000) if traded else 0,
            "i_total_sell_quantity": rng.randint(50_000, 900_000) if traded else 0,
            "i_open_interest": rng.randint(1_000, 90_000) * 25 if self.is_derivative else 0,
            "i_total_open_interest": rng.randint(90_000, 900_000) * 25 if self.is_derivative else None,
            "i_lower_circuit_limit": lower if traded else None,
            "i_upper_circuit_limit": upper if traded else None,
            "i_yearly_low_price": None if self.is_derivative else close * 7 // 10 // TICK * TICK,
            "i_yearly_high_price": None if self.is_derivative else close * 13 // 10 // TICK * TICK,
            "best_buy": self._levels(last, -1) if traded else [],
            "best_sell": self._levels(last, 1) if traded else [],
            "i_buy_depth_size": DEPTH if traded else 0,
            "i_sell_depth_size": DEPTH if traded else 0,
        }
        state.update(time_fields(now))
        return state

    def _levels(self, last: int, direction: int) -> list[Level]:
        rng = self._rng
        price = last
        levels: list[Level] = []
        for _ in range(DEPTH):
            price += direction * TICK * rng.randint(1, 2)
            quantity = rng.randint(1, 4_000)
            levels.append({"price": price, "quantity": quantity, "orders": rng.randint(1, min(quantity, 40))})
        return levels

    def _move_index(self, new: State) -> None:
        last = self.last
        if self._rng.random() < 0.8:
            last += self._rng.randint(-40, 40) * TICK
        self._prices(new, last)

    def _prices(self, new: State, last: int) -> None:
        close = self._number("i_closing_price")
        new["i_last_traded_price"] = last
        new["i_high_price"] = max(self._number("i_high_price"), last)
        new["i_low_price"] = min(self._number("i_low_price"), last)
        new["c_net_change_indicator"] = 43 if last >= close else 45

    def _move_traded(self, new: State) -> None:
        rng = self._rng
        last = self.last
        if rng.random() < 0.8:
            last += rng.choice((-2, -1, -1, 0, 0, 1, 1, 2)) * TICK
            # Room for the whole book inside the circuit limits.
            margin = 2 * DEPTH * TICK
            floor = self._number("i_lower_circuit_limit") + margin
            ceiling = self._number("i_upper_circuit_limit") - margin
            self._trade(new, min(max(last, floor), ceiling))
        for field in ("i_total_buy_quantity", "i_total_sell_quantity"):
            new[field] = max(1_000, self._number(field) + rng.randint(-300, 300))
        self._move_depth(new, moved=new.get("i_last_traded_price", last) != self.last)

    def _trade(self, new: State, last: int) -> None:
        rng = self._rng
        quantity = rng.randint(1, 500)
        volume = self._number("i_volume_traded_today") + quantity
        self._traded_value += quantity * last
        self._prices(new, last)
        new["i_last_trade_quantity"] = quantity
        new["i_last_trade_time"] = new["i_feed_time"]
        new["i_volume_traded_today"] = volume
        new["i_total_tradevalue"] = self._traded_value
        new["i_average_trade_price"] = self._traded_value // volume
        new["i_net_price_change_from_closing_price"] = last - self._number("i_closing_price")
        if self.is_derivative and rng.random() < 0.3:
            change = rng.randint(-20, 25) * 25
            new["i_open_interest"] = max(25, self._number("i_open_interest") + change)
            new["i_total_open_interest"] = max(25, self._number("i_total_open_interest") + change)

    def _move_depth(self, new: State, moved: bool) -> None:
        rng = self._rng
        last = new.get("i_last_traded_price", self.last)
        rebuild = moved or self._disordered
        self._disordered = False
        for side, direction in (("best_buy", -1), ("best_sell", 1)):
            if rebuild and isinstance(last, int):
                levels = self._levels(last, direction)
            else:
                levels = [dict(level) for level in self.depth(side)]
                for level in levels:
                    if level["quantity"] and rng.random() < 0.3:
                        level["quantity"] = rng.randint(1, 4_000)
                        level["orders"] = min(level["quantity"], level["orders"] + rng.randint(0, 2))
            if rng.random() < 0.03:
                levels[-1] = dict(EMPTY_LEVEL)
                self._disordered = True
            elif rng.random() < 0.01:
                levels[0], levels[1] = levels[1], levels[0]
                self._disordered = True
            new[side] = levels
            size = "i_buy_depth_size" if side == "best_buy" else "i_sell_depth_size"
            new[size] = sum(1 for level in levels if level["quantity"])
