"""Live quotes in a program that has a loop of its own: no callbacks, it looks when it wants to know.

It uses the session of ``firstock-ws login``, at the broker or at a simulator. A simulator that nobody has logged
in to needs none: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python existing_loop.py

``--seconds 10`` ends it by itself.
"""

import argparse
import sys
import time

from firstock_ws import FirstockError, FirstockWS

TOKENS = ["NSE:26000", "NSE:2885"]


def own_work(client: FirstockWS) -> None:
    """What this program did every second long before it had live quotes."""
    if not client.is_connected:
        print("not connected: these are the last known prices")
    for instrument in TOKENS:
        # Missing until the first quote of the instrument is there.
        quote = client.quotes.get(instrument)
        if quote is not None:
            print(instrument, quote.last_price, "at", quote.feed_time)


def main() -> int:
    parser = argparse.ArgumentParser(description="Looks at live quotes once a second.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long (default: until Ctrl-C)")
    seconds = parser.parse_args().seconds
    try:
        client = FirstockWS.from_login(tokens=TOKENS)
    except FirstockError as error:
        print(error, file=sys.stderr)
        return 2
    # The end of the block closes the connection, also after an exception.
    with client:
        try:
            client.connect()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                own_work(client)
                time.sleep(1)
        except KeyboardInterrupt:
            print("stopped by Ctrl-C")
        except FirstockError as error:
            print(f"No connection: {error}", file=sys.stderr)
            return 1
        finally:
            # Closed already here, for figures that stand still; closing again costs nothing.
            client.close()
            stats = client.stats
            print(f"{stats.connections} connection(s), {stats.quotes_received} quotes, {stats.frames} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
