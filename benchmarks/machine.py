"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "firstock-ws",
    "websocket-client",
    "wsaccel",
    "msgspec",
    "orjson",
    "firstock",
    "kiteconnect",
    "smartapi-python",
    "websockets",
    "aiohttp",
    "picows",
)
_STATM = Path("/proc/self/statm")


def has_rss() -> bool:
    """Whether this system tells how much memory a process has right now."""
    return _STATM.exists()


def rss_mib() -> float:
    """Memory of this process, MiB."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def describe() -> dict[str, str]:
    """Return the machine and the interpreter, by heading."""
    return {
        "processor": f"{_cpu_model()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of all that is compared; what isn't installed says so."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
