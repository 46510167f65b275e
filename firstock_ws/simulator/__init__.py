"""A simulator of the Firstock broker's WebSocket, for tests and demonstrations without an account.

Everything it needs beyond the standard library is the package ``websockets``.
"""

from __future__ import annotations

from .behaviour import Behaviour
from .simulator import Simulator

__all__ = ["Behaviour", "Simulator"]
