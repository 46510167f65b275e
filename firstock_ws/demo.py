"""The demo: the real client on a simulated market, with a dropped connection in the middle."""

from __future__ import annotations

import time
from collections import deque
from contextlib import nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from firstock_ws.client import FirstockWS
from firstock_ws.models import DepthLevel, OrderUpdate, PositionUpdate, Quote
from firstock_ws.simulator import Simulator
from firstock_ws.stats import Stats

NOTICE = "SIMULATED DATA: a made-up market from this computer, not the exchange's."
INSTRUMENTS = {
    "NSE:26000": "Nifty 50",
    "NSE:26009": "Nifty Bank",
    "BSE:1": "Sensex",
    "NSE:2885": "Reliance",
    "NSE:1594": "Infosys",
    "NFO:35000": "Bank Nifty option",
}
EVENTS_SHOWN = 8
FRAMES_PER_SECOND = 8


class DemoClient(FirstockWS):
    """A client whose callbacks write down what happens, as a user's subclass would.

    Threads: the callback thread writes, the drawing thread reads; a deque is safe for one of each.
    """

    lines_wanted = False
    console: Console
    events: deque[str]

    def on_quote(self, quote: Quote) -> None:
        if self.lines_wanted:
            change = quote.change or 0.0
            self.console.print(
                f"quote {quote.instrument} {quote.last_price} change {change:+.2f}", highlight=False
            )

    def on_order_update(self, order: OrderUpdate) -> None:
        self.note(
            f"order {order.order_number} {order.side} {order.quantity} {order.trading_symbol}: {order.status}"
            + (f", {order.filled_quantity} filled at {order.average_price}" if order.is_fill else "")
        )

    def on_position_update(self, position: PositionUpdate) -> None:
        self.note(
            f"position {position.trading_symbol}: {position.net_quantity}, realised {position.realised_profit:.2f}"
        )

    def on_connect(self) -> None:
        self.note("connected: authenticated and subscribed")

    def on_close(self, code: int, reason: str) -> None:
        self.note(f"connection closed: {code} {reason}")

    def on_reconnect(self, attempt: int, delay: float) -> None:
        self.note(f"try {attempt} to reconnect in {delay:.1f} s")

    def note(self, line: str) -> None:
        """Show `line` among the events."""
        if self.lines_wanted:
            self.console.print(line, highlight=False)
        else:
            self.events.append(f"{time.strftime('%H:%M:%S')} {line}")


def run_demo(*, seconds: float, wire: str, console: Console | None = None) -> int:
    """Run the demo for `seconds` on wire ``"v1"`` or ``"v2"``; return the exit code."""
    console = console or Console()
    console.print(NOTICE, style="bold yellow", highlight=False)
    with Simulator(rate=30.0, order_interval=2.0) as simulator:
        client = DemoClient(
            simulator.user_id,
            simulator.jkey,
            tokens=INSTRUMENTS,
            url=simulator.url_v2 if wire == "v2" else simulator.url,
            rest_url=simulator.rest_url,
        )
        client.console = console
        client.events = deque(maxlen=EVENTS_SHOWN)
        client.lines_wanted = not console.is_terminal
        with client:
            client.connect()
            simulator.place_order("NSE:2885", quantity=50)
            try:
                _watch(client, simulator, seconds)
            except KeyboardInterrupt:
                client.note("stopped by Ctrl-C")
        _show_stats(console, client.stats)
    console.print(NOTICE, style="bold yellow", highlight=False)
    return 0


def _watch(client: DemoClient, simulator: Simulator, seconds: float) -> None:
    end = time.monotonic() + seconds
    drop_at = time.monotonic() + seconds / 2
    dropped = False
    with Live(console=client.console, auto_refresh=False) if not client.lines_wanted else nullcontext() as live:
        while time.monotonic() < end:
            if not dropped and time.monotonic() >= drop_at:
                dropped = True
                client.note("the demo now drops the connection on purpose")
                simulator.reset()
            if live is not None:
                live.update(_picture(client), refresh=True)
            time.sleep(min(1 / FRAMES_PER_SECOND, max(0.0, end - time.monotonic())))


def _picture(client: DemoClient) -> Group:
    wide = client.console.width >= 105
    table = Table(title=f"{NOTICE}  State: {client.state.value}", title_style="bold yellow")
    table.add_column("instrument", no_wrap=True)
    for title in ("last", "change", "bid", "ask", "volume"):
        table.add_column(title, justify="right", no_wrap=True)
    for instrument, name in INSTRUMENTS.items():
        quote = client.quotes.get(instrument)
        if quote is not None:
            change = quote.change or 0.0
            table.add_row(
                f"{instrument} {name}" if wide else name,
                _number(quote.last_price),
                Text(f"{change:+.2f}", style="green" if change >= 0 else "red"),
                _level(quote.best_bid, wide),
                _level(quote.best_ask, wide),
                "" if quote.volume is None else f"{quote.volume:,}",
            )
    # The newest must be seen: what does not fit the height of the terminal is cut off at its foot.
    room = max(1, client.console.height - len(INSTRUMENTS) - 8)
    return Group(table, *(Text(line, no_wrap=True) for line in list(client.events)[-room:]))


def _number(price: float | None) -> str:
    return "" if price is None else f"{price:,.2f}"


def _level(level: DepthLevel | None, with_quantity: bool) -> str:
    if level is None:
        return ""
    return f"{level.quantity or 0} @ {level.price:,.2f}" if with_quantity else _number(level.price)


def _show_stats(console: Console, stats: Stats) -> None:
    console.print("What the client counted:")
    for name, value in stats.to_dict().items():
        console.print(f"  {name} {value}", highlight=False)
