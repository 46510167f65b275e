"""Asks the user at the terminal. What is secret is not shown while it is typed."""

from __future__ import annotations

import getpass
import sys
import warnings

from firstock_ws.errors import UsageError


def ask(label: str, variable: str, *, secret: bool = False) -> str:
    """Return what the user types for `label`.

    Args:
        variable: the variable of the environment that would have spared the question.

    Raises:
        UsageError: there is nobody to ask, or no answer.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"{label} is missing, and there is no terminal to ask at: set {variable}")
    try:
        answer = _ask_hidden(label) if secret else _ask_openly(label)
    except EOFError:
        answer = ""
    except getpass.GetPassWarning:
        raise UsageError(f"this terminal would show the {label} while it is typed: set {variable}") from None
    if not answer.strip():
        raise UsageError(f"{label} is missing: type it, or set {variable}")
    return answer.strip()


def _ask_hidden(label: str) -> str:
    with warnings.catch_warnings():
        # Where it can't hide what is typed, it only warns, and shows it.
        warnings.simplefilter("error", getpass.GetPassWarning)
        return getpass.getpass(f"{label}: ", sys.stderr)


def _ask_openly(label: str) -> str:
    # Not input(): its prompt would go into the pipe that stdout may be.
    sys.stderr.write(f"{label}: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
    return line
