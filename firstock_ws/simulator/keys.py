"""The death of a jKey, and what the sessions that live on it see of it."""

from __future__ import annotations

from . import wire
from .outgoing import Ending
from .state import World


def replace_key(world: World, user_id: str, new_key: str | None) -> list[Ending]:
    """Let a user's jKey die; the sessions that run on it see ``behaviour.expiry``.

    Called on the event loop's thread, with the lock held.

    Args:
        world: The broker.
        user_id: Whose key.
        new_key: The key that works from now on; None for none.

    Returns:
        The endings that are under way.
    """
    if new_key is None:
        world.users.pop(user_id, None)
    else:
        world.set_key(user_id, new_key)
    behaviour = world.behaviour
    endings = []
    for session in world.ready_sessions(user_id):
        if behaviour.expiry == "frame":
            session.put(wire.UNAUTHENTICATED)
            endings.append(session.end_after_failure())
        elif behaviour.expiry == "close":
            endings.append(session.end(behaviour.expiry_close_code))
        else:
            endings.append(session.end(None))
    return endings
