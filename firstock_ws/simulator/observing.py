"""What a test can see of a simulator."""

from __future__ import annotations

from .runner import Runner


class Observing(Runner):
    """The attributes of a simulator that tell what happened; all are copies."""

    @property
    def handshakes(self) -> int:
        """Upgrade requests seen, refused ones among them."""
        with self._world.lock:
            return self._world.handshakes

    @property
    def handshake_paths(self) -> list[str]:
        """Paths of the upgrade requests, without their queries."""
        with self._world.lock:
            return list(self._world.handshake_paths)

    @property
    def peak_sessions(self) -> int:
        """The most sessions that were live at a time."""
        with self._world.lock:
            return self._world.peak_sessions

    @property
    def actions(self) -> list[str]:
        """Frames received from clients after their success frame, in order; the oldest of many are lost."""
        with self._world.lock:
            return list(self._world.actions)

    @property
    def early_actions(self) -> list[str]:
        """Frames that clients sent before their success frame, and that were dropped for it."""
        with self._world.lock:
            return list(self._world.early_actions)

    @property
    def pongs(self) -> int:
        """Pongs received in answer to pings."""
        with self._world.lock:
            return self._world.pongs

    @property
    def close_codes(self) -> list[int]:
        """Codes of the close frames received from clients; 1005 for a frame without one."""
        with self._world.lock:
            return list(self._world.close_codes)

    def session_count(self, user_id: str | None = None) -> int:
        """Sessions that are live now, past their success frame; of one user, or of all for None."""
        with self._world.lock:
            return len(self._world.ready_sessions(user_id))

    def subscriptions(self, user_id: str | None = None) -> set[str]:
        """Instruments that live sessions of a user (None: of anybody) have subscribed."""
        with self._world.lock:
            return self._world.subscribed(user_id)

    def greeks_subscriptions(self, user_id: str | None = None) -> set[str]:
        """Instruments whose greeks live sessions of a user (None: of anybody) have subscribed."""
        with self._world.lock:
            return {name for session in self._world.ready_sessions(user_id) for name in session.greeks}
