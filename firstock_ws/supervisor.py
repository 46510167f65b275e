"""The io thread: one connection after another, with waits between, until told to stop or there is no hope."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from firstock_ws._secrets import get_logger
from firstock_ws.backoff import LASTED, Backoff
from firstock_ws.connection import Connection, Settings
from firstock_ws.dispatch import Dispatcher
from firstock_ws.errors import AuthenticationError, FirstockError, SessionLimitError
from firstock_ws.feed import Feed
from firstock_ws.keys import Keys
from firstock_ws.state import State, StateHolder
from firstock_ws.subscriptions import Subscriptions
from firstock_ws.worker import Worker

logger = get_logger("firstock_ws.supervisor")


@dataclass(frozen=True)
class ReconnectPolicy:
    """What to do when a connection is lost or can't be opened."""

    enabled: bool
    max_tries: int | None
    """Failed tries in a row before giving up; None for no limit."""
    max_delay: float
    """Longest wait between tries, seconds."""


class Supervisor:
    """Keeps one client connected from one ``connect()`` to the next ``close()``.

    Threads: `start`, `stop` and `wake` may be called from any thread; the rest runs on the io thread. The
    connection in use and the stop flag are owned here, their lock is ``_lock``.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        policy: ReconnectPolicy,
        keys: Keys,
        feed: Feed,
        subscriptions: Subscriptions,
        dispatcher: Dispatcher,
        state: StateHolder,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._keys = keys
        self._feed = feed
        self._subscriptions = subscriptions
        self._dispatcher = dispatcher
        self._state = state
        self._backoff = Backoff(policy.max_delay)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._worker = Worker(self._run, "firstock-ws-io")
        self._tries = 0
        self.connections = 0
        """Connections that were authenticated."""
        self.error: FirstockError | None = None
        """Why the last try failed or the last connection was lost."""

    # --- any thread ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the io thread.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        self._keys.forget_refusals()
        self._state.take_charge(self)
        try:
            self._worker.start()
        except RuntimeError:
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
        self._state.set(self, State.STOPPED)

    # --- io thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        fault: BaseException | None = None
        try:
            error = self._keep_connected()
        except BaseException as caught:  # noqa: BLE001 - logged below, when the user has been told
            fault = caught
            kind = type(fault).__name__
            error = FirstockError(f"a fault in this package ended the stream ({kind}), see the log")
            self._dispatcher.put("on_error", error)
        if error is None or self._stopping.is_set():
            return
        self.error = error
        # Before the user is told: a program that connects again when told must find the client ready for it.
        self._state.set(self, State.FAILED)
        self._dispatcher.put("on_noreconnect", error)
        self._dispatcher.finish(None)
        logger.error("gave up: %s", error, exc_info=fault)

    def _keep_connected(self) -> FirstockError | None:
        """Connect again and again; return why there is no hope, None when told to stop."""
        while not self._stopping.is_set():
            self._state.set(self, State.CONNECTING)
            error, hopeless = self._try_once()
            if self._stopping.is_set() or error is None:
                return None
            if hopeless:
                return error
            self.error = error
            self._tries += 1
            delay = max(self._backoff.next_delay(), getattr(error, "retry_after", None) or 0.0)
            self._state.set(self, State.WAITING)
            self._dispatcher.put("on_reconnect", self._tries, delay)
            self._stopping.wait(delay)
        return None

    def _try_once(self) -> tuple[FirstockError | None, bool]:
        """Run one connection to its end; return why it ended (None: as asked), and if trying on is pointless."""
        try:
            key = self._keys.next()
        except FirstockError as error:
            self._report(error)
            return error, isinstance(error, AuthenticationError) or self._is_hopeless(error)
        connection = Connection(self._settings, key, self._feed, self._subscriptions, self._on_ready)
        with self._lock:
            if self._stopping.is_set():
                return None, False
            self._connection = connection
        ending = connection.run()
        with self._lock:
            self._connection = None
        if isinstance(ending.error, AuthenticationError):
            self._keys.refused()
        if ending.error is not None:
            self._report(ending.error)
        if ending.was_ready:
            if ending.lasted >= LASTED:
                self._backoff.reset()
            self._dispatcher.put("on_close", ending.code, ending.reason)
        return ending.error, self._is_hopeless(ending.error)

    def _report(self, error: FirstockError) -> None:
        if self._stopping.is_set():
            return
        logger.warning("%s", error)
        self._dispatcher.put("on_error", error)

    def _is_hopeless(self, error: FirstockError | None) -> bool:
        if isinstance(error, AuthenticationError) and not self._keys.can_change:
            return True
        # While reconnecting the limit is most likely our own lost session, which the server will forget.
        if isinstance(error, SessionLimitError) and not self.connections:
            return True
        policy = self._policy
        return not policy.enabled or (policy.max_tries is not None and self._tries >= policy.max_tries)

    def _on_ready(self) -> None:
        self.connections += 1
        self._tries = 0
        self._keys.forget_refusals()
        # Queued before anybody is told: whoever waits for the connection may look at what the callbacks saw.
        self._dispatcher.put("on_connect")
        self._state.set(self, State.CONNECTED)
