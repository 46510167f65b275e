"""One-minute bars (candles) of live quotes, each printed when it is over, until Ctrl-C.

It uses the session of ``firstock-ws login``, at the broker or at a simulator. A simulator that nobody has logged
in to needs none: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python bars.py

``--interval 5min`` makes other bars.
"""

import argparse
import sys

from firstock_ws import FirstockError, FirstockWS
from firstock_ws.bars import Bar, BarBuilder

TOKENS = ["NSE:26000", "NSE:2885"]


def show_bar(bar: Bar) -> None:
    notes = [name for name in ("partial", "gap") if getattr(bar, name)]
    if not bar.final:
        notes.append("not over")
    # An index has no volume.
    volume = "" if bar.volume is None else f" volume {bar.volume}"
    prices = f"{bar.open:.2f} {bar.high:.2f} {bar.low:.2f} {bar.close:.2f}"
    print(f"{bar.start:%H:%M:%S} {bar.instrument} {prices}{volume}", *(f"({note})" for note in notes))


def main() -> int:
    parser = argparse.ArgumentParser(description="Prints bars of live quotes.")
    parser.add_argument("--interval", default="1min", help="1s to 1day (default: 1min)")
    interval = parser.parse_args().interval
    try:
        bars = BarBuilder(interval, on_bar=show_bar)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2

    try:
        client = FirstockWS.from_login(tokens=TOKENS)
    except FirstockError as error:
        print(error, file=sys.stderr)
        return 2
    # The end of the block closes the bars that are not over yet.
    with bars.attach(client):
        try:
            client.run_forever()
        except FirstockError as error:
            print(f"Gave up: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
