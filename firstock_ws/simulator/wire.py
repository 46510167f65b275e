"""From the true state of an instrument to the frames that the broker would send, oddities included.

Whatever is odd here costs a client nothing that merges by the documented rules: a sentinel, a null or a zero
price stands only where the true value did not change or does not exist.
"""

from __future__ import annotations

import json
import math
import random
from decimal import Decimal

from .market import DEPTH, EMPTY_LEVEL, Instrument, Level, State, Tick

Body = dict[str, object]
Number = int | float | None

AUTHENTICATED = b'{"status":"success","message":"Authentication successful"}'
UNAUTHENTICATED = b'{"status":"failed","message":"unauthenticated"}'

SENTINELS = tuple(sign * value for value in (2**63 - 1, 2**63, 9_223_372_036_854_776_000) for sign in (1, -1))
PRICE_FIELDS = (
    "i_last_traded_price",
    "i_average_trade_price",
    "i_open_price",
    "i_high_price",
    "i_low_price",
    "i_closing_price",
    "close_price",
)
# Of these an unchanged one may carry "no value" in a delta.
SILENT_FIELDS = (
    *PRICE_FIELDS,
    "i_last_trade_quantity",
    "i_last_trade_time",
    "i_volume_traded_today",
    "i_total_tradevalue",
    "i_open_interest",
    "i_total_open_interest",
    "i_lower_circuit_limit",
    "i_upper_circuit_limit",
    "i_yearly_low_price",
    "i_yearly_high_price",
)
SIDES = ("best_buy", "best_sell")


def dump(payload: object) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(payload, separators=(",", ":")).encode()


def snapshot(instrument: Instrument, seed: int) -> Body:
    """Every field of the market table, as the first frame of an instrument carries them."""
    noise = random.Random(f"{seed}|{instrument.name}|{instrument.step}|snapshot")
    body: Body = {}
    for field, value in instrument.state.items():
        if value is None:
            body[field] = noise.choice((*SENTINELS, None))
        elif field in SIDES:
            body[field] = _snapshot_depth(instrument.depth(field), noise)
        else:
            body[field] = _noisy_price(field, value, noise)
    return body


def delta(instrument: Instrument, tick: Tick, noise: random.Random) -> Body:
    """Only what a step changed, and now and then a field that says nothing.

    Args:
        instrument: The instrument after the step.
        tick: What the step changed.
        noise: The instrument's own source of oddities. It is consumed the same way whoever listens, so
            that the frames depend on nothing but the seed, the instrument and the step.
    """
    body: Body = {"c_exch_seg": instrument.exchange, "c_symbol": instrument.token}
    for field, value in tick.changes.items():
        body[field] = _noisy_price(field, value, noise)
    for side in SIDES:
        if side in tick.changes:
            pairs = zip(tick.depth_before[side], instrument.depth(side), strict=True)
            body[side] = [_level_delta(old, new, noise) for old, new in pairs]
        elif not instrument.is_index and noise.random() < 0.05:
            body[side] = [{} for _ in instrument.depth(side)]
    _add_silent_fields(body, instrument.state, noise, instrument.is_index)
    return body


def v1_frame(body: Body) -> bytes:
    """The flat object of the first generation."""
    flat = dict(body)
    instant = flat.get("i_seconds_since_boe")
    if isinstance(instant, int):
        # The first generation prints this through a double: 17 digits, zeros behind them.
        flat["i_seconds_since_boe"] = int(Decimal(repr(float(instant))))
    return dump(flat)


def v2_inner(body: Body, bare: bool) -> Body:
    """One instrument's part of a frame of the second generation.

    Args:
        body: Snapshot or delta.
        bare: Leave out the exchange and the token, which the key tells too.
    """
    inner = dict(body)
    if "c_net_change_indicator" in inner:
        inner["c_net_change_indicator"] = str(inner["c_net_change_indicator"])
    if bare:
        del inner["c_exch_seg"], inner["c_symbol"]
    return inner


def _noisy_price(field: str, value: object, noise: random.Random) -> object:
    if field in PRICE_FIELDS and isinstance(value, int) and value and noise.random() < 0.05:
        return math.nextafter(value, math.inf)
    return value


def _snapshot_depth(levels: list[Level], noise: random.Random) -> list[Level]:
    if not levels:
        forms: list[list[Level]] = [[], [{} for _ in range(DEPTH)], [dict(EMPTY_LEVEL) for _ in range(DEPTH)]]
        return noise.choice(forms)
    return [dict(level) for level in levels]


def _level_delta(old: Level, new: Level, noise: random.Random) -> dict[str, Number]:
    if old == new:
        return {} if noise.random() < 0.95 else {"price": noise.choice((None, *SENTINELS))}
    if not new["quantity"] or not old["quantity"]:
        return dict(new)
    changed: dict[str, Number] = {field: value for field, value in new.items() if old[field] != value}
    form = noise.random()
    if form < 0.4:
        return changed
    if form < 0.7 and "price" not in changed:
        return {"price": 0, "quantity": new["quantity"], **changed}
    return dict(new)


def _add_silent_fields(body: Body, state: State, noise: random.Random, is_index: bool) -> None:
    unchanged = [field for field in SILENT_FIELDS if field not in body]
    zeros = [field for field in PRICE_FIELDS if field not in body]
    if zeros and noise.random() < (0.5 if is_index else 0.03):
        for field in noise.sample(zeros, noise.randint(1, len(zeros)) if is_index else 1):
            body[field] = 0
    elif unchanged and noise.random() < 0.06:
        body[noise.choice(unchanged)] = noise.choice(SENTINELS)
    elif unchanged and noise.random() < 0.04:
        body[noise.choice(unchanged)] = None
    if is_index and state["i_last_trade_time"] == 0 and noise.random() < 0.2:
        body["i_last_trade_time"] = 0
