"""Bars as a pandas DataFrame. Needs pandas, the extra ``pandas``: import this when it is used."""

from __future__ import annotations

from collections.abc import Iterable

from firstock_ws.bars.bar import NAMES, Bar
from firstock_ws.errors import FirstockError

try:
    import pandas as pd
except ImportError:
    raise FirstockError('to_frame() needs pandas: pip install "firstock-ws[pandas]"') from None

_ZONE = "Asia/Kolkata"
_TYPES = {
    **dict.fromkeys(("instrument", "symbol"), "string"),
    **dict.fromkeys(("open", "high", "low", "close", "vwap"), "float64"),
    **dict.fromkeys(("volume", "open_interest"), "Int64"),
    "updates": "int64",
    **dict.fromkeys(("partial", "gap", "final"), "bool"),
}


def bars_frame(bars: Iterable[Bar]) -> pd.DataFrame:
    """Return `bars` as a data frame, a row each; the index is `Bar.start`. What is not known is missing."""
    frame = pd.DataFrame([bar.to_dict() for bar in bars], columns=list(NAMES)).astype(_TYPES)
    for name in ("start", "end"):
        moments = pd.to_datetime(frame[name], utc=True)
        frame[name] = moments.astype("datetime64[ns, UTC]").dt.tz_convert(_ZONE)
    indexed: pd.DataFrame = frame.set_index("start")
    return indexed
