"""The ticker: which instruments move when, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from . import wire
from .outgoing import LiveSession
from .sessions import MAX_QUEUED_FRAMES
from .state import World

Subject = tuple[str, str]

SNAPSHOTS_PER_FRAME = 25
#: Seconds by which the ticker may lag behind before it gives up catching up.
MAX_LAG = 0.5
#: Updates after which the ticker lets the senders have their turn.
BURST = 20
#: Seconds that the ticker waits for sessions that all lag far behind, as long as none gets any further.
MAX_STALL = 1.0


class Feed:
    """Sends snapshots on subscription, and deltas at the world's rate. Lives on the event loop's thread.

    The market waits for the fastest of its readers, so that a rate beyond what anybody can read does not
    cost every session its life; a slow one among faster ones is dropped when its queue is full.

    Args:
        world: The broker.
        speaking: Cleared while the server is silent; the market stands still in that time.
    """

    def __init__(self, world: World, speaking: asyncio.Event) -> None:
        self._world = world
        self._speaking = speaking
        self._stirred = asyncio.Event()
        self._subjects: list[Subject] = []
        self._roster = -1

    def stir(self) -> None:
        """Look again: subscriptions or the rate changed."""
        self._stirred.set()

    def subscribed(self, session: LiveSession, kind: str, names: list[str]) -> None:
        """Send the snapshots of what a session just subscribed."""
        world = self._world
        if kind == "greeks":
            for name in names:
                session.put(self._greeks_frame(name))
        elif session.version == 1:
            for name in names:
                session.put(wire.v1_frame(world.snapshot(name)))
        else:
            for start in range(0, len(names), SNAPSHOTS_PER_FRAME):
                chunk = names[start : start + SNAPSHOTS_PER_FRAME]
                session.put(wire.dump({name: wire.v2_inner(world.snapshot(name), False) for name in chunk}))
        self.stir()

    def subjects(self) -> list[Subject]:
        """Everything that somebody subscribed, in the order of subscription."""
        world = self._world
        with world.lock:
            if self._roster != world.roster:
                found: dict[Subject, None] = {}
                for session in world.ready_sessions():
                    found.update(dict.fromkeys(("feed", name) for name in session.feed))
                    found.update(dict.fromkeys(("greeks", name) for name in session.greeks))
                self._subjects, self._roster = list(found), world.roster
            return self._subjects

    def beat(self, subjects: Sequence[Subject]) -> None:
        """Move some subjects by one step, together, and tell their subscribers."""
        world = self._world
        with world.lock:
            names = [name for kind, name in subjects if kind == "feed"]
            moves = {name: world.advance(name) for name in names}
            bodies = {name: body for name, (body, _) in moves.items()}
            flat: dict[str, bytes] = {}
            keyed: dict[tuple[str, ...], bytes] = {}
            sessions = world.ready_sessions()
            for session in sessions:
                mine = tuple(name for name in names if name in session.feed)
                if session.version == 1:
                    for name in mine:
                        if name not in flat:
                            flat[name] = wire.v1_frame(bodies[name])
                        session.put(flat[name])
                elif mine:
                    if mine not in keyed:
                        keyed[mine] = self._v2_frame({name: moves[name] for name in mine})
                    session.put(keyed[mine])
            for name in (name for kind, name in subjects if kind == "greeks"):
                world.option(name).advance()
                frame = self._greeks_frame(name)
                for session in sessions:
                    if name in session.greeks:
                        session.put(frame)
            world.touch()

    async def run(self) -> None:
        """Beat at the world's rate, for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        burst = 0
        while True:
            await self._speaking.wait()
            rate = self._world.rate
            group = self._next_group(rate)
            if not group:
                self._stirred.clear()
                await self._stirred.wait()
                due = loop.time()
                continue
            due = min(max(due + len(group) / rate, loop.time() - MAX_LAG), loop.time() + len(group) / rate)
            burst += len(group)
            if due > loop.time() or burst >= BURST:
                burst = 0
                await self._sleep_until(due)
                await self._wait_for_readers()
                await self._speaking.wait()
            self.beat(group)

    async def _sleep_until(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        rate = self._world.rate
        await asyncio.sleep(0)
        # In slices, so that a new rate counts at once even after a very low one.
        while (pause := due - loop.time()) > 0 and self._world.rate == rate:
            await asyncio.sleep(min(pause, 0.1))

    def _greeks_frame(self, name: str) -> bytes:
        behaviour = self._world.behaviour
        option = self._world.option(name)
        return wire.dump(option.frame(behaviour.greeks_scale, behaviour.greeks_form == "keyed"))

    def _v2_frame(self, moves: dict[str, tuple[wire.Body, bool]]) -> bytes:
        world = self._world
        if world.behaviour.v2_deltas:
            return wire.dump({name: wire.v2_inner(body, bare) for name, (body, bare) in moves.items()})
        return wire.dump({name: wire.v2_inner(world.snapshot(name), bare) for name, (_, bare) in moves.items()})

    def _next_group(self, rate: float) -> list[Subject]:
        subjects = self.subjects() if rate > 0 else []
        if not subjects:
            return []
        schedule = self._world.schedule
        return schedule.sample(subjects, min(len(subjects), schedule.choice((1, 1, 1, 2, 2, 3))))

    async def _wait_for_readers(self) -> None:
        loop = asyncio.get_running_loop()
        progress, since = -1, loop.time()
        while True:
            readers = [s for s in self._world.ready_sessions() if s.feed or s.greeks]
            if not readers or min(s.backlog for s in readers) < MAX_QUEUED_FRAMES // 2:
                return
            sent = sum(s.sent for s in readers)
            if sent != progress:
                progress, since = sent, loop.time()
            elif loop.time() - since > MAX_STALL:
                return
            await asyncio.sleep(0.005)
