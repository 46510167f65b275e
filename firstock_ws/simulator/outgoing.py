"""What waits to be sent to a client, and what the rest of the simulator knows of a session."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Frame:
    """A frame that waits to be sent.

    Args:
        data: The payload.
        binary: Whether it goes as a binary frame.
        opens: Whether the session is usable once it is sent.
    """

    data: bytes
    binary: bool = False
    opens: bool = False


@dataclass(frozen=True, eq=False)
class Ending:
    """The end of a session, in its place among the frames.

    Args:
        code: Code of the close frame; None for a TCP FIN without one.
        reason: Text of the close frame.
    """

    code: int | None
    reason: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)


class LiveSession(Protocol):
    """A session as the world sees it; see :class:`~.sessions.Session`, which is one."""

    user_id: str
    version: int
    ready: bool
    feed: dict[str, None]
    greeks: dict[str, None]
    sent: int
    ended_by_us: bool
    link: Any

    @property
    def backlog(self) -> int: ...

    def put(self, data: bytes, binary: bool = False) -> None: ...

    def end(self, code: int | None, reason: str = "") -> Ending: ...

    def end_after_failure(self) -> Ending: ...

    def reset(self) -> None: ...
