"""Where updates get lost or held up between the books and the sessions, though every connection is well."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Gate:
    """Belongs to the world's lock.

    Args:
        to_lose: Updates that will still be lost; None for all.
        holding: Whether updates are kept back.
        held: Those kept back, in order: whose, and the frame.
    """

    to_lose: int | None = 0
    holding: bool = False
    held: list[tuple[str, bytes]] = field(default_factory=list)

    def passes(self, user_id: str, data: bytes) -> bool:
        """Whether an update goes out now; if not, it is lost, or held until :meth:`release`."""
        if self.to_lose is None:
            return False
        if self.to_lose:
            self.to_lose -= 1
            return False
        if self.holding:
            self.held.append((user_id, data))
            return False
        return True

    def release(self) -> list[tuple[str, bytes]]:
        """Hold nothing any more; returns what was held."""
        held, self.held, self.holding = self.held, [], False
        return held
