"""Bars (candles) from quotes: open, high, low, close and volume of each interval, on the exchange's clock.

>>> from firstock_ws import FirstockWS
>>> from firstock_ws.bars import BarBuilder
>>> client = FirstockWS("AB1234", "...", tokens=["NSE:2885"])
>>> bars = BarBuilder("1min", on_bar=print).attach(client)
>>> client.run_forever()  # doctest: +SKIP

What a bar can know. Quotes are states, not trades: of several trades between two quotes only the last one's price
is seen. A bar's volume is right all the same, since it comes from the day's cumulative volume. Its high and low
are helped by the day's high and low, where a quote renews them and it is certain that this happened in the bar;
else they, and the open, may miss what came between two quotes.
"""

from firstock_ws.bars.bar import Bar
from firstock_ws.bars.builder import BarBuilder, BarStats

__all__ = ["Bar", "BarBuilder", "BarStats"]
