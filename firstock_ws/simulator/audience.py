"""What one client of a playback gets to hear of a recording."""

from __future__ import annotations

import json
from typing import Any

from firstock_ws import protocol
from firstock_ws.errors import FrameError
from firstock_ws.feed.book import Frozen, QuoteBook
from firstock_ws.feed.market import Entry
from firstock_ws.models.market_state import ASKS, BIDS, NUMBER_COUNT, STATE_NAMES, MarketState, portable
from firstock_ws.protocol import Kind, Part

from . import wire
from .sessions import INSTRUMENT_NAME


class Audience:
    """One client's subscriptions, and what it has missed by them. Lives on the event loop's thread.

    A client that has subscribed to nothing yet gets everything.
    """

    def __init__(self) -> None:
        self._feed: set[str] = set()
        self._greeks: set[str] = set()
        self._selective = False
        self._book = QuoteBook()
        self._withheld: set[str] = set()
        self._snapshots: dict[str, None] = {}

    def act(self, action: str, tokens: str) -> None:
        """Take an action frame of the client; one that is not known has no effect."""
        names = [name for name in tokens.split("|") if INSTRUMENT_NAME.fullmatch(name)]
        if action == protocol.SUBSCRIBE:
            self._feed.update(names)
            self._snapshots.update(dict.fromkeys(name for name in names if name in self._withheld))
        elif action == protocol.SUBSCRIBE_GREEKS:
            self._greeks.update(names)
        elif action == protocol.UNSUBSCRIBE:
            self._feed.difference_update(names)
        elif action == protocol.UNSUBSCRIBE_GREEKS:
            self._greeks.difference_update(names)
        else:
            return
        self._selective = True

    def thaw(self, frozen: Frozen) -> None:
        """Know what the recording says of its beginning, or of the end of a gap; the client is to know it too."""
        self._book.thaw(frozen)
        self._snapshots.update(dict.fromkeys(frozen.quotes))

    def missed(self) -> list[bytes]:
        """Return snapshots of what the client wants, and has not been told of all along."""
        names, self._snapshots = self._snapshots, {}
        frames = []
        for name in names:
            if self._wants(name):
                self._withheld.discard(name)
                frames.append(_snapshot(name, portable(self._book.view[name]._state)))
            else:
                self._withheld.add(name)
        return frames

    def cut(self, frame: bytes, entries: list[Entry] | None) -> list[bytes]:
        """Return what the client gets of a frame: all, a part, or nothing.

        Args:
            entries: what a usual market frame holds, None for any other frame.
        """
        if entries is None:
            return self._cut_unusual(frame)
        for entry in entries:
            try:
                self._book.take(*entry)
            except ValueError:
                # A number that can't be one: the client will say so, and a snapshot has the last good one.
                continue
        wanted = [entry[0] for entry in entries if self._wants(entry[0])]
        self._withheld.update(entry[0] for entry in entries if entry[0] not in wanted)
        if len(wanted) == len(entries):
            return [frame]
        if not wanted:
            return []
        message = json.loads(frame)
        return [wire.dump({name: message[name] for name in wanted})]

    def _cut_unusual(self, frame: bytes) -> list[bytes]:
        try:
            message = protocol.decode(frame)
        except FrameError:
            return [] if self._selective else [frame]
        items = message if isinstance(message, list) else [message]
        kept = [item for item in map(self._cut_item, items) if item is not None]
        if kept == items:
            return [frame]
        if not kept:
            return []
        return [wire.dump(kept if isinstance(message, list) else kept[0])]

    def _cut_item(self, item: object) -> object:
        """Return what the client gets of one object, None for nothing of it."""
        parts = list(protocol.parts(item))
        good = [self._passes(part) for part in parts]
        if all(good) or not isinstance(item, dict):
            return item if all(good) else None
        names = {part.instrument for part, passes in zip(parts, good, strict=True) if passes and part.instrument}
        return {name: value for name, value in item.items() if name in names} or None

    def _passes(self, part: Part) -> bool:
        if part.kind is Kind.MARKET:
            self._book.merge(part.instrument, part.fields, [])
            if self._wants(part.instrument):
                return True
            self._withheld.add(part.instrument)
            return False
        if part.kind is Kind.GREEKS:
            return not self._selective or part.instrument in self._greeks
        # The words that open a session are this server's own.
        return part.kind in (Kind.ORDER, Kind.POSITION) or (part.kind is Kind.UNKNOWN and not self._selective)

    def _wants(self, name: str) -> bool:
        return not self._selective or name in self._feed


def _snapshot(name: str, state: MarketState) -> bytes:
    """Return a frame that tells all of `state`, in the form of the first generation."""
    exchange, _, token = name.partition(":")
    body: dict[str, Any] = {"c_exch_seg": exchange, "c_symbol": token}
    numbers_and_time = zip(STATE_NAMES[: NUMBER_COUNT + 1], state, strict=False)
    body |= {field: value for field, value in numbers_and_time if value is not None}
    for side, levels in ((BIDS, state.bids), (ASKS, state.asks)):
        body[side] = [
            {field: value for field, value in level._asdict().items() if value is not None} for level in levels
        ]
    return wire.dump(body)
