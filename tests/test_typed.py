"""The fast way of decoding market frames makes of each what the long way makes, and is taken for usual ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from firstock_ws import FrameError
from firstock_ws.dispatch import Dispatcher, Update
from firstock_ws.feed import untyped
from firstock_ws.feed.feed import Feed
from firstock_ws.feed.market import TIMES, WIRE_NUMBERS
from firstock_ws.feed.merge import QuoteBook
from firstock_ws.ledger import Ledger
from firstock_ws.models import Quote
from firstock_ws.protocol import decode

pytest.importorskip("msgspec")
typed = pytest.importorskip("firstock_ws.feed.typed")

NO_VALUES = [sign * value for value in (2**63 - 1, 2**63, 9223372036854776000) for sign in (1, -1)]
ANY_MACHINE = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

LEVEL = {"price": 125185, "quantity": 10, "orders": 2}
USUAL: dict[str, Any] = {
    "c_exch_seg": "NSE",
    "c_symbol": "2885",
    **{wire: 100_000 + index for index, wire in enumerate(WIRE_NUMBERS)},
    **dict.fromkeys(TIMES, 1752205677),
    "close_price": 125000,
    "i_net_price_change_from_closing_price": 0,
    "c_net_change_indicator": 43,
    "best_buy": [LEVEL] * 5,
    "best_sell": [LEVEL] * 5,
    "i_buy_depth_size": 5,
    "i_sell_depth_size": 5,
    "c_exch_feed_time": "11-Jul-2025 09:17:58",
    "i_seconds_since_boe": 1752205678123456800,
    "i_usecs": 123456789,
}
USUAL["i_closing_price"] = USUAL["close_price"]
INDEX = {
    **USUAL,
    **dict.fromkeys(("i_last_trade_time", "i_average_trade_price", "i_lower_circuit_limit"), 0),
    "i_total_open_interest": 2**63 - 1,
    "i_total_buy_quantity": 9223372036854776000,
    "best_buy": [{"price": 0, "quantity": 0, "orders": 0}] * 5,
    "best_sell": [],
}
OPTION = {
    **USUAL,
    "i_last_traded_price": 125190.00000000001,
    "best_buy": [LEVEL, {}, {}, {}, {}],
    "best_sell": [{}],
}
DELTA = {"c_exch_seg": "NSE", "c_symbol": "2885", "i_last_traded_price": 125195, "i_volume_traded_today": 0}


# --- the usual goes the fast way ---------------------------------------------------------------------------------


def keyed(*fields: dict[str, Any]) -> dict[str, Any]:
    """Return a V2 frame of one instrument for each of `fields`."""
    own = ("c_exch_seg", "c_symbol")
    return {
        f"NSE:{number}": {name: value for name, value in one.items() if name not in own}
        for number, one in enumerate(fields, start=1)
    }


@pytest.mark.parametrize(
    ("frame", "plain"),
    [
        pytest.param(USUAL, [True], id="full"),
        pytest.param(DELTA, [True], id="delta"),
        pytest.param({"c_exch_seg": "NSE", "c_symbol": "2885"}, [True], id="nothing new"),
        pytest.param(keyed(USUAL, DELTA, INDEX), [True, True, False], id="V2 of three"),
        pytest.param(keyed(USUAL), [True], id="V2 of one"),
        pytest.param(INDEX, [False], id="index"),
        pytest.param(OPTION, [False], id="option"),
        pytest.param({**USUAL, "i_open_interest": None, "best_buy": None}, [True], id="nulls"),
        pytest.param({**USUAL, "c_net_change_indicator": "+", "i_new": {"x": [1]}}, [True], id="unknown fields"),
        pytest.param({**USUAL, "status": "success"}, [True], id="status"),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["tight", "spaced"])
def test_usual_frames_are_read_the_fast_way(
    frame: dict[str, Any], plain: list[bool], separators: tuple[str, str]
) -> None:
    entries = typed.read_frame(json.dumps(frame, separators=separators).encode())
    assert entries is not None
    assert [entry[2] for entry in entries] == plain
    assert all(isinstance(json.loads(entry[3]), dict) for entry in entries)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b"[]",
        b"1",
        b'"a"',
        b'{"status":"success","message":"Authentication successful"}',
        b'{"norenordno":"1","c_symbol":"5","c_exch_seg":"NSE","i_open_price":1}',
        b'{"brkname":"1","c_symbol":"5","c_exch_seg":"NSE","i_open_price":1}',
        b'{"NSE:5":{"gamma":1,"i_open_price":1}}',
        b'{"NSE:5":{"i_open_price":1},"oops":{"i_open_price":1}}',
        b'[{"c_symbol":"5","c_exch_seg":"NSE","i_open_price":1}]',
        '{"c_symbol":"5","c_exch_seg":"NSE","i_open_price":1,"x":"\u20b9"}'.encode(),
        b'{"c_symbol":"5","c_exch_seg":"NSE","i_open_price":1,"x":' + b"9" * 5_000 + b"}",
        b'{"NSE:5":{"i_open_price":1,"x":' + b"9" * 5_000 + b"}}",
        b'{"c_symbol":"5","c_exch_seg":"NSE","i_open_price":1,"x":' + b"[" * 100_000,
    ],
    ids=lambda frame: repr(frame)[2:40],
)
def test_unusual_frames_are_left_to_the_long_way(frame: bytes) -> None:
    assert typed.read_frame(frame) is None


# --- all ways make the same of anything -----------------------------------------------------------------------


class Recorder(Dispatcher):
    """Writes down what a feed puts, in its order: what of, and all that it says."""

    def __init__(self) -> None:
        super().__init__(lambda name, args: None, max_pending=10)
        self.events: list[tuple[str, str]] = []

    def put(self, name: str, *args: object) -> None:
        self.events.append((name, repr(args)))

    def put_notice(self, name: str, *args: object) -> None:
        frame = args[0].frame if isinstance(args[0], FrameError) else None
        self.events.append((name, f"{args} {frame!r}"))

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def by_name(self) -> dict[str, list[str]]:
        """What was put, in its order, but for how different kinds of it follow each other."""
        names = dict.fromkeys(self.names())
        return {name: [said for of, said in self.events if of == name] for name in sorted(names)}

    def put_updates(self, updates: Sequence[Update], *, more_follow: bool = False) -> None:
        for update in updates:
            said = [update.to_dict()]
            if isinstance(update, Quote):
                said += [sorted(update.changed), update.raw, update]
            self.events.append((type(update).__name__, repr(said)))


def fed(batches: Iterable[list[bytes]], read_frame: Any, wants_raw: bool = False) -> list[Any]:
    """Return all that a feed says of `batches`, and of what it has counted."""
    recorder, book = Recorder(), QuoteBook()
    ledger = Ledger(recorder.put, follow=True)
    feed = Feed(book, recorder, ledger, wants_raw=lambda: wants_raw)
    feed._read_frame = read_frame
    sessions = [list(feed.handle(batch)) for batch in batches]
    quotes = {name: repr(quote.to_dict()) for name, quote in book.view.items()}
    # Within a frame, one way tells of the errors as they come and the other of all of them first.
    return [recorder.by_name(), sessions, feed.counts()._replace(last_frame_at=None), quotes]


def check_same(*batches: list[bytes], wants_raw: bool = False) -> None:
    long_way = fed(batches, lambda frame: None, wants_raw)
    assert fed(batches, typed.read_frame, wants_raw) == long_way
    assert fed(batches, untyped.read_frame, wants_raw) == long_way


integers = st.integers(1, 200_000) | st.sampled_from([0, 1, 2**31, 2**62, 2**63 - 2])
odd_numbers = (
    st.sampled_from(
        [*NO_VALUES, *map(float, NO_VALUES), 2**63 + 1, -(2**63) - 1, 2**64, 10**30, -(10**30), 10**400]
    )
    | st.sampled_from([0.0, -0.0, 0.3, -0.3, 0.5, 1.5, 1e-9, 1e18, 1e19, 1e300])
    | st.integers(-1000, -1)
    | st.builds(lambda number, noise: number + noise, st.integers(-5, 200_000), st.floats(-1e-6, 1e-6))
    | st.none()
)
junk = (
    st.booleans()
    | st.sampled_from(["", " ", "7", "007", " 7 ", "abc", "1e3", "0x1", [], [1], {}, {"price": 1}])
    | st.floats()
    | st.text(max_size=3)
)
values = st.one_of(integers, integers, integers, odd_numbers, odd_numbers, junk)
tame_values = st.one_of(integers, integers, odd_numbers)


def levels_of(number: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    full = st.fixed_dictionaries(dict.fromkeys(LEVEL, number))
    part = st.fixed_dictionaries({}, optional=dict.fromkeys((*LEVEL, "x"), number))
    zeros = st.sampled_from(
        [
            {"price": 0, "quantity": 0, "orders": 0},
            {"price": 0, "quantity": 7, "orders": 1},
            {"price": 0, "quantity": 0},
            {},
        ]
    )
    return st.lists(st.one_of(full, full, part, zeros, odd), max_size=7)


def market_fields(wild: bool) -> st.SearchStrategy[dict[str, Any]]:
    number = values if wild else tame_values
    some = st.lists(st.none() | junk | st.just({"price": [1]}), max_size=60) if wild else st.nothing()
    levels = levels_of(number, st.none() | junk if wild else st.just({})) | some
    times = st.sampled_from(["11-Jul-2025 09:17:58", "11-Jul-2025 09:17:59", " 11-07-2025 09:17:58 "])
    bad_times = st.sampled_from(["", " ", "0", "31-Feb-2025 1:1:1", "1-1-1 1:1:1", "9" * 30, "-", "1752205677"])
    exchange = st.sampled_from(["NSE", "NSE", "NFO"])
    optional: dict[str, Any] = {
        **dict.fromkeys(WIRE_NUMBERS, number),
        "close_price": number,
        "best_buy": levels,
        "best_sell": levels,
        "c_exch_feed_time": st.one_of(times, bad_times, st.none(), junk) if wild else times | bad_times,
        "i_usecs": number,
        "new_field": number,
        "status": st.just("success"),
    }
    own: dict[str, Any] = {"c_exch_seg": exchange, "c_symbol": st.sampled_from(["1", "2"])}
    if wild:
        odd_names = st.sampled_from(["", " ", " NSE", "1 ", "a b", "a:b", "\u20b9", 5, 0, None, True, [], 1.0])
        optional |= {name: st.one_of(strategy, odd_names) for name, strategy in own.items()}
        optional |= dict.fromkeys(("norenordno", "brkname", "gamma"), values)
        own = {}
    return st.fixed_dictionaries(own, optional=optional)


def wire_frames(wild: bool) -> st.SearchStrategy[Any]:
    flat = market_fields(wild)
    names = ["NSE:1", "NSE:2", "NFO:1"]
    if wild:
        names += ["x", "NSE: 1", "a:b:c", "NSE:5 ", ":1", "nse:1"]
    inside: st.SearchStrategy[Any] = flat if not wild else st.one_of(flat, flat, flat, junk)
    return flat | st.dictionaries(st.sampled_from(names), inside, min_size=1, max_size=3)


frames = st.one_of(wire_frames(False), wire_frames(False), wire_frames(True))
batches = st.lists(st.lists(frames, max_size=4), min_size=1, max_size=3)


@ANY_MACHINE
@given(batches, st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
# Nothing in it, though by a rounding or a mark of "no value" it takes a look to see that.
@example([[USUAL, {**DELTA, "best_buy": [{"price": 0.3, "quantity": 0, "orders": 0}]}]], False, (",", ":"))
@example([[USUAL, {**DELTA, "best_buy": [{"price": 0, "quantity": 0.0, "orders": 2**63}]}]], False, (",", ":"))
@example([[{**DELTA, "x": int("9" * 4_000)}]], False, (",", ":"))
def test_all_ways_say_the_same(sent: list[list[Any]], wants_raw: bool, separators: tuple[str, str]) -> None:
    texts = [[json.dumps(frame, separators=separators).encode() for frame in batch] for batch in sent]
    check_same(*texts, wants_raw=wants_raw)


@ANY_MACHINE
@given(
    st.lists(st.sampled_from([USUAL, DELTA, INDEX, OPTION, keyed(USUAL, DELTA)]), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4),
)
def test_all_ways_say_the_same_of_damaged_frames(
    sent: list[dict[str, Any]], damage: list[tuple[int, bytes, int]]
) -> None:
    texts = [json.dumps(frame).encode() for frame in sent]
    for number, (at, put, taken) in enumerate(damage):
        text = texts[number % len(texts)]
        at %= len(text) + 1
        texts[number % len(texts)] = text[:at] + put + text[at + taken :]
    check_same(texts)


@pytest.mark.parametrize(
    "text",
    [
        rb'"x":"\q"',
        b'"x":"a\x01b"',
        rb'"x":"\ud800"',
        b'"x":01',
        b'"x":1.',
        b'"x":NaN',
        b'"x":1e999',
        b'"x":' + b"9" * 5_000,
        b'"x":' + b"[" * 300 + b"]" * 300,
        b'"i_high_price":18446744073709551616',
        b'"i_high_price":1e400',
        b'"i_high_price":' + b"9" * 5_000,
        rb'"i_high\u005fprice":300',
        b'"i_high_price":1,"i_high_price":2',
        b'"i_high_price":"x","i_high_price":2',
        b'"c_symbol":null',
        b'"x":"\x7f"',
        b'"best_buy":[{"price":1,"price":2,"quantity":1,"orders":1}]',
    ],
    ids=lambda text: repr(text)[2:30],
)
def test_all_ways_say_the_same_of_odd_json(text: bytes) -> None:
    flat = b'{"c_exch_seg":"NSE","c_symbol":"5","i_open_price":100,' + text + b"}"
    check_same([flat], [flat], [b'{"NSE:6":' + flat + b',"NSE:7":{"i_open_price":1}}'])
    check_same([b'{"NSE:6":' + flat + b',"NSE:6":{"i_open_price":1},"NSE:7":' + flat + b"}"])


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("value", [10**30, "x"], ids=["known to the fast way", "left to the long way"])
def test_an_error_comes_after_the_quotes_of_earlier_frames(fast: bool, value: Any) -> None:
    recorder = Recorder()
    feed = Feed(QuoteBook(), recorder, Ledger(recorder.put, follow=True), wants_raw=lambda: False, fast=fast)
    batch = [USUAL, DELTA, {**DELTA, "i_open_price": value}, USUAL]
    list(feed.handle([json.dumps(frame).encode() for frame in batch]))
    assert recorder.names() == ["Quote", "Quote", "on_error", "Quote", "Quote"]


def test_a_quote_shows_the_frame_it_came_from() -> None:
    text = json.dumps(keyed(USUAL, OPTION)).encode()
    book, recorder = QuoteBook(), Recorder()
    feed = Feed(book, recorder, Ledger(recorder.put, follow=True), wants_raw=lambda: False)
    list(feed.handle([text]))
    message: Any = decode(text)
    assert {name: quote.raw for name, quote in book.view.items()} == message
