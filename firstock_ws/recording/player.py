"""Does to a client, record by record, what was done to the one that was recorded."""

from __future__ import annotations

from collections import deque
from typing import Any

from firstock_ws._secrets import get_logger
from firstock_ws.client import FirstockWS
from firstock_ws.connection.refusals import ABNORMAL
from firstock_ws.dispatch import Dispatcher
from firstock_ws.errors import FirstockError, RecordingError, UsageError
from firstock_ws.feed.feed import Feed
from firstock_ws.flag import Flag
from firstock_ws.protocol import SUBSCRIBE, UNSUBSCRIBE
from firstock_ws.recording.format import Record, Snapshot, event_args, read_snapshot
from firstock_ws.recording.parts import InlineDispatcher, RecordedLedger, ReplayLifecycle, SelectiveBook
from firstock_ws.state import ENDED, State

logger = get_logger("firstock_ws.recording")


class _Nowhere(Dispatcher):
    """Tells nobody."""

    def __init__(self) -> None:
        super().__init__(lambda name, args: None, 1)

    def put(self, name: str, *args: object) -> None:
        pass

    def put_notice(self, name: str, *args: object) -> None:
        pass

    def put_updates(self, updates: Any, *, more_follow: bool = False) -> None:
        pass


class Player:
    """Plays one recording to one client.

    Threads: all is done on the thread that calls; `stop` may be set from any.
    """

    def __init__(self, client: FirstockWS) -> None:
        """
        Raises:
            UsageError: the client is connected, is being recorded, or plays a recording already.
        """
        _check(client)
        self.stop = Flag()
        """Set when the client is closed."""
        self.wall = 0
        """Epoch nanoseconds of what is being played."""
        self.client = client
        subscriptions = client._subscriptions
        self._book = SelectiveBook(subscriptions)
        self._book.learn(client._book.symbols)
        self._dispatcher = InlineDispatcher(
            client._owner.call,
            lambda name: not self._book.selective or subscriptions.wants_greeks(name),
            client._owner.listens,
        )
        self._ledger = RecordedLedger(self._dispatcher.put)
        self._lifecycle = ReplayLifecycle(self.stop)
        client._wire(
            self._dispatcher,
            book=self._book,
            ledger=self._ledger,
            lifecycle=self._lifecycle,
            clock=lambda: self.wall / 1e9,
        )
        client._state.take_charge(self)
        self._connected = False
        self._told_connected = False
        nowhere = _Nowhere()
        fast = client._settings.fast_path
        # Merges what comes before the replay begins, of which nobody is told and nothing counted.
        self._before = Feed(self._book, nowhere, RecordedLedger(nowhere.put), lambda: False, fast=fast)

    # --- before the replay begins ----------------------------------------------------------------------------

    def merge(self, record: Record) -> None:
        """Take `record` without telling the user."""
        kind = record.kind
        if kind == "frame":
            for _ in self._before.handle([record.frame]):
                pass
        elif kind == "afresh":
            self._before.start_afresh()
        elif kind == "event" and record.values["event"] in ("on_connect", "on_close"):
            self._connected = record.values["event"] == "on_connect"
        elif kind == "recording":
            snapshot = read_snapshot(record)
            self._thaw(snapshot, self._before)
            self._connected = snapshot.connected
        elif kind == "wanted":
            try:
                self._wanted(record)
            except (LookupError, TypeError, AttributeError):
                raise _senseless(record) from None

    def begin(self) -> None:
        """Begin to tell the user: that there is a connection, if there is one in the middle of which it begins."""
        self._client_feed.reported |= self._before.reported
        if self._connected:
            self._tell_connected()
        self._dispatcher.drain()

    @property
    def _client_feed(self) -> Feed:
        return self.client._feed

    # --- the replay ------------------------------------------------------------------------------------------

    def play(self, record: Record) -> None:
        """Do what `record` says, and call all callbacks that it brings.

        Raises:
            RecordingError: the record makes no sense.
            KeyboardInterrupt: Ctrl-C was pressed in a callback.
        """
        self.wall = record.wall
        # Looked at before a frame is merged: a client that has just subscribed gets no more of the rest.
        _ = self._book.selective
        if record.kind == "frame":
            self._ledger.decisions = deque(record.decisions)
            for _ in self._client_feed.handle((record.frame,)):
                pass
        else:
            try:
                self._play_other(record)
            except (ValueError, LookupError, TypeError, AttributeError):
                raise _senseless(record) from None
        self._dispatcher.drain()

    def report(self, error: FirstockError) -> None:
        """Tell the user of something wrong with the recording."""
        self._dispatcher.put("on_error", error)
        self._dispatcher.drain()

    def _play_other(self, record: Record) -> None:
        kind = record.kind
        if kind == "event":
            self._event(record)
        elif kind == "book":
            self._ledger.play(record.values)
        elif kind == "afresh":
            self._client_feed.start_afresh()
        elif kind == "wanted":
            self._wanted(record)
        elif kind == "binary":
            self._client_feed.handle_binary(record.frame)
        elif kind == "recording":
            self._begin_anew(read_snapshot(record))
        elif kind == "lost":
            lost = record.values["lost"]
            logger.warning("%s: %d frames are missing here, the disk was too slow", record.time, lost["frames"])

    def _event(self, record: Record) -> None:
        name = record.values["event"]
        if name == "on_connect":
            self._tell_connected()
            return
        if name == "on_close":
            self._connected = self._told_connected = False
        self._set_state(State(record.values["state"]))
        self._dispatcher.put(name, *event_args(record))

    def _tell_connected(self) -> None:
        self._connected = self._told_connected = True
        self._lifecycle.connected()
        self._set_state(State.CONNECTED)
        self._dispatcher.put("on_connect")

    def _begin_anew(self, snapshot: Snapshot) -> None:
        """Go on after a gap, or in the middle of a connection: callbacks that are missing are made up."""
        self._thaw(snapshot, self._client_feed)
        if self._told_connected and not snapshot.connected:
            self._connected = self._told_connected = False
            self._set_state(State.WAITING)
            self._dispatcher.put("on_close", ABNORMAL, "the recording has a gap here")
        elif snapshot.connected and not self._told_connected:
            self._tell_connected()

    def _thaw(self, snapshot: Snapshot, feed: Feed) -> None:
        self._book.thaw(snapshot.book)
        feed.reported = set(snapshot.reported)

    def _wanted(self, record: Record) -> None:
        action, tokens = record.values["wanted"], record.values["tokens"]
        self._book.learn(record.values.get("symbols", {}))
        if action == SUBSCRIBE:
            self._book.unmute_recorded(tokens)
        elif action == UNSUBSCRIBE:
            self._book.mute(tokens)

    def _set_state(self, state: State) -> None:
        holder = self.client._state
        if holder.now in ENDED and state not in ENDED:
            holder.take_charge(self)
        holder.set(self, state)

    def finish(self, *, closed: bool) -> None:
        """End the replay.

        Args:
            closed: whether the user ended it before its end: the callbacks then tell what ``close()`` tells live.
        """
        if closed and self._told_connected:
            self._told_connected = False
            self._dispatcher.put("on_close", 1000, "closed by the client")
        self._lifecycle.playing = False
        try:
            self._dispatcher.drain()
        finally:
            self.client._state.set(self, State.STOPPED)


def _senseless(record: Record) -> RecordingError:
    return RecordingError(f"the recording is damaged: a line of the kind {record.kind!r} makes no sense")


def _check(client: FirstockWS) -> None:
    if not isinstance(client, FirstockWS):
        raise TypeError(f"a recording is played to a FirstockWS, not to {client!r}")
    client._lifecycle.check_process()
    if client._dispatcher.on_callback_thread:
        raise UsageError("replay() was called from a callback of this client: call it from another thread")
    if isinstance(client._lifecycle, ReplayLifecycle) and client._lifecycle.playing:
        raise UsageError("this client plays a recording already: give another client")
    if client._lifecycle.live and client._state.now not in ENDED:
        raise UsageError("this client is connected: close() it before the replay, or give another client")
    if client._taps.now:
        raise UsageError("this client is being recorded: close() its recorder before the replay")
    # One that gave up has threads and an exit handler left.
    client.close()
