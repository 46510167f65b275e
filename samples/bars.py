"""One-minute bars (candles) of live quotes, each printed when it is over, until Ctrl-C.

Against the simulator, which needs no account: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python bars.py

Against the broker: set FIRSTOCK_USER_ID to your client code and FIRSTOCK_JKEY to the ``susertoken`` of today's
login, leave FIRSTOCK_URL unset, and run ``python bars.py``. ``--interval 5min`` makes other bars.
"""

import argparse
import os
import sys

from firstock_ws import V1_URL, FirstockError, FirstockWS
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
    user_id, jkey = os.environ.get("FIRSTOCK_USER_ID"), os.environ.get("FIRSTOCK_JKEY")
    if not user_id or not jkey:
        print("Set FIRSTOCK_USER_ID and FIRSTOCK_JKEY in the environment first.", file=sys.stderr)
        return 2
    try:
        bars = BarBuilder(interval, on_bar=show_bar)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2

    client = FirstockWS(
        user_id,
        jkey,
        url=os.environ.get("FIRSTOCK_URL") or V1_URL,
        rest_url=os.environ.get("FIRSTOCK_REST_URL") or None,
        tokens=TOKENS,
    )
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
