"""The thread that a simulator serves from, and the way from a caller's thread into it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from firstock_ws.flag import Flag

from .api import Api
from .keys import replace_key
from .orders import OrderWalks
from .outgoing import Ending
from .rest import RestServer
from .server import Broker
from .sessions import LINGER
from .state import World

logger = logging.getLogger("firstock_ws.simulator")

Result = TypeVar("Result")

#: Seconds that the event loop gets to do what a caller asked for.
CALL_TIMEOUT = 10.0
JOIN_TIMEOUT = 5.0
BACKLOG = 100


class Runner:
    """Starts and stops the server's thread and carries calls into it.

    Args:
        world: The broker's state.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
        rest_port: The same for the REST side.
        order_interval: Seconds between orders that it places by itself; None for none.
        ping_interval: Seconds between pings; None for none.
        ping_timeout: Seconds that a client has to answer one.
        ssl_context: Serve TLS with it.
    """

    def __init__(
        self,
        world: World,
        host: str,
        port: int,
        rest_port: int,
        order_interval: float | None,
        ping_interval: float | None,
        ping_timeout: float,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._world = world
        self._orders = OrderWalks(world)
        self._host = host
        self._port = port
        self._rest_port = rest_port
        self._order_interval = order_interval
        self._pings = (ping_interval, ping_timeout)
        self._ssl_context = ssl_context
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._broker: Broker | None = None
        self._stopping: asyncio.Event | None = None
        self._api = Api(world, self._change_key)
        self._rest: RestServer | None = None

    @property
    def running(self) -> bool:
        """Whether it is serving."""
        return self._thread is not None

    @property
    def port(self) -> int:
        """The port; 0 before the first start if any free one was asked for."""
        return self._port

    @property
    def rest_port(self) -> int:
        """The port of the REST side, as `port`."""
        return self._rest_port

    def stop(self) -> None:
        """End every session and free both ports, within about two seconds; no effect if it is stopped."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None:
            return
        if self._rest is not None:
            # First: a call of it may need the event loop to come to its end.
            self._rest.stop(JOIN_TIMEOUT)
            self._rest = None
        loop.call_soon_threadsafe(stopping.set)
        thread.join(JOIN_TIMEOUT)
        if thread.is_alive():
            raise RuntimeError("the simulator's thread did not end")
        self._thread = self._loop = self._broker = self._stopping = None
        self._world.touch()

    def _launch(self) -> None:
        if self._thread is not None:
            return
        plug = self._bind()
        try:
            rest_plug = socket.create_server((self._host, self._rest_port), backlog=BACKLOG)
        except OSError:
            plug.close()
            raise
        self._rest_port = rest_plug.getsockname()[1]
        self._world.refusal = None
        self._world.rest.behave()
        started = Flag()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(plug, started)), name="firstock-simulator", daemon=True
        )
        self._thread.start()
        if not started.wait(CALL_TIMEOUT):
            raise RuntimeError("the simulator's thread did not come up")
        self._rest = RestServer(self._world, self._api, rest_plug, self._ssl_context)
        self._rest.start()

    def _bind(self) -> socket.socket:
        # create_server sets SO_REUSEADDR where a restart on the same port needs it.
        plug = socket.create_server((self._host, self._port), backlog=BACKLOG)
        self._port = plug.getsockname()[1]
        return plug

    def _address(self, scheme: str, port: int, path: str) -> str:
        if not port:
            raise RuntimeError("the simulator has no port before it is started")
        secure = "" if self._ssl_context is None else "s"
        host = "127.0.0.1" if self._host in ("", "0.0.0.0") else self._host
        return f"{scheme}{secure}://{host}:{port}{path}"

    async def _serve(self, plug: socket.socket, started: Flag) -> None:
        broker = Broker(self._world, *self._pings, self._ssl_context)
        await broker.listen(plug)
        self._loop, self._broker, self._stopping = asyncio.get_running_loop(), broker, asyncio.Event()
        tasks = [asyncio.ensure_future(broker.feed.run())]
        if self._order_interval is not None:
            trading = self._orders.trade_by_itself(self._order_interval, broker.line.speaking)
            tasks.append(asyncio.ensure_future(trading))
        for task in tasks:
            task.add_done_callback(_report_failure)
        started.set()
        await self._stopping.wait()
        for task in tasks:
            task.cancel()
        await broker.shut_down()

    def _require_broker(self) -> Broker:
        if self._broker is None:
            raise RuntimeError("the simulator is not running")
        return self._broker

    def _change_key(self, user_id: str, new_key: str | None) -> None:
        self._await_endings(self._call(lambda: replace_key(self._world, user_id, new_key)))

    def _await_endings(self, endings: list[Ending]) -> None:
        async def linger() -> None:
            waits = [asyncio.ensure_future(ending.done.wait()) for ending in endings]
            _, late = await asyncio.wait(waits, timeout=LINGER)
            for wait in late:
                wait.cancel()

        if endings:
            self._run(linger())

    def _call(self, work: Callable[[], Result]) -> Result:
        """Do something on the server's thread, with the world's lock held; here, if nothing is served."""
        if self._loop is None:
            with self._world.lock:
                return work()

        async def run() -> Result:
            with self._world.lock:
                result = work()
                self._world.touch()
                return result

        return self._run(run())

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._loop is None:
            work.close()
            raise RuntimeError("the simulator is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT)


def _report_failure(task: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        failure = task.exception()
        if failure is not None:
            logger.error("a task of the simulator failed", exc_info=failure)
