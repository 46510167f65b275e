"""Frames that make no sense, through a real socket and straight into the parser."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstock_ws import FirstockError, FrameError, OptionGreeks, OrderUpdate, PositionUpdate, Quote
from firstock_ws.dispatch import Dispatcher, Update
from firstock_ws.feed.book import QuoteBook
from firstock_ws.feed.feed import Feed
from firstock_ws.ledger import Ledger
from firstock_ws.simulator import Simulator
from tests.faults.conftest import Fault
from tests.support import DEADLINE, KEY, wait_until
from tests.test_quote import FULL
from tests.test_updates import FILL, POSITION

# --- not understood at all ---------------------------------------------------------------------------------------

BAD_FRAMES: list[str | bytes] = [
    "hello",
    "",
    " ",
    "12",
    "-0",
    "1e999",
    "null",
    "true",
    '"text"',
    "NaN",
    "{}",
    "[]",
    "[1]",
    "[[]]",
    '{"a":1}',
    '{"c_symbol":"5","i_open_price":1}',
    '{"c_symbol":["5"],"c_exch_seg":{},"i_open_price":1}',
    '{"NSE:5":7}',
    '{"NSE:5":{}}',
    '{"norenordno":null}',
    '{"norenordno":{}}',
    '{"c_symbol":"5"',
    "{'c_symbol':'5'}",
    "\ufeff{}",
    b"\xff\xfe\x00",
    b'{"c_exch_seg":"NSE","c_symbol":"5","i_open_price":1,"x":"\xc3"}',
    b'{"c_exch_seg":"NSE","c_symbol":"5","i_open_price":1,"x":"\xed\xa0\x80"}',
    "{}".encode("utf-16"),
    b"\x00",
    b"{" * 1000,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"i_open_price":' + b"9" * 5000 + b"}",
]


@pytest.mark.faults("bad-frames")
@pytest.mark.parametrize("frame", BAD_FRAMES, ids=lambda frame: repr(frame)[:20])
def test_what_is_not_understood_is_reported_and_counted(fault: Fault, sim: Simulator, frame: str | bytes) -> None:
    client, watched = fault.client(sim)
    client.connect(DEADLINE)
    sim.push(frame)
    sim.push(json.dumps(FULL))
    watched.wait("on_quote")
    (error,) = watched.wait("on_error")
    assert isinstance(error, FrameError)
    assert error.frame == (frame if isinstance(frame, bytes) else frame.encode())
    assert client.stats.unknown_frames == 1
    assert watched.of("on_close") == []
    fault.measured("each reported once, counted, and the next frame delivered")


@pytest.mark.faults("bad-frames")
@pytest.mark.parametrize("data", [json.dumps(FULL).encode(), b"", b"\x00" * 1000], ids=["json", "empty", "zeros"])
def test_a_binary_frame_is_reported(fault: Fault, sim: Simulator, data: bytes) -> None:
    client, watched = fault.client(sim)
    client.connect(DEADLINE)
    sim.push(data, binary=True)
    sim.push(json.dumps(FULL))
    watched.wait("on_quote")
    assert "binary" in str(watched.wait("on_error")[0])
    assert client.stats.unknown_frames == 1
    assert len(watched.of("on_message")) == 2, "the word on the key and the quote: a binary frame is no text"


# --- in part -----------------------------------------------------------------------------------------------------


@pytest.mark.faults("bad-frames")
def test_one_bad_instrument_does_not_cost_the_good_ones(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim)
    client.connect(DEADLINE)
    sim.push('{"NSE:1":{"i_open_price":100},"NSE:2":[],"oops":{},"NSE:3":{"i_open_price":300}}')
    assert [quote.instrument for quote in watched.wait("on_quote", 2)] == ["NSE:1", "NSE:3"]
    assert len(watched.wait("on_error")) == 1
    assert client.stats.unknown_frames == 1


WRONG_VALUES = ["abc", [], {}, True, "9" * 5000, math.inf, math.nan, 10**400, "1e999", "\ud800"]


@pytest.mark.faults("bad-frames")
@pytest.mark.parametrize("value", WRONG_VALUES, ids=lambda value: repr(value)[:10])
def test_a_field_of_the_wrong_type_is_none(fault: Fault, sim: Simulator, value: Any) -> None:
    client, watched = fault.client(sim)
    client.connect(DEADLINE)
    sim.push(json.dumps({**FULL, "i_open_price": value}))
    sim.push(json.dumps({**FILL, "qty": value}))
    sim.push(json.dumps({**POSITION, "netqty": value}))
    sim.push(json.dumps({"NFO:1": {"gamma": value}}))
    sim.push(json.dumps(FILL))
    quote = watched.wait("on_quote")[0]
    orders = watched.wait("on_order_update", 2)
    position = watched.wait("on_position_update")[0]
    assert watched.wait("on_option_greeks")[0].gamma is None
    assert (quote.open, orders[0].quantity, position.net_quantity) == (None, None, None)
    assert quote.high == 1255.0, "the rest of it is there"
    assert orders[1].quantity is not None
    errors = watched.wait("on_error", 4)
    assert all(isinstance(error, FrameError) for error in errors)
    assert client.stats.field_errors == 4
    assert client.stats.unknown_frames == 0
    fault.measured("a bad field is None, the rest of its frame delivered")


@pytest.mark.faults("bad-frames")
def test_the_last_of_duplicate_keys_counts_and_nan_is_nothing(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim)
    client.connect(DEADLINE)
    sim.push('{"c_exch_seg":"NSE","c_symbol":"5","i_open_price":NaN,"i_high_price":100,"i_high_price":200}')
    quote: Quote = watched.wait("on_quote")[0]
    assert (quote.open, quote.high) == (None, 2.0)
    assert "i_open_price" in str(watched.wait("on_error")[0])


@pytest.mark.faults("bad-frames")
def test_a_stream_of_nonsense_is_survived_and_bounded(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim, max_pending=100)
    client.connect(DEADLINE)
    for _ in range(30):
        for frame in BAD_FRAMES[:20]:
            sim.push(frame)
    sim.push(json.dumps(FULL))
    watched.wait("on_quote")
    wait_until(lambda: client.stats.unknown_frames == 600)
    assert watched.of("on_close") == []
    # A message for each of 602 frames, an error for each of 600: told, or counted as dropped.
    wait_until(
        lambda: (
            len(watched.of("on_error")) + len(watched.of("on_message")) + client.stats.notices_dropped == 602 + 600
        )
    )


@pytest.mark.faults("bad-frames", "secrets")
def test_a_frame_with_the_key_in_it_shows_it_to_nobody_but_the_user(fault: Fault, sim: Simulator) -> None:
    client, watched = fault.client(sim)
    client.connect(DEADLINE)
    for text in (KEY, f'{{"status":"failed","message":"bad jKey {KEY}, auth"}}'):
        sim.push(text)
    errors = watched.wait("on_error", 2)
    assert errors[0].frame == KEY.encode()
    assert KEY not in str(errors[0]) + str(errors[1])


# --- anything at all, into the parser ----------------------------------------------------------------------------


class Sink(Dispatcher):
    """Takes what the feed puts, and holds that it is what a user may get."""

    def __init__(self) -> None:
        super().__init__(lambda name, args: None, max_pending=10)
        self.taken = 0
        self.updates = 0

    def put(self, name: str, *args: object) -> None:
        kinds = {"on_order_update": OrderUpdate, "on_position_update": PositionUpdate}
        assert isinstance(args[0], kinds[name])
        self.taken += 1
        self.updates += 1

    def put_notice(self, name: str, *args: object) -> None:
        assert isinstance(args[0], {"on_error": FirstockError, "on_message": str}[name])
        assert "could not be handled" not in str(args[0]), "a fault of ours, which the feed has caught"
        self.taken += 1

    def put_updates(self, updates: Sequence[Update], *, more_follow: bool = False) -> None:
        for update in updates:
            assert isinstance(update, (Quote, OptionGreeks))
            update.to_dict()
            self.taken += 1
            self.updates += 1


def feed(*frames: bytes, is_text: bool = True) -> None:
    sink = Sink()
    into = Feed(QuoteBook(), sink, Ledger(sink.put, follow=True), wants_raw=lambda: False)
    for count, frame in enumerate(frames, start=1):
        sessions = list(into.handle([frame])) if is_text else []
        if not is_text:
            into.handle_binary(frame)
        assert all(isinstance(fields, dict) for fields in sessions)
        assert into.counts().frames == count
        assert sink.taken or sessions or not frame.strip(b" \t\r\n[]"), "an event or an error"


@pytest.mark.faults("parser", "bad-frames")
@pytest.mark.parametrize("real", [FULL, FILL, POSITION], ids=["quote", "order", "position"])
def test_no_single_bad_field_costs_a_whole_update(real: dict[str, Any]) -> None:
    lost = []
    named = {"c_exch_seg", "c_symbol", "norenordno", "brkname"}
    for name in set(real) - named:
        for value in [*WRONG_VALUES, -1, 0, 1e308, -math.inf, "", " ", None]:
            sink = Sink()
            into = Feed(QuoteBook(), sink, Ledger(sink.put, follow=True), wants_raw=lambda: False)
            try:
                list(into.handle([json.dumps({**real, name: value}).encode()]))
            except Exception as error:  # noqa: BLE001 - all of them are wanted at once
                lost.append(f"{name}={str(value)[:10]}: {type(error).__name__}")
            else:
                if not sink.updates:
                    lost.append(f"{name}={str(value)[:10]}")
    assert lost == []


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
REAL = [FULL, FILL, POSITION, {"NSE:2885": FULL}, {"NFO:44278": {"gamma": 0.1, "delta": 0.5}}]
# The simulator of the blocked callback draws random numbers meanwhile, and is taken for a part of the strategies.
background_random = pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
EXAMPLES = 500
ANY_MACHINE = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
"""A busy machine is slow: that is no finding."""


@background_random
@pytest.mark.slow
@pytest.mark.faults("parser")
def test_mutated_real_frames_give_events_or_errors_of_ours(fault: Fault) -> None:
    fault.log_little()

    @ANY_MACHINE
    @given(
        base=st.sampled_from([FULL, FILL, POSITION]),
        changes=st.dictionaries(st.integers(0, 60), json_values, max_size=8),
    )
    def check(base: dict[str, Any], changes: dict[int, Any]) -> None:
        names = list(base)
        mutated = {**base, **{names[index % len(names)]: value for index, value in changes.items()}}
        feed(json.dumps(mutated).encode(), json.dumps({"NSE:5": mutated, "x": mutated}).encode())

    check()
    fault.measured("{} real frames with other values in them", EXAMPLES)


@background_random
@pytest.mark.slow
@pytest.mark.faults("parser")
def test_damaged_bytes_of_real_frames_give_events_or_errors_of_ours(fault: Fault) -> None:
    fault.log_little()
    texts = [json.dumps(frame).encode() for frame in REAL]

    @ANY_MACHINE
    @given(
        st.sampled_from(texts),
        st.lists(
            st.tuples(st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=6
        ),
    )
    def check(text: bytes, damage: list[tuple[int, bytes, int]]) -> None:
        for at, bytes_put, bytes_taken in damage:
            at %= len(text) + 1
            text = text[:at] + bytes_put + text[at + bytes_taken :]
        feed(text)

    check()
    fault.measured("{} real frames with damaged bytes", EXAMPLES)


@background_random
@pytest.mark.slow
@pytest.mark.faults("parser")
def test_any_bytes_and_any_json_give_events_or_errors_of_ours(fault: Fault) -> None:
    fault.log_little()

    @ANY_MACHINE
    @given(st.binary(max_size=200), st.booleans())
    def check_bytes(data: bytes, is_text: bool) -> None:
        feed(data, is_text=is_text)

    @ANY_MACHINE
    @given(json_values)
    def check_json(value: Any) -> None:
        feed(json.dumps(value).encode(), json.dumps({"NSE:5": value, "c_symbol": value}).encode())

    check_bytes()
    check_json()
    fault.measured("{} times any bytes or any JSON", 2 * EXAMPLES)
