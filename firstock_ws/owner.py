"""The client as its threads know it."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from firstock_ws.callbacks import Callbacks, ignore, is_ignored
from firstock_ws.errors import UsageError
from firstock_ws.keys import KeySource
from firstock_ws.models import Quote


class Owner:
    """Whom the threads of a client call. They do not keep it alive: in a notebook it goes with its last name.

    Threads: any thread may call anything; nothing here changes.
    """

    def __init__(self, client: Callbacks, keeps_itself: Callable[[], bool]) -> None:
        """
        Args:
            keeps_itself: whether it stays alive though nobody refers to it, while it runs; asked at each start.
        """
        self._client = weakref.ref(client)
        self._keeps_itself = keeps_itself

    def call(self, name: str, args: tuple[object, ...]) -> None:
        """Call the callback `name`, if the client is still there."""
        client = self._client()
        if client is not None:
            getattr(client, name)(*args)

    def call_quote(self, quote: Quote) -> None:
        """Do so for ``on_quote``, sooner: nearly all calls are for it."""
        client = self._client()
        if client is not None:
            client.on_quote(quote)

    def listens(self, name: str) -> bool:
        """Whether somebody listens to the callback `name`."""
        client = self._client()
        return client is not None and not is_ignored(getattr(client, name))

    def wants_raw(self) -> bool:
        """Whether somebody listens to ``on_message``; of one call, since it is asked for each reading."""
        client = self._client()
        return client is not None and client.on_message is not ignore and not is_ignored(client.on_message)

    def kept(self) -> object:
        """Return what must be referred to for as long as the client runs."""
        return self._client() if self._keeps_itself() else None

    def key_source(self, source: KeySource) -> KeySource:
        """Return `source`, which does not keep the client either if it is a method of it."""
        if isinstance(source, str) or getattr(source, "__self__", None) is not self._client():
            return source
        method = weakref.WeakMethod(source)

        def ask() -> str:
            found = method()
            if found is None:
                raise UsageError("the client whose method brings the jKey is gone")
            return found()

        return ask
