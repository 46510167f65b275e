"""Sorting frames into feeds, and the frames we send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstock_ws import V1_URL, V2_URL, FrameError, protocol
from firstock_ws.protocol import Kind, Verdict, check_rest_url, verdict


def kinds(message: object) -> list[tuple[Kind, str]]:
    return [(part.kind, part.instrument) for part in protocol.parts(message)]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"norenordno": "1", "status": "OPEN"}, [(Kind.ORDER, "")]),
        ({"brkname": "x", "status": "?"}, [(Kind.POSITION, "")]),
        ({"status": "success", "message": "Authentication successful"}, [(Kind.SESSION, "")]),
        ({"gamma": 1, "c_exch_seg": "NFO", "c_symbol": "5"}, [(Kind.GREEKS, "NFO:5")]),
        ({"gamma": 1}, [(Kind.UNKNOWN, "")]),
        ({"NFO:5": {"gamma": 1}}, [(Kind.GREEKS, "NFO:5")]),
        ({"c_exch_seg": "NSE", "c_symbol": "5", "status": "x"}, [(Kind.MARKET, "NSE:5")]),
        ({"c_exch_seg": "NSE", "c_symbol": 5}, [(Kind.MARKET, "NSE:5")]),
        ({"c_symbol": "5"}, [(Kind.UNKNOWN, "")]),
        ({"c_exch_seg": "NSE", "c_symbol": True}, [(Kind.UNKNOWN, "")]),
        ({"i_last_traded_price": 5}, [(Kind.UNKNOWN, "")]),
        (
            {"NSE:5": {"i_open_price": 1}, "BSE:1": {"close_price": 5}, "NSE:6": {"best_buy": []}},
            [(Kind.MARKET, "NSE:5"), (Kind.MARKET, "BSE:1"), (Kind.MARKET, "NSE:6")],
        ),
        (
            {"NSE:5": {"i_open_price": 1}, "BSE:1": 7, "what": {}},
            [(Kind.MARKET, "NSE:5"), *[(Kind.UNKNOWN, "")] * 2],
        ),
        ({"NSE:5": {}}, [(Kind.UNKNOWN, "")]),
        (
            [{"norenordno": "1"}, 5, {"NSE:5": {"gamma": 1}}],
            [(Kind.ORDER, ""), (Kind.UNKNOWN, ""), (Kind.GREEKS, "NSE:5")],
        ),
        ([], []),
        ({}, [(Kind.UNKNOWN, "")]),
        (None, [(Kind.UNKNOWN, "")]),
        (True, [(Kind.UNKNOWN, "")]),
        (12.5, [(Kind.UNKNOWN, "")]),
        ("text", [(Kind.UNKNOWN, "")]),
        ([[{"norenordno": "1"}]], [(Kind.UNKNOWN, "")]),
    ],
)
def test_which_feed_a_frame_belongs_to(message: object, expected: list[tuple[Kind, str]]) -> None:
    assert kinds(message) == expected


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"status": "success", "message": "Authentication successful"}, Verdict.AUTHENTICATED),
        ({"status": "Success", "messafe": "whatever"}, Verdict.AUTHENTICATED),
        ({"status": "failed", "message": "unauthenticated"}, Verdict.UNAUTHENTICATED),
        ({"status": "failed", "messafe": "Aunauthenticated"}, Verdict.UNAUTHENTICATED),
        ({"status": "failed", "message": "Maximum sessions limit (3) reached"}, Verdict.SESSION_LIMIT),
        ({"status": "failed", "message": "no such token"}, Verdict.OTHER),
        ({"status": None}, Verdict.OTHER),
    ],
)
def test_status_decides(fields: dict[str, object], verdict: Verdict) -> None:
    assert protocol.verdict(fields) is verdict


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"hello", "JSON"),
        (b"", "JSON"),
        (b"{" * 10, "JSON"),
        (b"[" * 200_000, "deep"),
        (b"9" * 10_000, "JSON"),
    ],
)
def test_what_is_not_json_is_an_error_of_ours(frame: bytes, words: str) -> None:
    with pytest.raises(FrameError, match=words) as caught:
        protocol.decode(frame)
    assert caught.value.frame == frame
    assert len(str(caught.value)) < 100


@given(st.binary(max_size=200))
def test_any_bytes_give_parts_or_an_error_of_ours(frame: bytes) -> None:
    try:
        message = protocol.decode(frame)
    except FrameError:
        return
    assert all(isinstance(part, protocol.Part) for part in protocol.parts(message))


def test_actions_are_split_and_joined_as_the_broker_wants() -> None:
    assert [json.loads(frame) for frame in protocol.action_frames("subscribe", ["NSE:26000", "BSE:1"])] == [
        {"action": "subscribe", "tokens": "NSE:26000|BSE:1"}
    ]
    many = [f"NSE:{number}" for number in range(2 * protocol.MAX_TOKENS_PER_FRAME + 1)]
    frames = [json.loads(frame)["tokens"].split("|") for frame in protocol.action_frames("subscribe", many)]
    assert [len(frame) for frame in frames] == [protocol.MAX_TOKENS_PER_FRAME] * 2 + [1]
    assert [token for frame in frames for token in frame] == many
    assert protocol.action_frames("subscribe", []) == []


def test_the_session_url_is_encoded() -> None:
    assert protocol.session_url(V1_URL, "A B", "k&/=+") == (
        "wss://socket.firstock.in/ws?userId=A+B&jKey=k%26%2F%3D%2B&source=developer-api"
    )
    assert V2_URL == "wss://socket.firstock.in/V2/ws"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "socket.firstock.in/ws",
        "https://socket.firstock.in/ws",
        "ws://",
        "ws://h:99999/",
        "ws://[::1/",
        None,
        "ws://h:0",
    ],
)
def test_a_bad_url_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="url must look like"):
        protocol.check_url(bad)


@pytest.mark.parametrize("bad", [V1_URL + "?jKey=topsecret", "wss://me:topsecret@h/ws", V1_URL + "#topsecret"])
def test_a_url_with_more_in_it_is_refused_without_repeating_it(bad: str) -> None:
    with pytest.raises(ValueError, match="path") as caught:
        protocol.check_url(bad)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("unauthenticated", Verdict.UNAUTHENTICATED),
        ("Unauthorized", Verdict.UNAUTHENTICATED),
        ("Invalid jKey", Verdict.UNAUTHENTICATED),
        ("Session expired", Verdict.UNAUTHENTICATED),
        ("NSE:AUTHUM is not a token", Verdict.OTHER),
        ("subscription not authorised for NFO", Verdict.OTHER),
    ],
)
def test_only_words_about_the_key_are_about_the_key(message: str, expected: Verdict) -> None:
    assert verdict({"status": "failed", "message": message}) is expected


@pytest.mark.parametrize(
    "url", ["http://h/V1 x", "http://h/V1\r\nX: y", "ftp://h", "", 5, "http://u:p@h", "http://h?x=1"]
)
def test_rest_addresses_that_are_none(url: Any) -> None:
    with pytest.raises(ValueError, match="REST address"):
        check_rest_url(url)
