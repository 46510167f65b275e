"""Profiles: what ``login`` needs and is no secret, kept in a JSON file under the user's configuration."""

from __future__ import annotations

import json
import re

from firstock_ws.errors import UsageError
from firstock_ws.paths import profile_file

NAMES = ("user_id", "vendor_code", "url", "rest_url")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def read_profile(name: str) -> tuple[dict[str, str], list[str]]:
    """Return what profile `name` says, and the names in it that do not belong there, secrets above all.

    Raises:
        UsageError: there is no such profile, or it is no JSON object.
    """
    path = profile_file(check_name(name))
    values = None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no profile {name!r}: make it with firstock-ws login --save-profile {name}") from None
    except ValueError:
        pass  # Said below, without the text, which may hold a secret.
    if not isinstance(values, dict):
        raise UsageError(f"{path} is no JSON object: mend or delete it")
    good = {key: value for key, value in values.items() if key in NAMES and isinstance(value, str)}
    return good, [str(key) for key in values if key not in good]


def write_profile(name: str, values: dict[str, str]) -> str:
    """Keep `values` as profile `name`; return where.

    Raises:
        UsageError: `name` is no name.
        OSError: it can't be written.
    """
    path = profile_file(check_name(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in values.items() if key in NAMES and value}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return str(path)


def check_name(name: str) -> str:
    """Return `name` if it can be a profile's; raise UsageError if not."""
    if not _NAME.fullmatch(name):
        raise UsageError("a profile's name is letters, digits, - and _, such as main")
    return name
