"""The command line: ``firstock-ws simulate`` and ``firstock-ws demo``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from firstock_ws._version import __version__

MISSING_EXTRA = (
    'this command needs the extra "demo": pip install "firstock-ws[demo]", or in the source folder '
    'pip install ".[demo]"'
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (by default the process's own) and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        run = _simulate if arguments.command == "simulate" else _demo
        return run(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "websockets"):
            raise
        print(f"firstock-ws: {MISSING_EXTRA}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `| head` has read enough. The interpreter would complain at its exit that stdout can't be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _simulate(arguments: argparse.Namespace) -> int:
    from firstock_ws.simulator import Simulator

    users = dict(pair for words in arguments.users for pair in words)
    simulator = Simulator(
        users=users,
        host=arguments.host,
        port=arguments.port,
        rest_port=arguments.rest_port,
        rate=arguments.rate,
        order_interval=arguments.orders_every or None,
        seed=arguments.seed,
    )
    logger = logging.getLogger("firstock_ws.simulator")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    stop = threading.Event()
    try:
        simulator.start()
    except OSError as error:
        # The reason names the address that it is about.
        ports = " or ".join(str(port) for port in (arguments.port, arguments.rest_port) if port)
        print(f"firstock-ws: cannot listen on port {ports or 'any'}: {error.strerror}", file=sys.stderr)
        return 1
    earlier = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        print(simulator.url, simulator.url_v2, flush=True)
        print(f"Simulated market for user {', '.join(users)}: none of this is real. Ctrl-C stops it.", flush=True)
        print("A client's address ends with ?userId=USER&jKey=KEY&source=developer-api", flush=True)
        print(f"REST, for login and the books: {simulator.rest_url}", flush=True)
        # In slices: an endless wait could not be broken by Ctrl-C on Windows.
        while not stop.wait(0.5):
            pass
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        simulator.stop()
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from firstock_ws.demo import run_demo

    return run_demo(seconds=arguments.seconds, wire=arguments.wire)


def _users(text: str) -> list[tuple[str, str]]:
    pairs = []
    for word in text.split(","):
        user_id, _, key = word.strip().partition(":")
        if not user_id or not key:
            # The word itself is not repeated: it may hold a key.
            raise argparse.ArgumentTypeError("give USER:KEY, for example AB1234:secret")
        pairs.append((user_id, key))
    return pairs


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("give a port from 0 to 65535")
    return int(text)


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("give a number that is 0 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="firstock-ws",
        description="Live quotes, order and position updates of the Firstock broker.",
    )
    parser.add_argument("--version", action="version", version=f"firstock-ws {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    simulate = commands.add_parser(
        "simulate",
        help="run a simulator of the broker's WebSocket and REST calls in the foreground",
        epilog="example: firstock-ws simulate --port 9100 --users AB1234:secret --rate 50 --seed 1",
    )
    simulate.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    simulate.add_argument("--port", type=_port, default=9100, help="0 for any free one (default: %(default)s)")
    simulate.add_argument(
        "--rest-port",
        type=_port,
        default=0,
        help="where login and the books are served, 0 for any free one (default: %(default)s)",
    )
    simulate.add_argument(
        "--users",
        type=_users,
        nargs="+",
        default=[[("AB1234", "secret")]],
        metavar="USER:KEY",
        help="who may connect, with which jKey (default: AB1234:secret)",
    )
    simulate.add_argument(
        "--rate",
        type=_not_negative,
        default=20.0,
        help="market updates a second, over all instruments (default: %(default)s)",
    )
    simulate.add_argument(
        "--orders-every",
        type=_not_negative,
        default=5.0,
        metavar="SECONDS",
        help="seconds between orders of its own, 0 for none (default: %(default)s)",
    )
    simulate.add_argument(
        "--seed",
        type=int,
        help="the same market in every run, on a clock that starts on 2 January 2026 (default: another in each)",
    )

    demo = commands.add_parser(
        "demo",
        help="watch the client at work on a simulated market",
        epilog="example: firstock-ws demo --seconds 30 --wire v2",
    )
    demo.add_argument("--seconds", type=_not_negative, default=20.0, help="how long (default: %(default)s)")
    demo.add_argument("--wire", choices=("v1", "v2"), default="v1", help="generation of the wire (default: v1)")
    return parser
