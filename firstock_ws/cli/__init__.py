"""The command line, ``firstock-ws``. Typer reads it; what it asks for is run here.

Exit codes: 0 done, 1 failed, 2 wrong use or something to install, 3 not logged in or refused by the broker,
130 Ctrl-C (but for ``simulate``, ``demo`` and ``replay --port``, which end with 0).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence

from firstock_ws._secrets import REDACTOR, get_logger
from firstock_ws._version import __version__
from firstock_ws.errors import AuthenticationError, FirstockError, UsageError
from firstock_ws.showable import showable

OK, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130

logger = get_logger("firstock_ws.cli")

_MISSING = 'this command needs the extra "{extra}": pip install "firstock-ws[{extra}]", or in the source folder '
_EXTRAS = {"typer": "cli", "rich": "cli", "pyotp": "cli", "websockets": "demo", "zstandard": "record"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (by default the process's own) and return its exit code."""
    _open_missing_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        print(f"firstock-ws {__version__}")
        return OK
    if "--debug" in arguments:
        # Where a user adds it, which is at the end, as well as where Typer wants it.
        arguments.remove("--debug")
        arguments.insert(0, "--debug")
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _let_stdout_go()
        return FAILED
    except Exception as error:
        logger.debug("the command failed", exc_info=True)
        return _report(error)


def _open_missing_streams() -> None:
    """Services and ``>&-`` start programs without some of them: what is written there goes nowhere then."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for good


def _report(error: Exception) -> int:
    """Say what went wrong in one line; return the exit code for it."""
    extra = _EXTRAS.get((error.name or "").partition(".")[0]) if isinstance(error, ModuleNotFoundError) else None
    if extra is not None:
        return _say(f'{_MISSING.format(extra=extra)}pip install ".[{extra}]"', USAGE)
    if isinstance(error, FirstockError):
        codes = {AuthenticationError: REFUSED, UsageError: USAGE}
        code = next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED)
        if code == REFUSED and "jKey" in str(error):
            # What the rest of the text advises is for programs.
            return _say(f"{str(error).partition('; get a fresh one')[0]}; log in again: firstock-ws login", code)
        return _say(str(error).replace("search(...) of client.symbols", "firstock-ws search"), code)
    if isinstance(error, OSError):
        name = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return _say(f"{name}{error.strerror or type(error).__name__}", FAILED)
    seen = logging.getLogger("firstock_ws").isEnabledFor(logging.DEBUG)
    return _say(f"unexpected {type(error).__name__}: {error}{'' if seen else '; --debug shows where'}", FAILED)


def _run(arguments: list[str]) -> int:
    from firstock_ws.cli.app import parse

    parsed = parse(arguments)
    return parsed if isinstance(parsed, int) else parsed()


Command = Callable[[], int]
"""What a command line asks for, ready to be run; returns the exit code."""


def _say(text: str, code: int) -> int:
    line = showable(" ".join(REDACTOR.redact(text).split()))
    print(f"firstock-ws: {line}", file=sys.stderr)
    return code


def _let_stdout_go() -> None:
    """`| head` has read enough. The interpreter would complain at its exit that stdout can't be flushed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
