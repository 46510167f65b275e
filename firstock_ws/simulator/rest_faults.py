"""What a test can do to the REST side, and what it can see of it."""

from __future__ import annotations

from collections.abc import Mapping

from .runner import Runner
from .state import Refusal, Spoilt
from .symbols import FILES


class RestFaults(Runner):
    """The script methods of the REST side. A restart of the simulator undoes them."""

    @property
    def rest_url(self) -> str:
        """Address of the REST calls, with its version."""
        return self._address("http", self.rest_port, "/V1")

    @property
    def rest_requests(self) -> list[str]:
        """The REST calls in order, refused ones too, such as ``"login"``; the oldest of many are lost."""
        with self._world.lock:
            return list(self._world.rest.requests)

    def refuse_rest(
        self,
        status: int | None = 503,
        headers: Mapping[str, str] | None = None,
        body: str | bytes = "refused\n",
    ) -> None:
        """Answer every REST call with the same refusal.

        Args:
            status: HTTP status; None to end the connection without an answer.
            headers: Header fields of the answer, for example ``Retry-After`` or ``Location``.
            body: Text or bytes; plain text unless ``headers`` has a ``Content-Type``.
        """
        raw = body.encode() if isinstance(body, str) else body
        with self._world.lock:
            self._world.rest.refusal = Refusal(status, dict(headers or {}), raw)
            self._world.touch()

    def hush_rest(self) -> None:
        """Take REST calls and leave them without an answer until :meth:`accept_rest`, which answers them."""
        with self._world.lock:
            self._world.rest.hushed = True
            self._world.touch()

    def trickle_rest(self, pause: float) -> None:
        """Let answers of REST calls out byte by byte.

        Args:
            pause: Seconds after each; 0 to stop it.
        """
        with self._world.lock:
            self._world.rest.pause = pause
            self._world.touch()

    @property
    def symbol_statuses(self) -> list[int]:
        """HTTP status of each answer to a call for a symbol file, in order: 304 for "not modified"."""
        with self._world.lock:
            return list(self._world.rest.symbol_statuses)

    def symbol_file(self, name: str) -> str:
        """A symbol file as it is now, as text: ``"NSE"``, ``"BSE"``, ``"NFO"``, ``"BFO"`` or ``"Indices"``."""
        with self._world.lock:
            return self._world.files.text(name)

    def age_symbols(self, days: int) -> None:
        """Serve the symbol files of so many days ago; 0 for those of today."""
        with self._world.lock:
            self._world.files.age = days

    def spoil_symbols(
        self,
        body: str | bytes | None = None,
        *names: str,
        status: int = 200,
        cut: bool = False,
        tells_length: bool = True,
    ) -> None:
        """Serve symbol files badly until :meth:`accept_rest`; never answered with 304 then.

        Args:
            body: What to serve; None for the files themselves.
            names: Which files; none for all.
            status: HTTP status.
            cut: End the connection after half of the body.
            tells_length: Send ``Content-Length``; else the end of the connection is the end of the file.
        """
        raw = body.encode() if isinstance(body, str) else body
        with self._world.lock:
            for name in names or FILES:
                self._world.rest.spoilt[name] = Spoilt(status, raw, cut, tells_length)

    def accept_rest(self) -> None:
        """Undo :meth:`refuse_rest`, :meth:`hush_rest`, :meth:`trickle_rest` and :meth:`spoil_symbols`."""
        with self._world.lock:
            self._world.rest.behave()
            self._world.touch()
