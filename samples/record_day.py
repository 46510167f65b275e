"""Records quotes, orders and positions until Ctrl-C, or for SECONDS; replay_strategy.py plays the file back.

The file holds the account's orders, and is made readable for you alone. After a crash it is gone on with, and when
the day changes the next file gets the date in its name.

It uses the session of ``firstock-ws login``, at the broker or at a simulator. A simulator that nobody has logged
in to needs none: run ``firstock-ws simulate`` in another terminal, then

    FIRSTOCK_URL=ws://127.0.0.1:9100/ws FIRSTOCK_USER_ID=AB1234 FIRSTOCK_JKEY=secret python record_day.py day.jsonl

A name that ends in ``.jsonl.zst`` gives a much smaller file; it needs ``pip install ".[record]"`` in the project's
folder.
"""

import os
import sys
import time

from firstock_ws import FirstockError, FirstockWS, Recorder, State

TOKENS = ["NSE:26000", "NSE:2885", "NSE:1594"]


def record(client: FirstockWS, path: str, seconds: float) -> None:
    """Record for so long."""
    end = time.monotonic() + seconds
    # Begun before connecting: the first quotes and what happened earlier to orders are in it too.
    with Recorder(client, path) as recorder, client:
        client.connect()
        print("recording to", path, flush=True)
        try:
            while time.monotonic() < end and client.state is not State.FAILED:
                time.sleep(min(1.0, max(0.0, end - time.monotonic())))
        except KeyboardInterrupt:
            print("stopped by Ctrl-C")
    stats = recorder.stats
    print(f"{stats.frames} frames recorded, {stats.dropped} dropped, {stats.written} bytes in {stats.file}")


def main() -> int:
    path = sys.argv[1] if len(sys.argv) > 1 else "day.jsonl"
    try:
        client = FirstockWS.from_login(tokens=TOKENS)
    except FirstockError as error:
        print(error, file=sys.stderr)
        return 2
    client.on_reconnect = lambda attempt, delay: print(
        f"not connected, try {attempt} in {delay:.1f} s", flush=True
    )
    try:
        record(client, path, float(os.environ.get("SECONDS") or "inf"))
    except FirstockError as error:
        print(f"Gave up: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
