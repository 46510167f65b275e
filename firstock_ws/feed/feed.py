"""Turns received frames into events for the callback thread."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from operator import length_hint
from typing import Any, NamedTuple

from firstock_ws import protocol
from firstock_ws._secrets import get_logger
from firstock_ws.dispatch import Dispatcher
from firstock_ws.errors import FirstockError, FrameError
from firstock_ws.feed.book import QuoteBook
from firstock_ws.feed.market import Entry
from firstock_ws.ledger import Ledger
from firstock_ws.models import IST, Quote
from firstock_ws.models.greeks import read_greeks
from firstock_ws.models.order import read_order
from firstock_ws.models.position import read_position
from firstock_ws.pending import Update
from firstock_ws.protocol import Kind, Part
from firstock_ws.taps import Decision, Odd, Taps

logger = get_logger("firstock_ws.feed")

_AT_ONCE = 16
"""Parts of frames that are merged at once: of many, the first would have left the processor's cache by then."""


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
    them, each is replaced whole, and the ones that must agree with each other are the dispatcher's. The lock of
    the taps, `Taps.order`, is held while frames are taken.
    """

    def __init__(
        self,
        book: QuoteBook,
        dispatcher: Dispatcher,
        ledger: Ledger,
        wants_raw: Callable[[], bool],
        *,
        fast: bool = True,
        taps: Taps | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            wants_raw: asked for each batch of frames whether the user listens to ``on_message``.
            fast: whether to decode usual market frames with msgspec, if it is installed.
            taps: who else is told of the frames.
            clock: tells when a frame came, epoch seconds.
        """
        self._read_frames = reader_of_frames() if fast else _read_nothing
        self._book = book
        self._dispatcher = dispatcher
        self.hand_over = dispatcher.announce
        """Has what was queued delivered: nothing more is coming for now."""
        self._ledger = ledger
        self._wants_raw = wants_raw
        self._taps = Taps() if taps is None else taps
        self._order = self._taps.order
        self._clock = clock
        self._odd: list[Odd] = []
        self._decisions: list[Decision] = []
        self.reported: set[tuple[str, str]] = set()
        """What kinds of frames had which bad fields on this connection. Guarded by the lock of the taps."""
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
        with self._taps.order:
            self._taps.begin()
            self.reported.clear()
            self._book.start_afresh()
            for tap in self._taps.now:
                tap.afresh()

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

    def handle(self, frames: Sequence[bytes]) -> Iterator[dict[str, Any]]:
        """Queue all events in text `frames`, in their order; yield the session frames, which are the connection's.

        The callback thread may learn of quotes only by `hand_over`.
        """
        self._frames += len(frames)
        self._bytes += sum(map(len, frames))
        self._last_frame_at = self._clock()
        rest = iter(frames)
        sessions: list[dict[str, Any]] = []
        while True:
            # Let go of for the session frames: the connection waits for the network when it answers them.
            with self._order:
                tapped = self._taps.now
                if tapped:
                    self._taps.begin()
                    before = length_hint(rest)
                entries: list[Entry] = []
                updates: list[Update] = []
                wants_raw = self._wants_raw()
                while length_hint(rest) and not sessions:
                    try:
                        shown = self._show(rest, entries, updates) if wants_raw else rest
                        unusual = self._read_frames(shown, entries, _AT_ONCE)
                        self._merge(entries, updates)
                        if unusual is None:
                            continue
                        self._put(updates)
                        sessions = self._handle_unusual(unusual)
                    except Exception:  # noqa: BLE001 - told of
                        self._flush(entries, updates)
                        self._report_fault(frames[-1 - length_hint(rest)])
                    self._note_odd(frames[-1 - length_hint(rest)])
                self._put(updates)
                if tapped:
                    self._tell(frames[len(frames) - before : len(frames) - length_hint(rest)])
            if not sessions:
                return
            yield from sessions
            sessions = []

    def _show(self, frames: Iterator[bytes], entries: list[Entry], updates: list[Update]) -> Iterator[bytes]:
        """Yield `frames`, each after `on_message` was told of it, and after what came of those before it."""
        for frame in frames:
            self._flush(entries, updates)
            self._dispatcher.put_notice("on_message", frame.decode("utf-8", errors="replace"))
            yield frame

    def _note_odd(self, frame: bytes) -> None:
        if self._taps.now:
            self._odd.append(Odd(frame, tuple(self._decisions)))
            self._decisions.clear()

    def _tell(self, frames: Sequence[bytes]) -> None:
        for tap in self._taps.now:
            tap.frames(frames, self._odd)
        self._odd = []

    def handle_binary(self, frame: bytes) -> None:
        """Report a binary frame."""
        self._frames += 1
        self._bytes += len(frame)
        self._last_frame_at = self._clock()
        with self._taps.order:
            self._taps.begin()
            self._not_understood("a binary frame, which this feed does not have", frame)
            for tap in self._taps.now:
                tap.binary(frame)

    def _merge(self, entries: list[Entry], updates: list[Update]) -> None:
        """Merge what usual market frames held into quotes, which `updates` gets; empties `entries`."""
        batch = tuple(entries)
        entries.clear()
        rest = iter(batch)
        for _ in batch:
            try:
                odd = self._book.take_plain(rest, updates)
                if odd is None:
                    return
                self._take_odd(odd, updates)
            except Exception:  # noqa: BLE001 - told of
                self._put(updates)
                self._report_fault(batch[-1 - length_hint(rest)][2])

    def _flush(self, entries: list[Entry], updates: list[Update]) -> None:
        self._merge(entries, updates)
        self._put(updates)

    def _take_odd(self, entry: Entry, updates: list[Update]) -> None:
        instrument, update, raw = entry
        try:
            quote = self._book.take(instrument, update, raw)
        except ValueError:
            # What came before it must be delivered before the errors.
            self._put(updates)
            # A number that can't be one of this feed: said, and told apart, field by field.
            quote = self._merge_fields(instrument, raw if isinstance(raw, dict) else json.loads(raw))
        if quote is not None:
            updates.append(quote)

    def _merge_fields(self, instrument: str, fields: dict[str, Any]) -> Quote | None:
        bad: list[str] = []
        quote = self._book.merge(instrument, fields, bad)
        self._report_fields("market frame", bad, fields)
        return quote

    def _handle_unusual(self, frame: bytes) -> list[dict[str, Any]]:
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
                quote = self._merge_fields(part.instrument, part.fields)
                if quote is not None:
                    updates.append(quote)
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
                self._put(updates)
                problems += self._handle_trade(part)
        self._put(updates)
        if problems and protocol.says_session_limit(frame):
            sessions.append(_session_limit())
        elif problems:
            self._not_understood("; ".join(problems[:3]) + (" ..." if len(problems) > 3 else ""), frame)
        return sessions

    def _put(self, updates: list[Update]) -> None:
        if updates:
            self._dispatcher.put_updates(updates, more_follow=True)
            updates.clear()

    def _handle_trade(self, part: Part) -> list[str]:
        if part.kind is Kind.ORDER:
            order, bad = read_order(part.fields)
            if order is None:
                return ["an order update without an order number"]
            self._order_updates += 1
            told = self._ledger.stream_order(order)
            changed = told is not None and told.filled_quantity != order.filled_quantity
            self._decide((told.filled_quantity or 0) if changed and told is not None else told is not None)
            self._report_fields("order update", bad, part.fields)
        else:
            position, bad = read_position(part.fields)
            self._position_updates += 1
            self._decide(self._ledger.stream_position(position))
            self._report_fields("position update", bad, part.fields)
        return []

    def _decide(self, decision: Decision) -> None:
        if self._taps.now:
            self._decisions.append(decision)

    def report(self, error: FirstockError) -> None:
        """Tell the user of something wrong that a session frame says; the feed goes on."""
        logger.warning("%s", error)
        self._taps.put(self._dispatcher.put_notice, "on_error", error)

    def _report(self, error: FirstockError) -> None:
        """Tell the user of something wrong with a frame; taps learn of the frame."""
        logger.warning("%s", error)
        self._dispatcher.put_notice("on_error", error)

    def _report_fault(self, frame: bytes | dict[str, Any]) -> None:
        """Tell of the exception that is being handled: what trips over a fault of ours costs nothing else."""
        logger.exception("a frame could not be handled")
        self._report(FrameError("a frame could not be handled; the log has the details", frame=frame))

    def _not_understood(self, problem: str, frame: bytes) -> None:
        self._unknown_frames += 1
        self._report(FrameError(f"a frame was not understood: {problem}", frame=frame))

    def _report_fields(self, what: str, bad: list[str], raw: dict[str, Any]) -> None:
        self._field_errors += len(bad)
        for name in bad:
            if (what, name) not in self.reported:
                self.reported.add((what, name))
                text = f"{what}: the field {name!r} could not be parsed and is None (said once a connection)"
                self._report(FrameError(text, frame=raw))


