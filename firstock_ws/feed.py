"""Turns received frames into events for the callback thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from firstock_ws import protocol
from firstock_ws._secrets import get_logger
from firstock_ws.dispatch import Dispatcher, Update
from firstock_ws.errors import FirstockError, FrameError
from firstock_ws.ledger import Ledger
from firstock_ws.merge import QuoteBook
from firstock_ws.models import IST
from firstock_ws.models.greeks import read_greeks
from firstock_ws.models.order import read_order
from firstock_ws.models.position import read_position
from firstock_ws.protocol import Kind, Part

logger = get_logger("firstock_ws.feed")


class FeedCounts(NamedTuple):
    """What the feed has seen so far."""

    frames: int
    bytes: int
    order_updates: int
    position_updates: int
    option_greeks: int
    unknown_frames: int
    field_errors: int
    last_frame_at: datetime | None


class Feed:
    """Decodes, sorts, merges and queues what the server sends; one per client, through all its connections.

    Threads: only the reading thread calls anything but `counts`. The counters need no lock: one thread writes
    them, each is replaced whole, and the ones that must agree with each other are the dispatcher's.
    """

    def __init__(
        self, book: QuoteBook, dispatcher: Dispatcher, ledger: Ledger, wants_raw: Callable[[], bool]
    ) -> None:
        """
        Args:
            wants_raw: asked for each frame whether the user listens to ``on_message``.
        """
        self._book = book
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._wants_raw = wants_raw
        self._reported: set[tuple[str, str]] = set()
        self._frames = 0
        self._bytes = 0
        self._order_updates = 0
        self._position_updates = 0
        self._option_greeks = 0
        self._unknown_frames = 0
        self._field_errors = 0
        self._last_frame_at = 0.0

    def start_afresh(self) -> None:
        """Begin a new connection: merge over nothing, report bad fields again."""
        self._reported.clear()
        self._book.start_afresh()

    def counts(self) -> FeedCounts:
        """Return the figures so far."""
        at = self._last_frame_at
        return FeedCounts(
            frames=self._frames,
            bytes=self._bytes,
            order_updates=self._order_updates,
            position_updates=self._position_updates,
            option_greeks=self._option_greeks,
            unknown_frames=self._unknown_frames,
            field_errors=self._field_errors,
            last_frame_at=datetime.fromtimestamp(at, IST) if at else None,
        )

    def handle(self, frame: bytes, *, is_text: bool) -> list[dict[str, Any]]:
        """Queue all events in `frame`; return the session frames in it, which are the connection's business."""
        self._frames += 1
        self._bytes += len(frame)
        self._last_frame_at = time.time()
        if is_text and self._wants_raw():
            self._dispatcher.put_notice("on_message", frame.decode("utf-8", errors="replace"))
        if not is_text:
            self._not_understood("a binary frame, which this feed does not have", frame)
            return []
        try:
            message = protocol.decode(frame)
        except FrameError as error:
            if protocol.says_session_limit(frame):
                return [_session_limit()]
            self._not_understood(str(error), frame)
            return []
        return self._handle_parts(list(protocol.parts(message)), frame)

    def _handle_parts(self, parts: list[Part], frame: bytes) -> list[dict[str, Any]]:
        sessions: list[dict[str, Any]] = []
        problems: list[str] = [] if parts else ["an empty list"]
        updates: list[Update] = []
        for part in parts:
            if part.kind is Kind.MARKET:
                bad: list[str] = []
                quote = self._book.merge(part.instrument, part.fields, bad)
                if quote is not None:
                    updates.append(quote)
                self._report_fields("market frame", bad, part.fields)
            elif part.kind is Kind.GREEKS:
                greeks, bad = read_greeks(part.instrument, part.fields)
                self._option_greeks += 1
                updates.append(greeks)
                self._report_fields("option greeks", bad, part.fields)
            elif part.kind is Kind.SESSION:
                sessions.append(part.fields)
            elif part.kind is Kind.UNKNOWN:
                problems.append(part.problem)
            else:
                # What came before it in the frame must be delivered before it.
                self._flush(updates)
                problems += self._handle_trade(part)
        self._flush(updates)
        if problems and protocol.says_session_limit(frame):
            sessions.append(_session_limit())
        elif problems:
            self._not_understood("; ".join(problems[:3]) + (" ..." if len(problems) > 3 else ""), frame)
        return sessions

    def _flush(self, updates: list[Update]) -> None:
        if updates:
            self._dispatcher.put_updates(updates)
            updates.clear()

    def _handle_trade(self, part: Part) -> list[str]:
        if part.kind is Kind.ORDER:
            order, bad = read_order(part.fields)
            if order is None:
                return ["an order update without an order number"]
            self._order_updates += 1
            self._ledger.stream_order(order)
            self._report_fields("order update", bad, part.fields)
        else:
            position, bad = read_position(part.fields)
            self._position_updates += 1
            self._ledger.stream_position(position)
            self._report_fields("position update", bad, part.fields)
        return []

    def report(self, error: FirstockError) -> None:
        """Tell the user of something wrong with what was received; the feed goes on."""
        logger.warning("%s", error)
        self._dispatcher.put_notice("on_error", error)

    def _not_understood(self, problem: str, frame: bytes) -> None:
        self._unknown_frames += 1
        self.report(FrameError(f"a frame was not understood: {problem}", frame=frame))

    def _report_fields(self, what: str, bad: list[str], raw: dict[str, Any]) -> None:
        self._field_errors += len(bad)
        for name in bad:
            if (what, name) not in self._reported:
                self._reported.add((what, name))
                text = f"{what}: the field {name!r} could not be parsed and is None (said once a connection)"
                self.report(FrameError(text, frame=raw))


def _session_limit() -> dict[str, Any]:
    # Nobody has published the envelope of this text: bring it into the shape of the other failures.
    return {"status": "failed", "message": "Maximum sessions limit reached"}
