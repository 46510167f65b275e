"""The commands and their options, as Typer reads them. Each returns what is to be run; nothing is run here."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import typer

from firstock_ws._version import __version__
from firstock_ws.cli import Command
from firstock_ws.cli.complete import complete_instrument
from firstock_ws.cli.options import Wire, check_port, check_users, not_negative
from firstock_ws.errors import UsageError

# Typer carries a copy of click in some versions and needs the real one in others.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]

CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong use or something to install, 3 not logged in or refused by the broker, "
    "130 Ctrl-C (but for simulate, demo and replay --port, which end with 0)."
)
_Seconds = Annotated[
    float | None, typer.Option("--seconds", callback=not_negative, metavar="N", help="End after so many seconds.")
]
_Instruments = Annotated[
    list[str] | None,
    typer.Argument(metavar="INSTRUMENT", help="NSE:RELIANCE-EQ or NSE:2885.", autocompletion=complete_instrument),
]
_Url = Annotated[str | None, typer.Option("--url", help="The WebSocket of a simulator, with --rest-url.")]
_RestUrl = Annotated[str | None, typer.Option("--rest-url", help="The REST address of a simulator.")]
_Json = Annotated[bool, typer.Option("--json", help="A line of JSON for each event.")]
_Fields = Annotated[
    str | None,
    typer.Option("--fields", metavar="A,B,C", help="What to show of a quote: last_price,age."),
]

app = typer.Typer(
    name="firstock-ws",
    help="Live quotes, order and position updates of the Firstock broker.",
    epilog=CODES,
    add_completion=True,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def parse(arguments: list[str]) -> int | Command:
    """Return what `arguments` ask for, or the exit code where Typer has done it already (``--help``).

    Raises:
        UsageError: they make no sense; the text is one line.
    """
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="firstock-ws", standalone_mode=False)
    except _ClickError as error:
        message = cast("typer.BadParameter", error).format_message()
    else:
        return result if isinstance(result, int) else cast(Command, result)
    command = next((word for word in arguments if not word.startswith("-")), "")
    known = {entry.callback.__name__ for entry in app.registered_commands if entry.callback is not None}
    where = f"{command} " if command in known else ""
    raise UsageError(f"{message.rstrip('.')}; see firstock-ws {where}--help")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"firstock-ws {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Write the log to stderr.")] = False,
) -> None:
    if debug:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("firstock_ws")
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)


@app.command(epilog="Example: firstock-ws login --save-profile main")
def login(
    user_id: Annotated[str | None, typer.Option("--user-id", help="The client code, such as AB1234.")] = None,
    vendor_code: Annotated[str | None, typer.Option("--vendor-code", help="From the broker's API page.")] = None,
    url: _Url = None,
    rest_url: _RestUrl = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="Read what is no secret from this profile.")
    ] = None,
    save_profile: Annotated[
        str | None, typer.Option("--save-profile", metavar="NAME", help="Keep what is no secret for next time.")
    ] = None,
) -> Command:
    """Log in for today, so that the other commands work.

    What is missing is asked for. The environment is read first: FIRSTOCK_USER_ID, FIRSTOCK_PASSWORD, FIRSTOCK_TOTP
    (six digits) or FIRSTOCK_TOTP_SECRET (the authenticator's secret), FIRSTOCK_VENDOR_CODE, FIRSTOCK_API_KEY,
    FIRSTOCK_URL, FIRSTOCK_REST_URL. Secrets are never arguments: everybody on this computer could read them.
    """
    from firstock_ws.cli.account import run_login

    given = {"user_id": user_id, "vendor_code": vendor_code, "url": url, "rest_url": rest_url}
    return partial(run_login, given, profile, save_profile)


@app.command(epilog="Example: firstock-ws logout")
def logout() -> Command:
    """End the session at the broker and forget it here."""
    from firstock_ws.cli.account import run_logout

    return run_logout


@app.command(epilog="Example: firstock-ws whoami")
def whoami() -> Command:
    """Say who is logged in, since when, until when, and where, as this computer knows it.

    The broker is not asked: doctor does that.
    """
    from firstock_ws.cli.account import run_whoami

    return run_whoami


@app.command(epilog="Example: firstock-ws stream NSE:26000 NSE:2885 --fields last_price,change,age")
def stream(
    instruments: _Instruments = None,
    greeks: Annotated[bool, typer.Option("--greeks", help="Option greeks of the NFO and BFO ones too.")] = False,
    fields: _Fields = None,
    seconds: _Seconds = None,
    json: _Json = False,
) -> Command:
    """Watch quotes, orders and positions: a live table, or lines in a pipe. Ctrl-C ends it.

    Without instruments: the orders and positions of the account only.
    """
    from firstock_ws.cli.stream import run_stream

    return partial(
        run_stream, instruments or [], greeks=greeks, fields=_split(fields), seconds=seconds, as_json=json
    )


@app.command(epilog="Example: firstock-ws search nifty 25000 --exchange NFO")
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="All of them must be in the name.")],
    exchange: Annotated[
        str | None, typer.Option("--exchange", metavar="NAME", help="NSE (the default), BSE, NFO or BFO.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many at most.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each.")] = False,
) -> Command:
    """Look for instruments by name, in the broker's symbol files. Needs no login."""
    from firstock_ws.cli.search import run_search

    return partial(run_search, " ".join(words), exchange=exchange, limit=limit, as_json=json)


@app.command(epilog="Example: firstock-ws record today.jsonl.zst NSE:26000 NSE:2885 --seconds 600")
def record(
    file: Annotated[
        Path, typer.Argument(help="Where to: a recording that is there is gone on with; .zst is compressed.")
    ],
    instruments: _Instruments = None,
    greeks: Annotated[bool, typer.Option("--greeks", help="Option greeks of the NFO and BFO ones too.")] = False,
    seconds: _Seconds = None,
) -> Command:
    """Write what the broker sends to a file, until Ctrl-C."""
    from firstock_ws.cli.record import run_record

    return partial(run_record, file, instruments or [], greeks=greeks, seconds=seconds)


@app.command(epilog="Example: firstock-ws replay today.jsonl.zst --speed 10 --start 09:15")
def replay(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    speed: Annotated[str, typer.Option("--speed", help="Times the speed it was recorded at, or max.")] = "1",
    start: Annotated[str | None, typer.Option("--start", help="From this time on, IST: 09:15.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Up to this time, IST: 15:30.")] = None,
    fields: _Fields = None,
    json: _Json = False,
    port: Annotated[
        int | None, typer.Option("--port", callback=check_port, help="Serve it to WebSocket clients instead.")
    ] = None,
) -> Command:
    """Show a recording as stream does, or serve it to other programs."""
    from firstock_ws.cli.replay import run_replay

    return partial(
        run_replay, file, speed=speed, start=start, end=end, fields=_split(fields), as_json=json, port=port
    )


@app.command(epilog="Example: firstock-ws simulate --port 9100 --users AB1234:secret --rate 50 --seed 1")
def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(callback=check_port, help="0 for any free one.")] = 9100,
    rest_port: Annotated[
        int, typer.Option(callback=check_port, help="Where login and the books are served; 0 for any free one.")
    ] = 0,
    more_users: Annotated[list[str] | None, typer.Argument(hidden=True, callback=check_users)] = None,
    users: Annotated[
        list[str] | None,
        typer.Option(
            callback=check_users,
            metavar="USER:KEY",
            help="Who may connect, with which jKey (AB1234:secret); several with commas.",
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option(callback=not_negative, help="Market updates a second, over all instruments.")
    ] = 20.0,
    orders_every: Annotated[
        float,
        typer.Option(callback=not_negative, metavar="SECONDS", help="Between orders of its own; 0 for none."),
    ] = 5.0,
    seed: Annotated[
        int | None,
        typer.Option(help="The same market in every run, on a clock that starts on 2 January 2026."),
    ] = None,
) -> Command:
    """Run a simulator of the broker's WebSocket and REST calls in the foreground."""
    from firstock_ws.cli.simulate import run_simulate

    return partial(
        run_simulate,
        host=host,
        port=port,
        rest_port=rest_port,
        users=[*(users or []), *(more_users or [])],
        rate=rate,
        orders_every=orders_every,
        seed=seed,
    )


@app.command(epilog="Example: firstock-ws demo --seconds 30 --wire v2")
def demo(
    seconds: Annotated[float, typer.Option(callback=not_negative, help="How long.")] = 20.0,
    wire: Annotated[Wire, typer.Option(help="Generation of the wire.")] = Wire.V1,
) -> Command:
    """Watch the client at work on a simulated market."""
    from firstock_ws.cli.demo import run_demo

    return partial(run_demo, seconds=seconds, wire=wire.value)


@app.command(epilog="Example: firstock-ws doctor --json")
def doctor(
    url: _Url = None,
    rest_url: _RestUrl = None,
    json: Annotated[bool, typer.Option("--json", help="All of it as one JSON object.")] = False,
) -> Command:
    """Check everything between this computer and the first quote. Exit code 1 if something failed."""
    from firstock_ws.cli.doctor import run_doctor

    return partial(run_doctor, url=url, rest_url=rest_url, as_json=json)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]
