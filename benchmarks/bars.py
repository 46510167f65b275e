"""``python -m benchmarks.bars``: what a quote costs a bar builder, hot and on one thread."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterator

from firstock_ws import Quote
from firstock_ws.bars import BarBuilder
from firstock_ws.feed.book import QuoteBook

OPENING = 1_767_325_500
"""2026-01-02 09:15:00 IST."""
MINUTES = 30
REPEATS = 7


def quotes(instruments: int, *, trades: bool) -> list[Quote]:
    """Return one quote a second of each instrument, for half an hour."""
    book, made = QuoteBook(), []
    for second in range(MINUTES * 60):
        for number in range(instruments):
            fields = {"i_feed_time": OPENING + second, "best_buy": [{"price": 9_900, "quantity": second + 1}]}
            if trades or second == 0:
                fields |= {
                    "i_last_traded_price": 10_000 + (second * 7 + number) % 50,
                    "i_last_trade_time": OPENING + second,
                    "i_volume_traded_today": 1_000 + second * 10,
                    "i_total_tradevalue": (1_000 + second * 10) * 10_000,
                    "i_high_price": 10_050,
                    "i_low_price": 9_950,
                }
            quote = book.merge(f"NSE:{number}", fields, [])
            assert quote is not None
            made.append(quote)
    return made


def _feed(interval: str, given: list[Quote]) -> Callable[[], None]:
    def run() -> None:
        on_quote = BarBuilder(interval, lambda bar: None).on_quote
        for quote in given:
            on_quote(quote)

    return run


def _nothing(given: list[Quote]) -> Callable[[], None]:
    def run() -> None:
        def on_quote(quote: Quote) -> None:
            pass

        for quote in given:
            on_quote(quote)

    return run


def costs() -> Iterator[tuple[str, float]]:
    """Yield what was done, and what it cost, microseconds a quote, in the best of some runs."""
    for name, instruments, trades in (("every quote a trade", 20, True), ("only depth", 20, False)):
        given = quotes(instruments, trades=trades)
        for label, run in (
            ("an empty callback", _nothing(given)),
            ("bars of 1min", _feed("1min", given)),
            ("bars of 1s", _feed("1s", given)),
        ):
            yield f"{name}: {label}", min(timeit.repeat(run, number=1, repeat=REPEATS)) / len(given) * 1e6


if __name__ == "__main__":
    for what, microseconds in costs():
        print(f"{what:40} {microseconds:6.2f} µs")
