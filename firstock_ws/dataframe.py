"""Quotes as a pandas DataFrame. Needs pandas, the extra ``pandas``: import this when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from firstock_ws.errors import FirstockError
from firstock_ws.models import Quote
from firstock_ws.models.quote import VALUE_NAMES
from firstock_ws.tables.cells import check_names

try:
    import pandas as pd
except ImportError as error:
    raise FirstockError('to_frame() needs pandas: pip install "firstock-ws[pandas]"') from error

ZONE = "Asia/Kolkata"
_TEXTS = ("instrument", "symbol", "exchange", "token")
_TIMES = ("last_trade_time", "feed_time", "exchange_time")
_WHOLE = (
    *("last_quantity", "volume", "total_buy_quantity", "total_sell_quantity"),
    *("open_interest", "total_open_interest", "bid_quantity", "ask_quantity"),
)
_DEPTH = ("bids", "asks", "best_bid", "best_ask")
PLAIN = tuple(name for name in VALUE_NAMES if name not in (*_DEPTH, *_TEXTS))
"""The names of a quote's values that are a column as they are."""

COLUMNS = (*_TEXTS[1:], *PLAIN, "bid", "bid_quantity", "ask", "ask_quantity")
"""The columns of a frame of quotes. Its index is the instrument."""
_PRICES = tuple(name for name in COLUMNS if name not in (*_TEXTS, *_TIMES, *_WHOLE))


def quote_row(quote: Quote) -> dict[str, object]:
    """Return the instrument and all `COLUMNS` of one quote, bid and ask flattened; None where not sent."""
    row: dict[str, object] = {
        "instrument": quote.instrument,
        "symbol": getattr(quote, "symbol", None),
        "exchange": quote.exchange,
        "token": quote.token,
    }
    for name in PLAIN:
        row[name] = getattr(quote, name)
    for name, level in (("bid", quote.best_bid), ("ask", quote.best_ask)):
        row[name] = level and level.price
        row[f"{name}_quantity"] = level and level.quantity
    return row


def finish_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame`, made of rows of `quote_row`, with a dtype that suits each column; others are left alone.

    Prices become float64, quantities the nullable Int64, times datetime64 in Asia/Kolkata, names strings. What is
    missing is NaN, NaT or pandas.NA.
    """
    known = set(frame.columns)
    types = {
        **dict.fromkeys(known.intersection(_PRICES), "float64"),
        **dict.fromkeys(known.intersection(_WHOLE), "Int64"),
        **dict.fromkeys(known.intersection(_TEXTS), "string"),
    }
    frame = frame.astype(types)
    for name in known.intersection(_TIMES):
        moments = pd.to_datetime(frame[name], utc=True)
        frame[name] = moments.astype("datetime64[ns, UTC]").dt.tz_convert(ZONE)
    return frame


def quotes_frame(
    quotes: Iterable[Quote],
    fields: Sequence[str] | None = None,
    *,
    instruments: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return `quotes` as a DataFrame, a row each, with the instrument as the index.

    Args:
        fields: the columns, of `COLUMNS`; None for all of them.
        instruments: the rows, in this order; one without a quote has missing values. None for those of `quotes`.

    Raises:
        ValueError: no such field; the text says which come near.
    """
    columns = COLUMNS if fields is None else check_names(fields, COLUMNS, "field")
    frame = finish_frame(pd.DataFrame([quote_row(quote) for quote in quotes], columns=["instrument", *COLUMNS]))
    frame = frame.set_index("instrument")
    if instruments is not None:
        frame = frame.reindex(pd.Index(list(instruments), name="instrument", dtype="string"))
    chosen: pd.DataFrame = frame.loc[:, list(columns)]
    return chosen
