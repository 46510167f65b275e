from __future__ import annotations

import pytest

from firstock_ws.instruments import parse_tokens


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("NSE:26000", ["NSE:26000"]),
        ("NSE:26000|BSE:1", ["NSE:26000", "BSE:1"]),
        (["NSE:26000", "BSE:1|NFO:44278"], ["NSE:26000", "BSE:1", "NFO:44278"]),
        (("NSE:1", "NSE:1"), ["NSE:1"]),
        ((name for name in ["MCX:5"]), ["MCX:5"]),
        (" NSE:1 | BSE:1 ", ["NSE:1", "BSE:1"]),
        ([], []),
    ],
)
def test_all_ways_to_name_instruments(given: object, found: list[str]) -> None:
    assert parse_tokens(given) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    ["", "26000", "NSE", "NSE:", ":1", "NSE:RELIANCE", "nse:1", "NSE:1|", "NSE:1,BSE:1", "NSE:1\n2", "NSE:\u0661"],
)
@pytest.mark.parametrize("wrap", [lambda bad: bad, lambda bad: ["NSE:1", bad]])
def test_a_bad_token_is_named_with_the_right_form(bad: str, wrap: object) -> None:
    with pytest.raises(ValueError, match="NSE:26000") as caught:
        parse_tokens(wrap(bad))  # type: ignore[operator]
    assert repr(bad.split("|")[-1].strip()) in str(caught.value)


@pytest.mark.parametrize("bad", [26000, None, b"NSE:1", [26000], [None], [b"NSE:1"]])
def test_what_is_no_text_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="NSE:26000"):
        parse_tokens(bad)  # type: ignore[arg-type]
