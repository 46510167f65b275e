"""One client's session: its subscriptions, its outgoing queue, and the pings that keep it honest."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import deque
from collections.abc import Callable

from websockets.exceptions import ConnectionClosed

from .outgoing import Ending, Frame
from .state import World
from .transport import Link

logger = logging.getLogger("firstock_ws.simulator")

#: Frames that may wait for one session; beyond it the session is dropped.
MAX_QUEUED_FRAMES = 5_000
#: Seconds that a client gets to answer a close frame, or to close after a FIN.
LINGER = 1.0
INSTRUMENT_NAME = re.compile(r"[A-Z][A-Z_]*:[0-9A-Za-z&._-]+")


class Session:
    """One upgraded connection. ``user_id``, ``version``, ``ready``, ``feed``, ``greeks`` belong to the
    world's lock; the queue belongs to the event loop's thread.

    Args:
        link: The connection.
        world: The broker.
        on_subscribe: Called, with the lock held, with the session, the kind (``"feed"`` or ``"greeks"``)
            and the names that it did not have before.
    """

    def __init__(self, link: Link, world: World, on_subscribe: Callable[[Session, str, list[str]], None]) -> None:
        self.link = link
        self.user_id = link.user_id
        self.version = link.version
        self.ready = False
        self.feed: dict[str, None] = {}
        self.greeks: dict[str, None] = {}
        self.sent = 0
        self.ended_by_us = False
        self._world = world
        self._on_subscribe = on_subscribe
        self._queue: deque[Frame | Ending] = deque()
        self._filled = asyncio.Event()

    @property
    def backlog(self) -> int:
        """Frames that wait to be sent."""
        return len(self._queue)

    def welcome(self, data: bytes) -> None:
        """Queue the success frame; until it is sent, nothing that the client says counts."""
        self._queue.append(Frame(data, opens=True))
        self._filled.set()

    def put(self, data: bytes, binary: bool = False) -> None:
        """Queue a frame, as text unless told otherwise; a session whose queue is full is dropped."""
        if self.ended_by_us:
            return
        if len(self._queue) >= MAX_QUEUED_FRAMES:
            logger.warning("dropping a session of %s: %d frames wait for it", self.user_id, len(self._queue))
            self.ended_by_us = True
            self.retire()
            self.link.transport.abort()
            return
        self._queue.append(Frame(data, binary))
        self._filled.set()

    def end(self, code: int | None, reason: str = "") -> Ending:
        """Queue the end of the session: a close frame, or a TCP FIN if ``code`` is None."""
        ending = Ending(code, reason)
        if self.ended_by_us:
            ending.done.set()
        self._queue.append(ending)
        self.ended_by_us = True
        self._filled.set()
        return ending

    def end_after_failure(self) -> Ending:
        """Queue the end of a session that was told of a failure."""
        behaviour = self._world.behaviour
        return self.end(behaviour.failure_close_code if behaviour.close_after_failure == "close" else None)

    def reset(self) -> None:
        """End the session with a TCP RST, ahead of all that waits."""
        self.ended_by_us = True
        self.retire()
        self.link.reset()

    def retire(self) -> None:
        """Take the session off the books."""
        world = self._world
        with world.lock:
            self.ready = False
            if self not in world.sessions:
                return
            world.sessions.remove(self)
            world.roster += 1
            remembered = world.behaviour.forget_sessions_after
            if remembered > 0 and not self.ended_by_us and self.link.protocol.close_rcvd is None:
                world.vanished.setdefault(self.user_id, []).append(time.monotonic() + remembered)
            world.touch()

    async def send_queue(self) -> None:
        """Send what is queued, in order, until the session ends."""
        try:
            while True:
                while not self._queue:
                    self._filled.clear()
                    await self._filled.wait()
                if self._world.frame_delay > 0:
                    await asyncio.sleep(self._world.frame_delay)
                await self.link.line.speaking.wait()
                item = self._queue.popleft()
                if isinstance(item, Ending):
                    await self._finish(item)
                    return
                if item.opens:
                    # In the same turn of the loop as the frame goes out: whoever has read it finds the
                    # session open, and nothing that came before it counts.
                    self._open()
                await self.link.send(item.data, text=not item.binary)
                self.sent += 1
        except ConnectionClosed:
            logger.debug("a session of %s closed with %d frames unsent", self.user_id, len(self._queue))
        finally:
            for item in self._queue:
                if isinstance(item, Ending):
                    item.done.set()

    def _open(self) -> None:
        world = self._world
        with world.lock:
            if self not in world.sessions or self.ended_by_us:
                return
            self.ready = True
            world.roster += 1
            world.peak_sessions = max(world.peak_sessions, len(world.ready_sessions()))
            world.touch()

    async def _finish(self, ending: Ending) -> None:
        self.retire()
        if ending.code is None:
            self.link.half_close()
        else:
            closing = asyncio.ensure_future(self.link.close(ending.code, ending.reason))
            # One turn of the loop writes the frame; the rest of close() waits for the client's.
            await asyncio.sleep(0)
        ending.done.set()
        if ending.code is None:
            await asyncio.wait([asyncio.ensure_future(self.link.wait_closed())], timeout=LINGER)
        else:
            await asyncio.wait([closing], timeout=LINGER)
            if closing.done():
                closing.result()
        self.link.transport.abort()

    async def receive(self) -> None:
        """Take the client's frames until the connection ends."""
        world = self._world
        try:
            while True:
                raw = await self.link.recv(decode=False)
                text = raw.decode("utf-8", "replace")
                with world.lock:
                    if self.ready:
                        world.actions.append(text)
                        self._act(text)
                    else:
                        world.early_actions.append(text)
                    world.touch()
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                with world.lock:
                    world.close_codes.append(closed.rcvd.code)
                    world.touch()

    async def keep_alive(self, interval: float, timeout: float) -> None:
        """Ping the client; drop it when it does not answer.

        Args:
            interval: Seconds between a pong and the next ping.
            timeout: Seconds that the client has to answer.
        """
        line = self.link.line
        try:
            while True:
                await asyncio.sleep(interval)
                await line.speaking.wait()
                silences = line.silences
                try:
                    await asyncio.wait_for(self._ping(), timeout)
                except asyncio.TimeoutError:
                    if line.silences != silences:
                        continue
                    logger.info("dropping a session of %s: no pong within %.1f s", self.user_id, timeout)
                    self.ended_by_us = True
                    await self._finish(Ending(1011, "keepalive ping timeout"))
                    return
                with self._world.lock:
                    self._world.pongs += 1
                    self._world.touch()
        except ConnectionClosed:
            logger.debug("a session of %s closed between pings", self.user_id)

    async def _ping(self) -> None:
        await (await self.link.ping())

    def _act(self, text: str) -> None:
        try:
            frame = json.loads(text)
        except ValueError:
            logger.debug("ignored a frame of %s that is not JSON", self.user_id)
            return
        action = frame.get("action") if isinstance(frame, dict) else None
        tokens = frame.get("tokens") if isinstance(frame, dict) else None
        if not isinstance(action, str) or not isinstance(tokens, str):
            logger.debug("ignored a frame of %s that is no action", self.user_id)
            return
        names = [name for name in tokens.split("|") if INSTRUMENT_NAME.fullmatch(name)]
        kind = "greeks" if action.endswith("-option-greeks") else "feed"
        book = self.greeks if kind == "greeks" else self.feed
        if action in ("subscribe", "subscribe-option-greeks"):
            new = [name for name in dict.fromkeys(names) if name not in book]
            book.update(dict.fromkeys(new))
            self._world.roster += 1
            self._on_subscribe(self, kind, new)
        elif action in ("unsubscribe", "unsubscribe-option-greeks"):
            for name in names:
                book.pop(name, None)
            self._world.roster += 1
        else:
            logger.debug("ignored an unknown action of %s", self.user_id)
