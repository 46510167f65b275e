"""What binds a `BarBuilder` to a client: its callbacks, and the thread that closes bars in silence."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from firstock_ws.callbacks import Hooked
from firstock_ws.connection.keeper import Keeper
from firstock_ws.errors import FirstockError
from firstock_ws.models import Quote
from firstock_ws.state import ENDED

if TYPE_CHECKING:
    from firstock_ws.client import FirstockWS

_IDLE = 3_600.0
"""Seconds for which the thread sleeps when nothing is due: it is woken when something is."""


class Builder(Protocol):
    """What is bound."""

    def on_quote(self, quote: Quote) -> None: ...

    def mark_gap(self) -> None: ...

    def seconds_left(self) -> float | None: ...

    def close_due(self) -> None: ...


class Attachment:
    """The bond of one builder and one client.

    Threads: any thread hooks, unhooks and wakes. The keeper is owned here, its lock is ``_lock``, which is never
    held while waiting or calling. The keeper's thread never runs the user's code: the callback thread does. The
    client is not kept alive.
    """

    def __init__(self, builder: Builder, client: FirstockWS, timer: bool) -> None:
        self._builder = builder
        self._client = weakref.ref(client, lambda _: self._stop(wait=False))
        self._timer = timer
        self._lock = threading.Lock()
        self._keeper: Keeper | None = None
        self._asked = False
        self._bound = True
        self._hooks: dict[str, tuple[Hooked, Callable[..., object] | None]] = {}

    # --- callbacks ---------------------------------------------------------------------------------------------

    def hook(self, client: FirstockWS) -> None:
        """Put the builder in front of the client's callbacks."""
        for name, own in (
            ("on_quote", self._quote),
            ("on_close", self._closed),
            ("on_reconnect", self._tries_again),
            ("on_noreconnect", self._gave_up),
        ):
            was_set, users = name in vars(client), getattr(client, name)
            hooked = Hooked(own, users)
            self._hooks[name] = (hooked, None if was_set else users)
            setattr(client, name, hooked)

    def unhook(self) -> None:
        """Take the builder out again. Where others have come in front of it meanwhile, it is passed by."""
        self._bound = False
        self._stop()
        client = self._client()
        for name, (hooked, its_class_has) in self._hooks.items():
            if client is not None and vars(client).get(name) is hooked:
                delattr(client, name)
                if hooked.users != its_class_has:
                    setattr(client, name, hooked.users)

    def _quote(self, quote: Quote) -> None:
        if self._bound:
            if self._keeper is None:
                self._start()
            self._builder.on_quote(quote)

    def _closed(self, code: int, reason: str) -> None:
        self._stop()

    def _tries_again(self, attempt: int, delay: float) -> None:
        # Not in ``on_close``: where the user closes the client, nothing was lost.
        if self._bound:
            self._builder.mark_gap()
            self._start()

    def _gave_up(self, error: FirstockError) -> None:
        if self._bound:
            self._builder.mark_gap()
        self._stop()

    # --- the thread --------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look anew when something is due."""
        keeper = self._keeper
        if keeper is not None:
            keeper.wake()

    def _start(self) -> None:
        client = self._client()
        # A replay has no such thread: its time is not that of the clock on the wall.
        if not self._timer or client is None or not client._dispatcher.on_callback_thread:
            return
        with self._lock:
            if self._keeper is not None or not self._bound or client.state in ENDED:
                return
            self._asked = False
            self._keeper = keeper = Keeper(self._tend, "firstock-ws-bars")
            keeper.start()

    def _stop(self, *, wait: bool = True) -> None:
        """End the thread; `wait` must be False where that may be the caller."""
        with self._lock:
            keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.stop()
            if wait:
                keeper.join()

    def _tend(self) -> float:
        """Have what is due closed; return in how many seconds to look again."""
        left = self._builder.seconds_left()
        if left is None or self._asked:
            return _IDLE
        if left > 0:
            return left
        client = self._client()
        if client is None or client.state in ENDED:
            self._stop(wait=False)
        else:
            self._asked = True
            client._call_soon(self._close_due)
        return _IDLE

    def _close_due(self) -> None:
        self._asked = False
        try:
            if self._bound:
                self._builder.close_due()
        finally:
            self.wake()
