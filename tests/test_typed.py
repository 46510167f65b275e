"""The fast way of decoding market frames makes of each what the long way makes, and is taken for usual ones."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from firstock_ws import FrameError
from firstock_ws.dispatch import Dispatcher, Update
from firstock_ws.feed import untyped
from firstock_ws.feed.book import _TURNS, QuoteBook
from firstock_ws.feed.feed import Feed, _read_nothing
from firstock_ws.feed.market import TIMES, Entry
from firstock_ws.ledger import Ledger
from firstock_ws.models import Quote
from firstock_ws.models.market_state import NUMBER_COUNT, STATE_NAMES
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
    **{wire: 100_000 + index for index, wire in enumerate(STATE_NAMES[:NUMBER_COUNT])},
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
        pytest.param(keyed(*[USUAL] * 12), [True] * 12, id="V2 of many"),
        pytest.param(keyed(*[USUAL] * 9, OPTION, DELTA, USUAL), [*[True] * 9, False, True, True], id="V2 of all"),
        pytest.param(keyed(DELTA, *[USUAL] * 9), [True] * 10, id="V2 of many behind a delta"),
        pytest.param(INDEX, [False], id="index"),
        pytest.param(OPTION, [False], id="option"),
        pytest.param({**USUAL, "i_open_interest": None, "best_buy": None}, [False], id="nulls"),
        pytest.param({**USUAL, "c_net_change_indicator": "+", "i_new": {"x": [1]}}, [True], id="unknown fields"),
        pytest.param({**USUAL, "status": "success"}, [True], id="status"),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["tight", "spaced"])
def test_usual_frames_are_read_the_fast_way(
    frame: dict[str, Any], plain: list[bool], separators: tuple[str, str]
) -> None:
    entries: list[Entry] = []
    assert typed.read_frames(iter([json.dumps(frame, separators=separators).encode()]), entries, 20) is None
    assert [type(update) is not tuple for _, update, _ in entries] == plain
    assert all(isinstance(raw, bytes) and isinstance(json.loads(raw), dict) for _, _, raw in entries)


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
        b'{"NSE:5":{}}',
        b'{"NSE:5":{"c_exch_seg":"NSE"}}',
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
    entries: list[Entry] = []
    assert typed.read_frames(iter([frame]), entries, 10) == frame
    assert not entries


# --- all ways make the same of anything -----------------------------------------------------------------------


class Recorder(Dispatcher):
    """Writes down what a feed puts, in its order: what of, and all that it says."""

    def __init__(self, *, late: bool = False) -> None:
        """
        Args:
            late: whether updates are first looked at when all have come.
        """
        super().__init__(lambda name, args: None, max_pending=10)
        self.events: list[tuple[str, str | Update]] = []
        self._late = late

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
        said = [(name, what if isinstance(what, str) else told(what)) for name, what in self.events]
        return {name: [text for of, text in said if of == name] for name in sorted(names)}

    def put_updates(self, updates: Sequence[Update], *, more_follow: bool = False) -> None:
        self.events += [(type(update).__name__, update if self._late else told(update)) for update in updates]


def told(update: Update) -> str:
    """All that `update` says."""
    said = [update.to_dict()]
    if isinstance(update, Quote):
        said += [sorted(update.changed), update.raw, update]
    return repr(said)


def fed(
    batches: Iterable[list[bytes]],
    read_frames: Any,
    *,
    wants_raw: bool = False,
    late: bool = False,
    peeks: bool = False,
) -> list[Any]:
    """Return all that a feed says of `batches`, and of what it has counted.

    Args:
        peeks: whether somebody looks up the newest quotes after each batch.
    """
    recorder, book = Recorder(late=late), QuoteBook()
    ledger = Ledger(recorder.put, follow=True)
    feed = Feed(book, recorder, ledger, wants_raw=lambda: wants_raw)
    feed._read_frames = read_frames
    sessions: list[Any] = []
    for batch in batches:
        sessions.append(list(feed.handle(batch)))
        if peeks:
            sessions.append({name: told(quote) for name, quote in book.view.items()})
    quotes = {name: told(quote) for name, quote in book.view.items()}
    # Within a frame, one way tells of the errors as they come and the other of all of them first.
    return [recorder.by_name(), sessions, feed.counts()._replace(last_frame_at=None), quotes]


def check_same(*batches: list[bytes], wants_raw: bool = False, late: bool = False, peeks: bool = False) -> None:
    long_way = fed(batches, _read_nothing, wants_raw=wants_raw, peeks=peeks)
    for read_frames in (typed.read_frames, untyped.read_frames):
        assert fed(batches, read_frames, wants_raw=wants_raw, late=late, peeks=peeks) == long_way


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
        **dict.fromkeys(STATE_NAMES[:NUMBER_COUNT], number),
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


def plain_fields(whole: bool) -> st.SearchStrategy[dict[str, Any]]:
    """All fields there are, or some of them, mostly plain ones."""
    number = st.integers(1, 200_000) | st.floats(1, 200_000) | st.sampled_from([2**62, 2**63 - 2])
    level = st.fixed_dictionaries(dict.fromkeys(LEVEL, st.integers(1, 200_000)), optional={"x": number})
    side = st.lists(level, min_size=5, max_size=5)
    fields: dict[str, Any] = dict.fromkeys(STATE_NAMES[:NUMBER_COUNT], number)
    fields |= {**dict.fromkeys(TIMES, st.integers(1, 1_800_000_000)), "best_buy": side, "best_sell": side}
    fields["c_exch_feed_time"] = st.sampled_from(["11-Jul-2025 09:17:58", "11-Jul-2025 09:17:59"])
    own: dict[str, Any] = {"c_exch_seg": st.just("NSE"), "c_symbol": st.sampled_from(["1", "2"])}
    more = {"close_price": number, "i_usecs": number, "new_field": junk}
    if whole:
        return st.fixed_dictionaries(own | fields, optional=more)
    return st.fixed_dictionaries(own, optional=fields | more)


plain_frames = plain_fields(True) | plain_fields(False)
plain_frames |= st.dictionaries(st.sampled_from(["NSE:1", "NSE:2"]), plain_frames, min_size=1)
frames = st.one_of(plain_frames, plain_frames, wire_frames(False), wire_frames(False), wire_frames(True))
several = st.lists(plain_fields(True), max_size=6) | st.lists(plain_frames, max_size=6)
batches = st.lists(st.lists(frames, max_size=4) | several, min_size=1, max_size=3)


@ANY_MACHINE
@given(
    batches,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.sampled_from([1, 2, 9]),
)
# Nothing in it, though by a rounding or a mark of "no value" it takes a look to see that.
@example(
    [[USUAL, {**DELTA, "best_buy": [{"price": 0.3, "quantity": 0, "orders": 0}]}]],
    False,
    False,
    False,
    (",", ":"),
    9,
)
@example(
    [[USUAL, {**DELTA, "best_buy": [{"price": 0, "quantity": 0.0, "orders": 2**63}]}]],
    False,
    False,
    False,
    (",", ":"),
    9,
)
@example([[{**DELTA, "x": int("9" * 4_000)}]], False, False, False, (",", ":"), 9)
def test_all_ways_say_the_same(
    sent: list[list[Any]], wants_raw: bool, late: bool, peeks: bool, separators: tuple[str, str], many: int
) -> None:
    texts = [[json.dumps(frame, separators=separators).encode() for frame in batch] for batch in sent]
    with patch.object(typed, "_MANY", many):
        check_same(*texts, wants_raw=wants_raw, late=late, peeks=peeks)


@ANY_MACHINE
@given(
    st.lists(st.sampled_from([USUAL, DELTA, INDEX, OPTION, keyed(USUAL, DELTA)]), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4),
    st.sampled_from([1, 9]),
)
def test_all_ways_say_the_same_of_damaged_frames(
    sent: list[dict[str, Any]], damage: list[tuple[int, bytes, int]], many: int
) -> None:
    texts = [json.dumps(frame).encode() for frame in sent]
    for number, (at, put, taken) in enumerate(damage):
        text = texts[number % len(texts)]
        at %= len(text) + 1
        texts[number % len(texts)] = text[:at] + put + text[at + taken :]
    with patch.object(typed, "_MANY", many):
        check_same(texts)


@pytest.mark.parametrize(
    "fields",
    [
        {**USUAL, "c_exch_feed_time": "31-Feb-2025 1:1:1"},
        {**USUAL, "x": "a long number"},
        {**USUAL, "gamma": 1},
        {**USUAL, "best_buy": "none"},
        {**USUAL, "best_sell": [LEVEL] * 6},
        {},
        INDEX,
        DELTA,
        {**USUAL, "c_exch_seg": None},
        {**USUAL, "c_symbol": " 5"},
        {**USUAL, "norenordno": "1"},
        {"status": "success", "message": "Authentication successful"},
        keyed(USUAL, DELTA),
        keyed(*[USUAL] * 9),
    ],
    ids=[
        *("time", "long", "greeks", "text", "six levels", "nothing", "index"),
        *("delta", "no exchange", "blank", "order", "session", "keyed", "many keyed"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 11])
def test_all_ways_say_the_same_of_one_object_among_many(fields: dict[str, Any], at: int) -> None:
    many = [USUAL] * 11
    many.insert(at, fields)
    texts = [json.dumps(frame, separators=(",", ":")).encode() for frame in (keyed(*many), *many)]
    keyed_text, *flat_texts = (text.replace(b'"a long number"', b"9" * 5_000) for text in texts)
    check_same([keyed_text])
    check_same(flat_texts)
    check_same(flat_texts * 4)


@pytest.mark.parametrize("key", ["oops", "NSE: 1", "NSE:12"])
def test_all_ways_say_the_same_of_one_key_among_many(key: str) -> None:
    check_same([json.dumps(keyed(*[USUAL] * 11) | {key: USUAL}).encode()])


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
        '"x":"₹"'.encode(),
        b'"x":"\xff"',
        b'"a:b":1',
        b'"x":1}{',
    ],
    ids=lambda text: repr(text)[2:30],
)
def test_all_ways_say_the_same_of_odd_json(text: bytes) -> None:
    flat = b'{"c_exch_seg":"NSE","c_symbol":"5","i_open_price":100,' + text + b"}"
    check_same([flat], [flat], [b'{"NSE:6":' + flat + b',"NSE:7":{"i_open_price":1}}'])
    usual = json.dumps(USUAL).encode()
    check_same([usual, usual, usual[:-1] + b"," + text + b"}", usual] * 5)
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


# --- depth is decoded again when it is read ----------------------------------------------------------------------


def side_of(first: int) -> list[dict[str, int]]:
    return [{"price": (first + step) * 100, "quantity": first, "orders": 1} for step in range(5)]


def quotes_after(*sent: dict[str, Any]) -> list[Quote]:
    recorder = Recorder(late=True)
    feed = Feed(QuoteBook(), recorder, Ledger(recorder.put, follow=True), wants_raw=lambda: False)
    list(feed.handle([json.dumps(frame).encode() for frame in sent]))
    return [what for _, what in recorder.events if isinstance(what, Quote)]


def first_prices(quote: Quote) -> tuple[float, float]:
    assert quote.best_bid is not None
    assert quote.best_ask is not None
    return quote.best_bid.price, quote.best_ask.price


BUYERS_AND_SELLERS = [
    {**USUAL, "best_buy": side_of(10), "best_sell": side_of(20)},
    DELTA,
    {**DELTA, "best_sell": side_of(21)},
    {**DELTA, "best_buy": side_of(12)},
    {**USUAL, "best_buy": side_of(14), "best_sell": side_of(24)},
]
FIRST_PRICES = [(10, 20), (10, 20), (10, 21), (12, 21), (14, 24)]


def test_levels_wait_as_bytes_until_they_are_read() -> None:
    quotes = quotes_after(*BUYERS_AND_SELLERS)
    # Those between two full frames.
    states = [quote._state for quote in quotes[1:-1]]
    assert all(type(side) is bytes for state in states for side in (state.best_buy, state.best_sell))
    assert states[0].best_buy is quotes[0]._raw, "the bytes are those that the quote has anyway"
    assert [first_prices(quote) for quote in quotes] == FIRST_PRICES
    assert all(type(side) is tuple for state in states for side in (state.best_buy, state.best_sell))


def test_levels_stay_where_they_are_read_for_as_long_as_they_are() -> None:
    book, recorder = QuoteBook(), Recorder(late=True)
    feed = Feed(book, recorder, Ledger(recorder.put, follow=True), wants_raw=lambda: False)
    full, *deltas = [json.dumps(frame).encode() for frame in BUYERS_AND_SELLERS[:-1]]
    list(feed.handle([full]))
    kept = {True: 0, False: 0}
    for reads in (True, False):
        for _ in range(3 * _TURNS):
            for frame in deltas:
                list(feed.handle([frame]))
                kept[reads] += type(book.view["NSE:2885"]._state.best_sell) is tuple
                if reads:
                    first_prices(book.view["NSE:2885"])
    assert kept[True] > 0.9 * 3 * _TURNS * len(deltas)
    assert kept[False] <= _TURNS


def test_a_quote_keeps_its_depth_whatever_came_since_and_is_read_first() -> None:
    quotes = quotes_after(*BUYERS_AND_SELLERS)
    assert [first_prices(quote) for quote in reversed(quotes)] == FIRST_PRICES[::-1]
    assert {"asks", "best_ask"} == quotes[2].changed & {"asks", "best_ask", "bids", "best_bid"}
    assert [first_prices(pickle.loads(pickle.dumps(quote))) for quote in quotes_after(*BUYERS_AND_SELLERS)] == (
        FIRST_PRICES
    )


def test_threads_that_read_a_depth_at_once_read_the_same() -> None:
    quotes, threads = quotes_after(*BUYERS_AND_SELLERS * 50), 4
    begin = threading.Barrier(threads)

    def read(number: int) -> list[tuple[float, float]]:
        begin.wait(10)
        return [first_prices(quote) for quote in quotes]

    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(read, range(threads))) == [FIRST_PRICES * 50] * threads
