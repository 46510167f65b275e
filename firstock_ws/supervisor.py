"""The io thread: one connection after another, with waits between, until told to stop or there is no hope."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from firstock_ws._secrets import Secret, get_logger
from firstock_ws.backoff import LASTED, Backoff
from firstock_ws.connection.connection import Connection, Ending
from firstock_ws.connection.refusals import ABNORMAL
from firstock_ws.dispatch import Dispatcher
from firstock_ws.errors import AuthenticationError, FirstockError, SessionLimitError
from firstock_ws.feed.feed import Feed
from firstock_ws.flag import Flag
from firstock_ws.keys import Keys
from firstock_ws.reconcile import Reconciler, Shift
from firstock_ws.settings import Settings
from firstock_ws.state import State, StateHolder
from firstock_ws.subscriptions import Subscriptions
from firstock_ws.worker import Worker

logger = get_logger("firstock_ws.supervisor")


class Supervisor:
    """Keeps one client connected from one ``connect()`` to the next ``close()``.

    Threads: `start`, `stop` and `wake` may be called from any thread; the rest runs on the io thread. The
    connection in use and the stop flag are owned here, their lock is ``_lock``.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        keys: Keys,
        feed: Feed,
        subscriptions: Subscriptions,
        dispatcher: Dispatcher,
        put: Callable[..., None],
        state: StateHolder,
        reconciler: Reconciler,
    ) -> None:
        """
        Args:
            put: queues a lifecycle callback: its name and arguments.
        """
        self._settings = settings
        self._keys = keys
        self._feed = feed
        self._subscriptions = subscriptions
        self._dispatcher = dispatcher
        self._put = put
        self._state = state
        self._reconciler = reconciler
        self._shift: Shift | None = None
        self._key: Secret | None = None
        self._backoff = Backoff(settings.reconnect_max_delay)
        self._lock = threading.Lock()
        self._stopping = Flag()
        self._connection: Connection | None = None
        self._worker = Worker(self._run, "firstock-ws-io")
        self._tries = 0
        self.connections = 0
        """Connections that were authenticated."""
        self.error: FirstockError | None = None
        """Why the last try failed or the last connection was lost."""

    # --- any thread ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the io thread, and the books thread beside it.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        self._keys.forget_refusals()
        self._state.take_charge(self)
        try:
            self._shift = self._reconciler.start()
            self._worker.start()
        except RuntimeError:
            self._reconciler.stop(self._shift)
            self._state.set(self, State.STOPPED)
            raise

    def wake(self) -> None:
        """Have queued subscriptions sent, if there is a connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.wake()

    @property
    def on_io_thread(self) -> bool:
        """Whether the caller is the user's ``jkey()``."""
        return self._worker.is_current

    def has_ended(self, timeout: float) -> bool:
        """Wait for the io thread to end, `timeout` seconds at most; return whether it has."""
        return self._worker.wait(timeout)

    def stop(self, *, grace: float, wait: bool) -> None:
        """End the connection and the io thread; return when that is done, `grace` and a second at most.

        Args:
            grace: seconds that the server gets to answer the close frame before the connection is cut.
            wait: False on the io thread itself, which can't wait for its own end.

        A thread that is inside the user's ``jkey()`` or a name look-up can't be ended from outside: it ends by
        itself, without connecting, when that returns.
        """
        with self._lock:
            self._stopping.set()
            connection = self._connection
        if connection is not None:
            connection.close()
        if not wait:
            self._state.set(self, State.STOPPED)
            return
        ended = self._worker.wait(grace)
        if not ended and connection is not None:
            connection.abort()
            ended = self._worker.wait(1.0)
        if not ended:
            logger.warning("the io thread is busy outside of our reach; it will end by itself")
            self._reconciler.stop(self._shift)
        self._state.set(self, State.STOPPED)

    # --- io thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        fault: BaseException | None = None
        try:
            ending = self._keep_connected()
        except BaseException as caught:  # noqa: BLE001 - logged below, when the user has been told
            fault = caught
            kind = type(fault).__name__
            ending = _failed(FirstockError(f"a fault in this package ended the stream ({kind}), see the log"))
        self._reconciler.stop(self._shift)
        if ending is None or ending.error is None:
            return
        self.error = ending.error
        # Before the user is told: a program that connects again when told must find the client ready for it.
        self._state.set(self, State.FAILED)
        self._tell(ending)
        self._put("on_noreconnect", ending.error)
        self._dispatcher.finish(None)
        logger.error("gave up: %s", ending.error, exc_info=fault)

    def _keep_connected(self) -> Ending | None:
        """Connect again and again; return the ending after which there is no hope, None when told to stop."""
        while not self._stopping.is_set():
            self._state.set(self, State.CONNECTING)
            ending = self._try_once()
            error = ending.error
            if error is None or self._stopping.is_set():
                self._tell(ending._replace(error=None))
                return None
            self.error = error
            if ending.hopeless or self._is_hopeless(error):
                return ending
            self._tries += 1
            # On top of what the server asks for, since it asks all clients for the same.
            delay = (getattr(error, "retry_after", None) or 0.0) + self._backoff.next_delay()
            self._state.set(self, State.WAITING)
            self._tell(ending)
            if not isinstance(error, AuthenticationError):
                # That is how a function that brings keys comes to bring the next.
                self._dispatcher.show_trouble(error, lost=ending.was_ready)
            self._put("on_reconnect", self._tries, delay)
            self._stopping.wait(delay)
        return None

    def _try_once(self) -> Ending:
        """Run one connection to its end; return how it ended."""
        try:
            self._key = key = self._keys.next()
        except FirstockError as error:
            # The function that brings keys says that there is none: a second wrong password may lock the account.
            return _failed(error)._replace(hopeless=isinstance(error, AuthenticationError))
        connection = Connection(self._settings, key, self._feed, self._subscriptions, self._on_ready)
        with self._lock:
            if self._stopping.is_set():
                return _failed(None)
            self._connection = connection
        ending = connection.run()
        with self._lock:
            self._connection = None
        if ending.was_ready:
            self._reconciler.disconnected()
        if isinstance(ending.error, AuthenticationError):
            self._keys.refused()
        if ending.was_ready and ending.lasted >= LASTED:
            self._backoff.reset()
        return ending

    def _tell(self, ending: Ending) -> None:
        """Have the user told of an ending, when the state is true to it already."""
        if ending.error is not None:
            logger.warning("%s", ending.error)
            self._put("on_error", ending.error)
        if ending.was_ready:
            self._put("on_close", ending.code, ending.reason)

    def _is_hopeless(self, error: FirstockError) -> bool:
        if isinstance(error, AuthenticationError) and not self._keys.can_change:
            return True
        # While reconnecting the limit is most likely our own lost session, which the server will forget.
        if isinstance(error, SessionLimitError) and not self.connections:
            return True
        most = self._settings.reconnect_max_tries
        return not self._settings.reconnect or (most is not None and self._tries >= most)

    def _on_ready(self) -> bool:
        """Tell the user of the connection, unless the client was closed meanwhile; return whether it counts."""
        # Queued before those who wait are woken: they may look at what the callbacks saw.
        tell = partial(self._put, "on_connect")
        if not self._state.set(self, State.CONNECTED, before=self._count_connection, after=tell):
            return False
        if self._key is not None:
            self._reconciler.connected(self._key)
        return True

    def _count_connection(self) -> None:
        self.connections += 1
        self._tries = 0
        self._keys.forget_refusals()


def _failed(error: FirstockError | None) -> Ending:
    """Return the ending of a try that came to no connection."""
    return Ending(error, was_ready=False, lasted=0.0, code=ABNORMAL, reason="")
