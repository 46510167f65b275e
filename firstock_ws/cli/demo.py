"""``demo``: the real client on a simulated market, with a dropped connection in the middle."""

from __future__ import annotations

import tempfile

from rich.console import Console

from firstock_ws.cli.board import Board
from firstock_ws.cli.events import Collector
from firstock_ws.cli.live import closing, is_closed, show
from firstock_ws.cli.output import choose_output
from firstock_ws.client import FirstockWS
from firstock_ws.simulator import Simulator
from firstock_ws.symbols import SymbolMaster

NOTICE = "SIMULATED DATA: a made-up market from this computer, not the exchange's."
NAMES = ("NSE:NIFTY 50", "NSE:NIFTY BANK", "BSE:SENSEX", "NSE:RELIANCE-EQ", "NSE:INFY-EQ", "NSE:SBIN-EQ")


def run_demo(*, seconds: float, wire: str) -> int:
    """Run the demo for `seconds` on wire ``"v1"`` or ``"v2"``; return the exit code."""
    console = Console()
    board = Board(NOTICE, NAMES)
    output = choose_output(board, as_json=False, fields=None)
    collector = Collector(newest_only=output.newest_only)
    _say(console, NOTICE)
    # Its symbol files are as made up as all else: they are not kept.
    with Simulator(rate=30.0, order_interval=2.0) as simulator, tempfile.TemporaryDirectory() as folder:
        client = FirstockWS(
            simulator.user_id,
            simulator.jkey,
            tokens=NAMES,
            symbols=SymbolMaster(simulator.rest_url, cache_dir=folder),
            url=simulator.url_v2 if wire == "v2" else simulator.url,
            rest_url=simulator.rest_url,
        )
        for name, callback in collector.callbacks().items():
            setattr(client, name, callback)
        dropped = False

        def drop(now: float) -> None:
            nonlocal dropped
            if now >= seconds / 2 and not dropped:
                dropped = True
                collector.note("the demo now drops the connection on purpose")
                simulator.reset()

        try:
            with closing(client, collector):
                client.connect()
                simulator.place_order("NSE:2885", quantity=50)
                show(collector, output, seconds=seconds, over=lambda: is_closed(client), meanwhile=drop)
        except KeyboardInterrupt:
            _say(console, "stopped by Ctrl-C")
        console.print("What the client counted:")
        for name, value in client.stats.to_dict().items():
            console.print(f"  {name} {value}", highlight=False)
    _say(console, NOTICE)
    return 0


def _say(console: Console, text: str) -> None:
    console.print(text, style="bold yellow", highlight=False, soft_wrap=True)
