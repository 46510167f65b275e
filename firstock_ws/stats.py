"""`Stats`: figures of one client, as they stood at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the client was made, over all its connections.

    ``quotes_received == quotes_delivered + quotes_conflated + quotes_waiting``, in every snapshot.
    """

    connections: int
    """Connections that were authenticated."""
    frames: int
    """Text and binary frames received."""
    bytes: int
    """Payload bytes of those frames."""
    quotes_received: int
    """Quotes made from market frames; a V2 frame holds several."""
    quotes_delivered: int
    """Quotes handed to ``on_quote``."""
    quotes_conflated: int
    """Quotes never handed over: a newer state took their place, or ``close()`` came while they waited."""
    quotes_waiting: int
    """Quotes that wait for the callback thread."""
    order_updates: int
    """Order updates received on the stream; each is delivered, but for stale ones."""
    position_updates: int
    """Position updates received on the stream; each is delivered, but for stale ones."""
    book_updates: int
    """Order and position updates delivered from the broker's books, since the stream had not told them."""
    stale_updates: int
    """Order and position updates of the stream not delivered, since the user knew as much or more already."""
    reconciles: int
    """Times that the books were read."""
    reconcile_failures: int
    """Times that they could not be read."""
    gap_since: datetime | None
    """Since when order and position updates may be missing, IST. None again after two readings of the books, 2 s
    apart, since the last connect; set again when a later reading fails. None when ``reconcile`` is off."""
    option_greeks: int
    """Option greeks received; conflated like quotes when the callbacks are slow."""
    unknown_frames: int
    """Frames that were not understood, in whole or in part."""
    field_errors: int
    """Fields that could not be parsed and became None."""
    callback_errors: int
    """Exceptions raised by callbacks."""
    notices_dropped: int
    """Raw frames (``on_message``) and frame errors not delivered, since ``max_pending`` of them waited."""
    last_frame_at: datetime | None
    """When the newest frame was received, IST, by this computer's clock."""

    def to_dict(self) -> dict[str, Any]:
        """Return all figures by name."""
        return asdict(self)
