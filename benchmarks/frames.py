"""Market frames as the broker sends them, made up but repeatable: the same seed gives the same bytes."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import Any

SEED = 20_260_102
NO_VALUE = 9_223_372_036_854_775_807
"""The wire's "no value"."""
STAMP_BASE = 10**17
"""Added to a monotonic clock in nanoseconds, so that a stamp has as many digits whenever it is taken."""
STAMP_FIELD = b'"i_volume_traded_today":'
STAMP_DIGITS = 18

TICK = 5
LEVELS = 5
FIRST_TOKEN = 1_000
_IST = timezone(timedelta(hours=5, minutes=30))
_MORNING = 1_767_325_500

Body = dict[str, Any]


def tokens(count: int) -> list[str]:
    """The instruments that frames of `count` instruments are about."""
    return [f"NSE:{FIRST_TOKEN + number}" for number in range(count)]


def dump(value: object) -> bytes:
    """JSON without spaces, as the broker writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


class Market:
    """Instruments of one exchange, each on a walk of its own, with a full book of five levels a side."""

    def __init__(self, instruments: int, seed: int = SEED) -> None:
        self._rng = random.Random(seed)
        self._closes = [self._rng.randint(2_000, 80_000) * TICK for _ in range(instruments)]
        self._lasts = list(self._closes)
        self._volumes = [self._rng.randint(100_000, 9_000_000) for _ in range(instruments)]
        self._step = 0

    def __len__(self) -> int:
        return len(self._closes)

    def _trade(self, number: int) -> tuple[int, int, int]:
        """Let one instrument trade; return its last price, the quantity and the time."""
        self._step += 1
        quantity = self._rng.randint(1, 900)
        self._volumes[number] += quantity
        self._lasts[number] = max(1_000, self._lasts[number] + self._rng.randint(-4, 4) * TICK)
        return self._lasts[number], quantity, _MORNING + self._step // 2_000

    def _levels(self, last: int, direction: int) -> list[dict[str, int]]:
        levels = []
        price = last
        for _ in range(LEVELS):
            price += direction * TICK * self._rng.randint(1, 2)
            quantity = self._rng.randint(1, 20_000)
            levels.append({"price": price, "quantity": quantity, "orders": self._rng.randint(1, 90)})
        return levels

    def snapshot(self, number: int) -> Body:
        """All fields of one instrument, after a trade."""
        rng = self._rng
        last, quantity, seconds = self._trade(number)
        close, volume = self._closes[number], self._volumes[number]
        nanoseconds = rng.randint(0, 999_999_999)
        return {
            "c_exch_seg": "NSE",
            "c_symbol": str(FIRST_TOKEN + number),
            "i_last_traded_price": last,
            "i_last_trade_quantity": quantity,
            "i_last_trade_time": seconds,
            "i_average_trade_price": (last + close) // 2,
            "i_open_price": close + 3 * TICK,
            "i_high_price": max(last, close) + 40 * TICK,
            "i_low_price": min(last, close) - 40 * TICK,
            "i_closing_price": close,
            "close_price": close,
            "i_net_price_change_from_closing_price": last - close,
            "c_net_change_indicator": 43 if last >= close else 45,
            "i_volume_traded_today": volume,
            "i_total_tradevalue": volume * close,
            "i_total_buy_quantity": rng.randint(50_000, 900_000),
            "i_total_sell_quantity": rng.randint(50_000, 900_000),
            "i_open_interest": 0,
            "i_total_open_interest": 0,
            "i_lower_circuit_limit": close * 9 // 10,
            "i_upper_circuit_limit": close * 11 // 10,
            "i_yearly_low_price": close * 7 // 10,
            "i_yearly_high_price": close * 13 // 10,
            "best_buy": self._levels(last, -1),
            "best_sell": self._levels(last, 1),
            "i_buy_depth_size": LEVELS,
            "i_sell_depth_size": LEVELS,
            "i_feed_time": seconds,
            "c_exch_feed_time": datetime.fromtimestamp(seconds, _IST).strftime("%d-%b-%Y %H:%M:%S"),
            # A double's precision is all that V1 has.
            "i_seconds_since_boe": round(seconds * 1_000_000_000 + nanoseconds, -2),
            "i_usecs": nanoseconds,
        }

    def delta(self, number: int) -> Body:
        """The four fields that a trade changes, and which instrument it was."""
        last, quantity, seconds = self._trade(number)
        return {
            "c_exch_seg": "NSE",
            "c_symbol": str(FIRST_TOKEN + number),
            "i_last_traded_price": last,
            "i_last_trade_quantity": quantity,
            "i_last_trade_time": seconds,
            "i_volume_traded_today": self._volumes[number],
        }

    def quiet_option(self, number: int) -> Body:
        """A contract nobody trades: zeros, "no value" marks, and a book with holes."""
        body = self.snapshot(number)
        for name in ("i_last_trade_quantity", "i_last_trade_time", "i_volume_traded_today", "i_total_tradevalue"):
            body[name] = 0
        for name in ("i_average_trade_price", "i_open_price", "i_high_price", "i_low_price"):
            body[name] = 0
        for name in ("i_yearly_low_price", "i_yearly_high_price"):
            body[name] = NO_VALUE
        empty = {"price": 0, "quantity": 0, "orders": 0}
        body["best_buy"] = [*body["best_buy"][:1], {}, {}, empty, empty]
        body["best_sell"] = [*body["best_sell"][:2], {"price": 0, "quantity": 75, "orders": 1}, empty, {}]
        return body

    def index(self, number: int) -> Body:
        """An index: a value and its range; there are no trades, no book and no limits."""
        body = self.snapshot(number)
        kept = (
            "c_",
            "i_last_traded",
            "i_open_price",
            "i_high",
            "i_low_price",
            "i_clos",
            "close",
            "i_feed",
            "i_sec",
        )
        for name in body:
            if not name.startswith(kept):
                body[name] = 0
        for name in ("i_lower_circuit_limit", "i_upper_circuit_limit", "i_total_open_interest"):
            body[name] = NO_VALUE
        body["best_buy"], body["best_sell"] = [{} for _ in range(LEVELS)], []
        return body

    def noisy(self, number: int) -> Body:
        """Prices that went through a binary fraction on their way."""
        body = self.snapshot(number)
        for name in body:
            if name.endswith("price"):
                body[name] += 0.00000000001
        for level in (*body["best_buy"], *body["best_sell"]):
            level["price"] += 0.00000000001
        return body


def v2_frame(bodies: list[Body]) -> bytes:
    """A frame of the second generation: keyed by instrument, and the sign of the change is a text."""
    return dump(
        {
            f"{body['c_exch_seg']}:{body['c_symbol']}": {
                **body,
                "c_net_change_indicator": str(body["c_net_change_indicator"]),
            }
            for body in bodies
        }
    )
