"""What a test can do to the sessions and to the network."""

from __future__ import annotations

from collections.abc import Mapping

from .runner import Runner


class Faults(Runner):
    """The script methods of a simulator."""

    def push(self, data: str | bytes, user_id: str | None = None, *, binary: bool = False) -> int:
        """Send a raw frame to every session.

        Args:
            data: Text, or the exact bytes of a text frame (valid UTF-8 or not).
            user_id: Only to the sessions of this user.
            binary: Send a binary frame instead.

        Returns:
            The number of sessions it went to.
        """
        raw = data.encode() if isinstance(data, str) else data

        def send() -> int:
            sessions = self._world.ready_sessions(user_id)
            for session in sessions:
                session.put(raw, binary)
            return len(sessions)

        return self._call(send)

    def set_key(self, user_id: str, key: str) -> None:
        """Give a user, known or new, another jKey; sessions that run go on."""

        def change() -> None:
            self._world.set_key(user_id, key)

        self._call(change)

    def expire_key(self, user_id: str | None = None, new_key: str | None = None) -> None:
        """Let a user's jKey die; running sessions see ``behaviour.expiry``.

        Args:
            user_id: None for the first user.
            new_key: The key that works from now on; None for none.
        """
        self._change_key(user_id or self._world.first_user, new_key)

    def drop(self, code: int = 1001, reason: str = "") -> None:
        """End every session with a close frame, behind what is queued for it.

        Args:
            code: One that may stand in a close frame: 1000 to 4999, but 1004 to 1006 and 1015.
            reason: Text beside it.
        """
        if not 1000 <= code <= 4999 or code in (1004, 1005, 1006, 1015):
            raise ValueError(f"{code} may not stand in a close frame")
        self._end_all(code, reason)

    def hang_up(self) -> None:
        """End every session with a TCP FIN and no close frame, behind what is queued for it."""
        self._end_all(None, "")

    def reset(self) -> None:
        """End every session and every other connection with a TCP RST, at once."""

        def cut() -> None:
            for session in list(self._world.sessions):
                session.reset()
            for link in list(self._require_broker().line.links):
                link.reset()

        self._call(cut)

    def go_silent(self) -> None:
        """Say nothing and answer nothing, though TCP lives: no data, pings or pongs, no handshakes.

        The market stands still; what is pushed waits for `resume`.
        """
        self._call(lambda: self._require_broker().line.hush())

    def resume(self) -> None:
        """Undo `go_silent`."""
        self._call(lambda: self._require_broker().line.speak())

    def refuse(self, status: int | None = 503, headers: Mapping[str, str] | None = None) -> None:
        """Turn new connections away; sessions go on.

        Args:
            status: HTTP status of the answer; None to stop listening, so that the kernel refuses.
            headers: Header fields of the answer, for example ``Retry-After`` or ``Location``.
        """

        def turn_away() -> None:
            if status is None:
                self._require_broker().deafen()
            else:
                self._world.refusal = (status, dict(headers or {}))

        self._call(turn_away)

    def accept(self) -> None:
        """Undo `refuse`."""
        broker = self._require_broker()

        async def welcome() -> None:
            with self._world.lock:
                self._world.refusal = None
                self._world.touch()
            if not broker.listening:
                await broker.listen(self._bind())

        self._run(welcome())

    def slow_down(self, delay: float) -> None:
        """Wait before each outgoing frame of a session.

        Args:
            delay: Seconds; 0 for none.
        """

        def change() -> None:
            self._world.frame_delay = delay

        self._call(change)

    def trickle(self, bytes_per_write: int, pause: float = 0.001) -> None:
        """Let the bytes of every connection, HTTP answers included, out in dribbles.

        Args:
            bytes_per_write: Bytes at a time; 0 to stop it.
            pause: Seconds between them.
        """

        def change() -> None:
            line = self._require_broker().line
            line.bytes_per_write, line.write_pause = bytes_per_write, pause

        self._call(change)

    def _end_all(self, code: int | None, reason: str) -> None:
        world = self._world
        self._await_endings(self._call(lambda: [s.end(code, reason) for s in world.ready_sessions()]))
