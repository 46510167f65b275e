"""One client in a process of its own: ``python -m benchmarks.child --peer ours ...`` prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import traceback

from benchmarks.meter import Meter
from benchmarks.peers import PEERS
from benchmarks.target import Target

FAILED = 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.child", description=__doc__)
    parser.add_argument("--peer", choices=PEERS, required=True)
    parser.add_argument("--port", type=int, required=True, help="the flood server's")
    parser.add_argument("--control", type=int, required=True, help="its port for the word on the warm-up")
    parser.add_argument("--warm", type=int, required=True, help="quotes of the warm-up")
    parser.add_argument("--quotes", type=int, required=True, help="quotes after it")
    parser.add_argument("--per-frame", type=int, default=1, help="quotes in a frame")
    parser.add_argument("--instruments", type=int, default=500)
    parser.add_argument("--ca", help="PEM file of the authority: connect with TLS")
    parser.add_argument("--latency", action="store_true", help="quotes are stamped")
    parser.add_argument("--seconds", type=float, default=60.0, help="give up after this time")
    return parser.parse_args()


def main() -> None:
    """Measure one client, print what was found, and end at once.

    Without goodbyes: some clients would take seconds for them, or try to reconnect.
    """
    arguments = _arguments()
    meter = Meter(arguments.warm, arguments.quotes, arguments.control)
    target = Target(
        port=arguments.port,
        instruments=arguments.instruments,
        quotes=arguments.warm + arguments.quotes,
        per_frame=arguments.per_frame,
        ca=arguments.ca,
        latency=arguments.latency,
    )
    run = PEERS[arguments.peer].load()

    def guarded() -> None:
        try:
            run(target, meter)
        except BaseException:  # noqa: BLE001 - whatever it is, there is nothing more to wait for
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(FAILED)

    threading.Thread(target=guarded, daemon=True).start()
    if meter.done.wait(arguments.seconds):
        print(json.dumps(meter.result()), flush=True)
        os._exit(0)
    print(
        f"{meter.quotes} of {arguments.quotes} quotes after {arguments.seconds:.0f} s", file=sys.stderr, flush=True
    )
    os._exit(FAILED)


if __name__ == "__main__":
    main()
