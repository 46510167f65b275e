"""`FirstockWS`: the client that users make, subclass, and give their callbacks to."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from firstock_ws import forgotten
from firstock_ws._secrets import get_logger
from firstock_ws.callbacks import CALLBACK_NAMES
from firstock_ws.dispatch import Dispatcher
from firstock_ws.errors import AuthenticationError, ConnectTimeoutError, FirstockError, UsageError
from firstock_ws.feed.book import QuoteBook
from firstock_ws.feed.feed import Feed
from firstock_ws.instruments import Tokens
from firstock_ws.keys import Keys, KeySource
from firstock_ws.ledger import Ledger
from firstock_ws.lifecycle import Lifecycle
from firstock_ws.looking import Looking
from firstock_ws.models import OptionGreeks, OrderUpdate, PositionUpdate, Quote
from firstock_ws.owner import Owner
from firstock_ws.protocol import API_URL, V1_URL, V2_URL
from firstock_ws.reconcile import Reconciler
from firstock_ws.settings import Settings, fast_path_allowed
from firstock_ws.signals import sigterm_as_ctrl_c
from firstock_ws.state import ENDED, State, StateHolder
from firstock_ws.subscriptions import Subscriptions
from firstock_ws.supervisor import Supervisor
from firstock_ws.taps import Taps

if TYPE_CHECKING:
    from firstock_ws.symbols import SymbolMaster

logger = get_logger("firstock_ws.client")

MAX_PENDING = 10_000
MAX_MESSAGE_SIZE = 1_048_576

_Self = TypeVar("_Self", bound="FirstockWS")


class FirstockWS(Looking):
    """A stream of quotes, order updates and position updates, kept alive by background threads.

    Give it callbacks in any of three ways: override the ``on_...`` methods in a subclass, assign them on the
    object, or pass them to the constructor. All are called from one thread, one at a time, in order, and may
    take as long as they like: the connection does not depend on them.

    In a program, a client that runs stays alive though nobody refers to it. In IPython and Jupyter it is closed
    then, so that a cell which is run again leaves no session behind: keep it in a variable.

    Threads: every method and property may be used from any thread, and from inside a callback (but for
    `connect` and `run_forever`); a signal handler may call `close` alone. Callbacks run on one thread of the
    client's own.
    """

    def __init__(
        self,
        user_id: str,
        jkey: KeySource,
        *,
        tokens: Tokens = (),
        option_greeks_tokens: Tokens = (),
        url: str = V1_URL,
        rest_url: str | None = None,
        symbols: SymbolMaster | None = None,
        reconcile: bool = True,
        reconcile_interval: float | None = 60.0,
        reconnect: bool = True,
        reconnect_max_tries: int | None = None,
        reconnect_max_delay: float = 60.0,
        connect_timeout: float = 10.0,
        io_timeout: float = 5.0,
        ping_interval: float = 10.0,
        ping_timeout: float = 5.0,
        stale_after: float | None = None,
        max_message_size: int = MAX_MESSAGE_SIZE,
        max_pending: int = MAX_PENDING,
        fast_path: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        on_quote: Callable[[Quote], object] | None = None,
        on_order_update: Callable[[OrderUpdate], object] | None = None,
        on_position_update: Callable[[PositionUpdate], object] | None = None,
        on_option_greeks: Callable[[OptionGreeks], object] | None = None,
        on_connect: Callable[[], object] | None = None,
        on_close: Callable[[int, str], object] | None = None,
        on_reconnect: Callable[[int, float], object] | None = None,
        on_noreconnect: Callable[[FirstockError], object] | None = None,
        on_error: Callable[[BaseException], object] | None = None,
        on_message: Callable[[str], object] | None = None,
    ) -> None:
        """
        Args:
            user_id: the broker's client code, such as ``"AB1234"``.
            jkey: the session key, `Session.jkey` of `login`; or a function without arguments that returns one.
                The function is called on a background thread before every try, so that a session that dies at
                night (about 03:00 IST) comes back in the morning.
            tokens: instruments to stream quotes of, by token or trading symbol, as for `subscribe`.
            option_greeks_tokens: instruments to stream option greeks of.
            url: `V1_URL`, `V2_URL`, or the address of a simulator. Frames of both generations are understood
                whatever the URL. A ``ws://`` URL sends the key in the clear: for this computer only.
            rest_url: the address of the broker's REST API, where its books of orders and positions and its symbol
                files are read; known by itself for the broker's own `url`.
            symbols: where trading symbols are looked up; by default a `SymbolMaster` of its own for `rest_url`,
                made when it is first needed. Clients of one broker may share one.
            reconcile: whether to deliver, with ``source="book"``, order and position updates that the stream did
                not tell: those of the time before a connection, or lost on the way. Needs a `rest_url`.
            reconcile_interval: seconds between two readings of the books while connected; None to read them after
                each connect only.
            reconnect: whether to try again by itself after a connection was lost or could not be opened.
            reconnect_max_tries: retries in a row that may fail before giving up: with 3 there are four tries in
                all; None for no limit.
            reconnect_max_delay: longest wait between two tries, seconds.
            connect_timeout: seconds for one try from dialling to the server's word on the key.
            io_timeout: seconds that a send, or the rest of a frame that has begun, may take.
            ping_interval: seconds of silence before the server is pinged.
            ping_timeout: seconds that it has to say anything after a ping, before the connection counts as dead.
            stale_after: seconds without data, while anything is subscribed, after which the connection counts as
                dead though pings are answered; None for never. In the hours without trading silence is normal.
            max_message_size: bytes, by default 1 MiB; a server that sends a larger message breaks the protocol and
                is left.
            max_pending: quotes that may wait for a slow callback, by default 10,000, before only the newest of
                each instrument is kept. Orders, positions and lifecycle events are always kept.
            fast_path: whether to read frames past websocket-client, and decode them with msgspec if it is
                installed. Turn it off should a new version of either misbehave; so does the environment variable
                ``FIRSTOCK_WS_FAST_PATH=0``. The stream then takes several times the CPU, and is else the same.
            ssl_context: your own TLS settings, for the stream and for REST; the default verifies with this
                computer's certificates.

        Raises:
            ValueError: an argument is out of range; the text says which and what to give.
            TypeError: an argument is of the wrong type.
            UnknownSymbolError: no instrument has a name in `tokens`.
            ServerError: a name in `tokens` needs a symbol file that can't be had.
        """
        self._settings = Settings(
            url=url,
            rest_url=API_URL if rest_url is None and url in (V1_URL, V2_URL) else rest_url,
            user_id=user_id,
            ssl_context=ssl_context,
            connect_timeout=connect_timeout,
            io_timeout=io_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            stale_after=stale_after,
            max_message_size=max_message_size,
            max_pending=max_pending,
            reconnect=reconnect,
            reconnect_max_tries=reconnect_max_tries,
            reconnect_max_delay=reconnect_max_delay,
            reconcile=reconcile,
            reconcile_interval=reconcile_interval,
            fast_path=fast_path and fast_path_allowed(),
        )
        self.user_id = self._settings.user_id
        # The threads know the client by this alone, or they would keep it.
        self._owner = Owner(self, forgotten.keeps_itself)
        self._keys = Keys(self._owner.key_source(jkey))
        self._subscriptions = Subscriptions()
        self._symbols = symbols
        self._subscribing = threading.Lock()
        self._taps = Taps()
        owner = self._owner
        self._wire(
            Dispatcher(
                owner.call, max_pending, call_quote=owner.call_quote, kept=owner.kept, listens=owner.listens
            )
        )
        forgotten.watch(self, self.user_id, self._lifecycle)
        self._want_quotes(tokens)
        self._want_greeks(option_greeks_tokens)
        given = locals()
        for name in CALLBACK_NAMES:
            if given[name] is not None:
                setattr(self, name, given[name])

    if not TYPE_CHECKING:
        # Type checkers would take it for leave to name any attribute.

        def __getattr__(self, name: str) -> Any:
            kind = type(self).__name__
            if "_settings" not in vars(self) and not name.startswith("__"):
                raise AttributeError(f"{kind}.__init__ has to call super().__init__(user_id, jkey, ...) first")
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")

    @classmethod
    def from_login(cls: type[_Self], **options: Any) -> _Self:
        """Return a client for the session that ``firstock-ws login`` keeps, at the server that it belongs to.

        The session is looked up before every try to connect: a client whose key has died goes on with that of the
        next login. ``FIRSTOCK_USER_ID`` and ``FIRSTOCK_JKEY`` in the environment go before it (and perhaps
        ``FIRSTOCK_URL``, ``FIRSTOCK_REST_URL``).

        Args:
            options: those of `FirstockWS`, but for `user_id`, `jkey`, `url` and `rest_url`.

        Raises:
            AuthenticationError: there is no session, or the night has ended it: log in.
            UsageError: what is kept, or what the environment says, makes no sense.
        """
        # Here, since most programs bring a key of their own.
        from firstock_ws.access import live_access

        access = live_access()

        def jkey() -> str:
            now = live_access()
            if (now.session.user_id, now.url) != (access.session.user_id, access.url):
                raise AuthenticationError("firstock-ws login was for somebody else since: make a new client")
            return now.session.jkey

        return cls(access.session.user_id, jkey, url=access.url, rest_url=access.rest_url, **options)

    # --- coming and going ----------------------------------------------------------------------------------

    def connect(self, timeout: float | None = 30.0) -> None:
        """Start, and return when the key is accepted and the subscriptions are sent; at once if they are.

        The first quotes come a moment later: until then `quotes` is empty.

        Args:
            timeout: seconds to go on trying; None for as long as it takes. A server that can't be reached is
                tried again within that time, unless ``reconnect=False``.

        Raises:
            AuthenticationError: the broker does not accept the key.
            SessionLimitError: too many sessions of this user are open.
            ConnectTimeoutError: no connection in time; the text says what the last try failed of.
            ConnectError: no connection, and ``reconnect=False`` or `reconnect_max_tries` says to stop.
            UsageError: called from a callback or in a forked child, or `close` was called meanwhile.
        """
        begins = self._state.now in ENDED
        try:
            self._start("connect()")
            seen = self._state.wait_for(lambda state: state is State.CONNECTED or state in ENDED, timeout)
        except KeyboardInterrupt:
            if begins:
                self._close_whatever_is_pressed()
            raise
        if seen is State.CONNECTED:
            return
        error = self._lifecycle.last_error
        if begins:
            self.close()
        if seen is State.FAILED and error is not None:
            raise error
        if seen is not None:
            raise UsageError("close() was called while connect() was waiting")
        raise ConnectTimeoutError(f"no connection within {timeout} s; the last try: {error or 'no answer yet'}")

    def run_forever(self) -> None:
        """Connect if need be, and block until `close`, Ctrl-C, or giving up.

        Ctrl-C closes and returns. So does SIGTERM, on the main thread of a program that has no handler for it, but
        then the program ends by it. A server that can't be reached at first is tried again like later on.

        Raises:
            FirstockError: why the client gave up: `AuthenticationError`, `SessionLimitError`, or what the last
                try failed of, if there is a limit on tries.
            UsageError: called from a callback, or in a forked child.
        """
        with sigterm_as_ctrl_c(self._taps.close):
            self._run_forever()

    def _run_forever(self) -> None:
        try:
            self._start("run_forever()")
            seen = self._state.wait_for(lambda state: state in ENDED, None)
            error = self._lifecycle.last_error
            if seen is State.FAILED and error is not None:
                while not self._dispatcher.join(0.5):
                    pass
                self.close()
                raise error
        except KeyboardInterrupt:
            logger.info("Ctrl-C or SIGTERM: closing")
            self._close_whatever_is_pressed()

    def _close_whatever_is_pressed(self) -> None:
        # Shells and wrappers often send the signal twice; the second must not cut the first one's goodbye.
        while True:
            try:
                return self.close()
            except KeyboardInterrupt:
                logger.info("Ctrl-C again: closing already")

    def close(self) -> None:
        """End the connection and the threads. From any thread, a callback too; again and again if you like.

        What was received is still delivered, for as long as that takes less than 4.5 seconds in all; then
        quotes that wait are dropped, while order, position and lifecycle events wait for the next `connect`.
        A callback that is running when the time is over is let finish; no other is called after it.
        """
        self._lifecycle.close()

    def __enter__(self: _Self) -> _Self:
        """Return the client, not yet connected, so that callbacks can be set first; the end closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside --------------------------------------------------------------------------------------------

    def _wire(
        self,
        dispatcher: Dispatcher,
        *,
        book: QuoteBook | None = None,
        ledger: Ledger | None = None,
        lifecycle: Lifecycle | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make the way from frames to `dispatcher`, and what keeps it running.

        Args:
            book, ledger, lifecycle, clock: other parts than a live client has; a replay brings its own.
        """
        settings, taps = self._settings, self._taps
        self._dispatcher = dispatcher
        self._book = book or QuoteBook()
        follow = settings.reconcile and settings.rest_url is not None
        self._ledger = ledger or Ledger(dispatcher.put, follow=follow, taps=taps)
        self._feed = Feed(
            self._book,
            dispatcher,
            self._ledger,
            self._owner.wants_raw,
            fast=settings.fast_path,
            taps=taps,
            clock=clock,
        )
        put = partial(taps.put, dispatcher.put)
        self._reconciler = Reconciler(settings, self._ledger, partial(put, "on_error"))
        self._state = StateHolder()
        make_supervisor = partial(
            Supervisor,
            settings=settings,
            keys=self._keys,
            feed=self._feed,
            subscriptions=self._subscriptions,
            dispatcher=dispatcher,
            put=put,
            state=self._state,
            reconciler=self._reconciler,
        )
        self._lifecycle = lifecycle or Lifecycle(make_supervisor, dispatcher, self._state)

    def _start(self, call: str) -> None:
        if self._state.now in ENDED:
            forgotten.make_room(FirstockWS, newcomer=self)
        self._lifecycle.start(call)

    def _call_soon(self, work: Callable[[], object]) -> None:
        """Have `work` called on the callback thread, in its turn with the callbacks."""
        self._dispatcher.put("_timer", work)

    @staticmethod
    def _timer(work: Callable[[], object]) -> None:
        work()
