"""Live quotes, order and position updates of the Firstock broker, in plain Python callbacks.

>>> from firstock_ws import FirstockWS
>>> client = FirstockWS(user_id="AB1234", jkey="...", tokens=["NSE:26000"])
>>> client.on_quote = lambda quote: print(quote.instrument, quote.last_price)
>>> client.run_forever()  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from firstock_ws._version import __version__
from firstock_ws.client import FirstockWS
from firstock_ws.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    FirstockError,
    FrameError,
    RateLimitError,
    ReconcileError,
    RecordingError,
    ServerError,
    SessionLimitError,
    UnknownSymbolError,
    UsageError,
)
from firstock_ws.models import IST, DepthLevel, OptionGreeks, OrderUpdate, PositionUpdate, Quote
from firstock_ws.protocol import API_URL, V1_URL, V2_URL
from firstock_ws.rest.session import Session, login, logout
from firstock_ws.state import State
from firstock_ws.stats import Stats

__all__ = [
    "API_URL",
    "IST",
    "V1_URL",
    "V2_URL",
    "AuthenticationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "DepthLevel",
    "FirstockError",
    "FirstockWS",
    "FrameError",
    "OptionGreeks",
    "OrderUpdate",
    "PositionUpdate",
    "Quote",
    "RateLimitError",
    "ReconcileError",
    "Recorder",
    "RecordingError",
    "Replay",
    "ServerError",
    "Session",
    "SessionLimitError",
    "State",
    "Stats",
    "UnknownSymbolError",
    "UsageError",
    "__version__",
    "login",
    "logout",
    "replay",
]

if TYPE_CHECKING:
    from firstock_ws.recording import Recorder, Replay, replay

_LAZY = {"Recorder", "Replay", "replay"}


def __getattr__(name: str) -> Any:
    """Import what few programs need when it is asked for."""
    if name in _LAZY:
        from firstock_ws import recording

        return getattr(recording, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
