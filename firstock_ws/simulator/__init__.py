"""A simulator of the Firstock broker's WebSocket and REST calls, for tests and demonstrations without an account.

Everything it needs beyond the standard library is the package ``websockets``.
"""

from __future__ import annotations

from .behaviour import Behaviour

try:
    from .simulator import Simulator
except ModuleNotFoundError as error:
    if error.name != "websockets":
        raise
    hint = 'the simulator needs the extra "demo": pip install "firstock-ws[demo]"'
    raise ModuleNotFoundError(hint, name="websockets") from None

__all__ = ["Behaviour", "Simulator"]