ReadFrames = Callable[[Iterator[bytes], list[Entry], int], "bytes | None"]
"""A way to read usual market frames, see `firstock_ws.feed.typed.read_frames`."""


def _read_nothing(frames: Iterator[bytes], entries: list[Entry], enough: int) -> bytes | None:
    """Leave all frames to the standard library's json."""
    return next(frames)


def reader_of_frames() -> ReadFrames:
    """Return the fastest way there is to read usual market frames."""
    try:
        # Here, since msgspec may not be installed, and takes its time to import.
        from firstock_ws.feed.typed import read_frames
    except ImportError:
        logger.debug("msgspec is not installed: market frames are decoded with the standard library")
    except Exception:
        logger.warning("this version of msgspec can't be used: pip install -U msgspec", exc_info=True)
    else:
        return read_frames
    from firstock_ws.feed import untyped

    return untyped.read_frames


def frame_reader() -> Callable[[bytes], list[Entry] | None]:
    """Return a function that says what one frame holds, None if it is an unusual one."""
    read_frames = reader_of_frames()

    def read_frame(frame: bytes) -> list[Entry] | None:
        entries: list[Entry] = []
        return entries if read_frames(iter((frame,)), entries, 1) is None else None

    return read_frame


def _session_limit() -> dict[str, Any]:
    # Nobody has published the envelope of this text: bring it into the shape of the other failures.
    return {"status": "failed", "message": "Maximum sessions limit reached"}
