"""The callbacks of a client, which do nothing until a user says what they should do."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from firstock_ws.errors import FirstockError
from firstock_ws.models import OptionGreeks, OrderUpdate, PositionUpdate, Quote


def ignore(*args: object) -> None:
    """What every callback does until the user says otherwise."""


class Hooked:
    """A callback with something of this package in front of it, which stays there when the user sets another.

    Threads: `users` is replaced in one step, by whoever sets the callback.
    """

    def __init__(self, own: Callable[..., object], users: Callable[..., object]) -> None:
        """
        Args:
            own: called first; whatever it raises, the user's is called too.
            users: the user's, or another of these.
        """
        self._own = own
        self.users = users

    def __call__(self, *args: Any) -> None:
        try:
            self._own(*args)
        finally:
            self.users(*args)


class Callbacks:
    """What a client tells its user. All are called from one callback thread, one at a time, in order.

    An exception raised by one is logged with its traceback, counted in `Stats.callback_errors` and handed to
    `on_error`; the stream goes on. Where neither `on_error` nor logging is set up, it is shown on stderr, once for
    each line that raises.

    Declared as attributes, not as methods, because type checkers let users assign functions only to attributes;
    a subclass overrides them with methods all the same: ``def on_quote(self, quote): ...``.
    """

    on_quote: Callable[[Quote], object] = staticmethod(ignore)
    """An instrument has a new state; `quote` is the whole of it, `Quote.changed` says what is new in it."""

    on_order_update: Callable[[OrderUpdate], object] = staticmethod(ignore)
    """An order of this account took a step. Never dropped, however slow the callbacks are."""

    on_position_update: Callable[[PositionUpdate], object] = staticmethod(ignore)
    """A position of this account changed. Never dropped, however slow the callbacks are."""

    on_option_greeks: Callable[[OptionGreeks], object] = staticmethod(ignore)
    """The greeks of an option are new."""

    on_connect: Callable[[], object] = staticmethod(ignore)
    """The connection is up: authenticated and subscribed. At first and after each reconnect."""

    on_close: Callable[[int, str], object] = staticmethod(ignore)
    """A connection that was up has ended; once for each `on_connect`.

    Args:
        code: the WebSocket close code: 1000 after ``close()``, and when the server or we ended it in good order,
            as for a key that died: look at ``client.state``. 1006 when the server sent none.
        reason: the server's words, or ours for what was seen.
    """

    on_reconnect: Callable[[int, float], object] = staticmethod(ignore)
    """The next try comes after a wait.

    Args:
        attempt: 1 for the first try after a connection was lost, 2 for the second in a row, and so on.
        delay: the wait, seconds.
    """

    on_noreconnect: Callable[[FirstockError], object] = staticmethod(ignore)
    """The client gave up, because of `error`. It is stopped; ``connect()`` would start it again."""

    on_error: Callable[[BaseException], object] = staticmethod(ignore)
    """Something failed: a try to connect, a lost connection, a bad frame or field, or one of your callbacks.

    Args:
        error: a `FirstockError`, or what your callback raised.
    """

    on_message: Callable[[str], object] = staticmethod(ignore)
    """A text frame came, as the server sent it; called before the callbacks for what is in it."""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        _refuse_misspelt(vars(cls))
        for name, member in vars(cls).items():
            if name in CALLBACK_ARGUMENTS and inspect.isfunction(member):
                _refuse_other_arguments(name, member, "self")

    def __setattr__(self, name: str, value: object) -> None:
        if name in CALLBACK_NAMES:
            value = ignore if value is None else value
            if not callable(value):
                raise TypeError(f"{name} must be a function, or None for nothing, not {value!r}")
            _refuse_other_arguments(name, value)
            hooked = vars(self).get(name)
            if isinstance(hooked, Hooked) and not isinstance(value, Hooked):
                while isinstance(hooked.users, Hooked):
                    hooked = hooked.users
                hooked.users = value
                return
        elif not hasattr(type(self), name):
            _refuse_misspelt([name])
        super().__setattr__(name, value)


def is_ignored(callback: Callable[..., object]) -> bool:
    """Whether nobody listens to `callback`."""
    while isinstance(callback, Hooked):
        callback = callback.users
    return callback is ignore


def _refuse_misspelt(names: Iterable[str]) -> None:
    """Raise AttributeError for a name that is nearly a callback's: it would never be called, unseen."""
    for name in names:
        if name.startswith("on_") and name not in CALLBACK_NAMES:
            meant = _OTHER_NAMES.get(name) or "".join(difflib.get_close_matches(name, CALLBACK_NAMES, 1, 0.8))
            if meant:
                raise AttributeError(f"no callback is named {name!r}: did you mean {meant!r}?")


_OTHER_NAMES = {"on_ticks": "on_quote", "on_tick": "on_quote", "on_position": "on_position_update"}
_OTHER_NAMES |= {"on_order": "on_order_update", "on_orders": "on_order_update", "on_greeks": "on_option_greeks"}

CALLBACK_ARGUMENTS = {
    "on_quote": ("quote",),
    "on_order_update": ("order",),
    "on_position_update": ("position",),
    "on_option_greeks": ("greeks",),
    "on_connect": (),
    "on_close": ("code", "reason"),
    "on_reconnect": ("attempt", "delay"),
    "on_noreconnect": ("error",),
    "on_error": ("error",),
    "on_message": ("text",),
}
"""What each callback is called with."""


def _refuse_other_arguments(name: str, function: Callable[..., object], *first: str) -> None:
    """Raise TypeError for a function that can't be called as `name` will be: calls would fail, or do nothing."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{name} must be a plain function: nobody awaits it; hand over to your event loop in it")
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # A builtin that does not tell.
    wanted = CALLBACK_ARGUMENTS[name]
    try:
        signature.bind(*first, *wanted)
    except TypeError:
        raise TypeError(f"{name} is called as {name}({', '.join(wanted)}); this takes {signature}") from None


CALLBACK_NAMES = tuple(CALLBACK_ARGUMENTS)
