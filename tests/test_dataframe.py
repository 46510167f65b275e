"""Quotes as pandas frames."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from firstock_ws import FirstockError, FirstockWS
from firstock_ws.dataframe import COLUMNS, finish_frame, quote_row, quotes_frame
from firstock_ws.models.quote import VALUE_NAMES
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import connect, wait_until

PRICE, WHOLE, TIME, TEXT = "float64", "Int64", "datetime64[ns, Asia/Kolkata]", "string"


@pytest.fixture
def client(sim: Simulator, make_client: ClientMaker) -> FirstockWS:
    client = make_client(tokens=["NSE:2885", "NSE:26000"])
    connect(client, sim)
    wait_until(lambda: len(client.quotes) == 2)
    return client


def test_a_row_has_every_value_of_a_quote_once(client: FirstockWS) -> None:
    quote = client.quotes["NSE:2885"]
    row = quote_row(quote)
    assert list(row) == ["instrument", *COLUMNS]
    assert set(VALUE_NAMES) - set(row) == {"bids", "asks", "best_bid", "best_ask"}
    bid, ask = quote.best_bid, quote.best_ask
    assert bid
    assert ask
    flat = [row[name] for name in ("bid", "bid_quantity", "ask", "ask_quantity")]
    assert flat == [bid.price, bid.quantity, ask.price, ask.quantity]
    assert all(row[name] == getattr(quote, name) for name in ("last_price", "change", "volume", "feed_time"))


def test_a_frame_has_a_dtype_that_suits_each_column(client: FirstockWS) -> None:
    types = client.to_frame().dtypes.astype(str)
    assert types["last_price"] == types["change_percent"] == types["bid"] == types["traded_value"] == PRICE
    assert types["volume"] == types["bid_quantity"] == types["open_interest"] == WHOLE
    assert types["feed_time"] == types["last_trade_time"] == types["exchange_time"] == TIME
    assert types["exchange"] == types["token"] == types["symbol"] == TEXT
    assert list(quotes_frame([]).dtypes.astype(str)) == list(types)


def test_a_frame_has_a_row_for_each_quote(client: FirstockWS) -> None:
    frame = client.to_frame()
    assert frame.index.name == "instrument"
    assert set(frame.index) == {"NSE:2885", "NSE:26000"}
    quote = client.quotes["NSE:2885"]
    row = frame.loc["NSE:2885"]
    assert (row["last_price"], row["volume"]) == (quote.last_price, quote.volume)
    assert row["feed_time"] == quote.feed_time
    assert row["feed_time"].utcoffset().total_seconds() == 5.5 * 3600
    # An index has no depth and no trades.
    assert pd.isna(frame.loc["NSE:26000", ["bid", "ask_quantity", "last_trade_time"]]).all()


def test_a_frame_is_of_what_was_asked_for_in_that_order(client: FirstockWS) -> None:
    frame = client.to_frame(["NSE:26000", "BSE:1", "NSE:2885"], fields=["volume", "last_price"])
    assert list(frame.index) == ["NSE:26000", "BSE:1", "NSE:2885"]
    assert list(frame.columns) == ["volume", "last_price"]
    assert frame.loc["BSE:1"].isna().all()
    assert list(frame.dtypes.astype(str)) == [WHOLE, PRICE]
    assert list(client.to_frame("NSE:2885").index) == ["NSE:2885"]


def test_a_frame_does_not_change_with_the_quotes(client: FirstockWS, sim: Simulator) -> None:
    frame = client.to_frame()
    before = frame.loc["NSE:2885", "last_price"]
    while client.quotes["NSE:2885"].last_price == before:
        sim.tick("NSE:2885")
    assert frame.loc["NSE:2885", "last_price"] == before
    assert client.to_frame().loc["NSE:2885", "last_price"] != before


def test_bad_arguments_of_a_frame_raise(client: FirstockWS) -> None:
    with pytest.raises(ValueError, match="no field 'best_bid': did you mean bid"):
        client.to_frame(fields=["best_bid"])
    with pytest.raises(ValueError, match="no instrument"):
        client.to_frame("RELIANCE")


def test_other_columns_of_a_frame_are_left_alone() -> None:
    frame = finish_frame(pd.DataFrame({"instrument": ["NSE:1", "NSE:1"], "volume": [None, 3], "mine": [1, 2]}))
    assert list(frame.dtypes.astype(str)) == [TEXT, WHOLE, "int64"]
    assert frame["volume"].isna().tolist() == [True, False]


def test_without_pandas_the_error_says_what_to_install(
    client: FirstockWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "firstock_ws.dataframe")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FirstockError, match=r'pip install "firstock-ws\[pandas\]"'):
        client.to_frame()


def test_nothing_large_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, firstock_ws\n"
        "client = firstock_ws.FirstockWS('AB1234', 'key', url='ws://127.0.0.1:9')\n"
        "client.table()._repr_html_()\n"
        "print([name for name in ('pandas', 'rich', 'IPython', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
