"""A simulator of the Firstock broker's WebSocket and REST calls, for tests and demonstrations without an account.

Everything it needs beyond the standard library is the package ``websockets``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .behaviour import Behaviour

try:
    from .simulator import Simulator
except ModuleNotFoundError as error:
    if error.name != "websockets":
        raise
    hint = 'the simulator needs the extra "demo": pip install "firstock-ws[demo]"'
    raise ModuleNotFoundError(hint, name="websockets") from None

if TYPE_CHECKING:
    from .playback import Playback

__all__ = ["Behaviour", "Playback", "Simulator"]


def __getattr__(name: str) -> Any:
    """Import the playback, which needs the client's side too, when it is asked for."""
    if name == "Playback":
        from .playback import Playback

        return Playback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
