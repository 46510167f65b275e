"""`SymbolMaster`: the broker's symbol files, to look things up in."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from firstock_ws.errors import ServerError, UnknownSymbolError
from firstock_ws.flag import Waiters
from firstock_ws.models import IST
from firstock_ws.protocol import API_URL, check_rest_url
from firstock_ws.symbols.chains import Chain, Expiry, Strikes, check_expiry, check_option_type, check_strikes
from firstock_ws.symbols.searching import Place, nearest, search
from firstock_ws.symbols.source import Loaded, Origin, Source, is_this_computer
from firstock_ws.symbols.store import default_folder
from firstock_ws.symbols.symbol import INDICES, Symbol

CASH = ("NSE", "BSE")
"""Exchanges whose indices are in the file of the indices."""
FILES = (*CASH, "NFO", "BFO", INDICES)
_DOWNLOAD_TIMEOUT = 60.0
_SHOWN_MATCHES = 3


class SymbolFile(NamedTuple):
    """What is known of a symbol file that is in use."""

    name: str
    """``"NSE"``, ``"BSE"``, ``"NFO"``, ``"BFO"`` or ``"Indices"``."""
    loaded_from: Origin
    """``"server"`` if the server gave it, or said that what is kept is the newest; ``"cache"`` if it was fresh;
    ``"stale cache"`` if it should have been renewed and the server could not be asked: symbols may be missing."""
    checked_at: datetime
    """When the server last gave it, or said that it is the newest; IST."""
    symbols: int
    skipped_rows: int
    """Rows that make no sense."""

    @property
    def age(self) -> timedelta:
        """How long `checked_at` is ago."""
        return datetime.now(IST) - self.checked_at


class SymbolMaster:
    """The instruments of the broker: look them up by name or token, search, list options and futures.

    A file is downloaded when it is first needed, kept in the user's cache folder, and fresh until 08:00 IST, when
    the next day's files are out; then it is asked for again, and downloaded if it is new. If that fails, the old
    one is used: a warning is logged, and `files` and `age` tell. The first call that needs a file waits for it, up
    to `timeout` seconds: `load` beforehand where that matters, as in callbacks.

    Names are ``"EXCHANGE:TRADING_SYMBOL"`` in small or capital letters, for example ``"NSE:RELIANCE-EQ"``,
    ``"NFO:NIFTY29SEP26C25000"``, and of indices ``"NSE:NIFTY 50"``; in place of the trading symbol, a number is
    always a token.

    Threads: any thread may call anything. What is loaded is owned here, its lock is ``_lock``; it is not held
    during a download.
    """

    def __init__(
        self,
        rest_url: str = API_URL,
        *,
        cache_dir: str | Path | None = None,
        timeout: float = _DOWNLOAD_TIMEOUT,
        revalidate: bool | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """
        Args:
            rest_url: the address of the broker's REST API, or of a simulator's. Each has files of its own.
            cache_dir: where the files are kept; by default the environment variable ``FIRSTOCK_WS_CACHE_DIR``, or
                the user's cache folder.
            timeout: seconds that a download may take in all.
            revalidate: whether to ask the server at each start, however fresh the kept files are (they are
                downloaded only if they changed). By default only a server on this computer: each simulator has
                others.
            ssl_context: your own TLS settings; the default verifies with this computer's certificates.

        Raises:
            ValueError: `rest_url` is no address, or `timeout` is not above 0.
        """
        rest_url = check_rest_url(rest_url)
        if not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, not {timeout!r}")
        if revalidate is None:
            revalidate = is_this_computer(rest_url)
        folder = Path(cache_dir).expanduser() if cache_dir is not None else default_folder()
        self._source = Source(rest_url, folder, ssl_context, timeout, revalidate)
        self._lock = threading.Lock()
        self._changed = Waiters()
        self._loaded: dict[str, Loaded] = {}
        self._loading: dict[str, object] = {}
        self._failures: dict[str, ServerError | None] = {}

    # --- files ---------------------------------------------------------------------------------------------

    def load(self, *exchanges: str, refresh: bool = False) -> None:
        """Have the files of `exchanges` ready, so that no later call has to wait for them.

        Args:
            exchanges: of ``"NSE"``, ``"BSE"``, ``"NFO"``, ``"BFO"`` and ``"Indices"``.
            refresh: ask the server for newer ones, however fresh these are.

        Raises:
            ServerError: a file can't be had, and none is kept from earlier.
            ValueError: there is no such file.
        """
        names = [_file_name(exchange) for exchange in exchanges]
        for name in names:
            self._file(name, refresh=refresh)

    @property
    def files(self) -> dict[str, SymbolFile]:
        """What is loaded, by name of the file. Loads nothing."""
        return {
            name: SymbolFile(
                name,
                loaded.origin,
                datetime.fromtimestamp(loaded.version.checked_at, IST),
                len(loaded.table),
                loaded.table.skipped,
            )
            for name, loaded in self._loaded.copy().items()
        }

    @property
    def age(self) -> timedelta | None:
        """How long ago the server gave or confirmed the oldest of the loaded files; None while none is."""
        return max((file.age for file in self.files.values()), default=None)

    def _file(self, name: str, *, refresh: bool = False) -> Loaded:
        waited = False
        claim = object()
        loaded = failed = None
        try:
            while True:
                with self._lock:
                    held = self._loaded.get(name)
                    if held is not None and not refresh and time.time() < held.due:
                        return held
                    if name not in self._loading:
                        failure = self._failures.get(name) if waited else None
                        if failure is not None:
                            # Of the call that was waited for: asking the same again would take as long.
                            raise ServerError(str(failure))
                        self._loading[name] = claim
                        break
                waited = True
                self._changed.wait_for(lambda: name not in self._loading or None, None)
            try:
                loaded = self._source.load(name, held, ask=refresh)
            except ServerError as error:
                failed = error
                raise
        finally:
            # Ctrl-C may have come at any point above.
            if self._loading.get(name) is claim:
                with self._lock:
                    self._failures[name] = failed
                    if loaded is not None:
                        self._loaded[name] = loaded
                    del self._loading[name]
                self._changed.wake()
        return loaded

    # --- one symbol ----------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Symbol:
        """Return the symbol of ``"NSE:RELIANCE-EQ"`` or ``"NSE:2885"``.

        Raises:
            UnknownSymbolError: there is none; the text has the nearest ones.
            ServerError: its file can't be had.
        """
        exchange, wanted = _parts(name)
        found = self._find(exchange, wanted)
        if found is None:
            raise self._unknown(name.strip(), exchange, wanted)
        return found

    def get(self, name: str) -> Symbol | None:
        """Return the symbol of that name, None if there is none; else like ``master[name]``."""
        try:
            return self._find(*_parts(name))
        except UnknownSymbolError:
            return None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def known(self, instrument: str) -> Symbol | None:
        """Return the symbol of ``"EXCHANGE:TOKEN"`` if its file is loaded, else None. Never waits."""
        exchange, _, token = instrument.partition(":")
        for name in _files_of(exchange):
            loaded = self._loaded.get(name)
            row = loaded.table.find(exchange, token) if loaded is not None else None
            if loaded is not None and row is not None:
                return loaded.table.symbol(row)
        return None

    def _find(self, exchange: str, wanted: str) -> Symbol | None:
        for name in _files_of(exchange):
            table = self._file(name).table
            row = table.find(exchange, wanted)
            if row is not None:
                return table.symbol(row)
        return None

    def _unknown(self, name: str, exchange: str, wanted: str) -> UnknownSymbolError:
        near = nearest(self._places(exchange), wanted, _SHOWN_MATCHES) if not wanted.isdecimal() else []
        matches = tuple(table.symbol(row).name for table, row in near)
        meant = " or ".join(map(repr, matches))
        hint = f"did you mean {meant}?" if matches else "look for it with search(...) of client.symbols"
        old = [
            file for file in map(self.files.get, _files_of(exchange)) if file and file.loaded_from == "stale cache"
        ]
        if old:
            since = min(file.checked_at for file in old)
            hint += f" (the symbol file is of {since:%d-%b-%Y}, and could not be renewed)"
        return UnknownSymbolError(f"{exchange} has no symbol {wanted!r}: {hint}", name=name, matches=matches)

    # --- many ----------------------------------------------------------------------------------------------

    def search(self, query: str, exchange: str | None = None, limit: int = 20) -> list[Symbol]:
        """Return the symbols whose trading symbol or company name fit `query`, best first.

        Exact names come first, then those that begin so, those with words that begin so, those with such parts,
        and last those that are merely alike.

        Args:
            query: one or more words, in small or capital letters: all must be in a symbol.
            exchange: ``"NSE"``, ``"BSE"`` (with their indices), ``"NFO"`` or ``"BFO"``. None: whatever is
                loaded, or NSE if nothing is.
            limit: how many at most.

        Raises:
            ServerError: the exchange's file can't be had.
            ValueError: there is no such exchange.
        """
        return search(self._places(None if exchange is None else _file_name(exchange)), query, limit)

    def options(
        self,
        underlying: str,
        expiry: Expiry = None,
        strikes: Strikes = None,
        option_type: Literal["CE", "PE"] | None = None,
        exchange: str = "NFO",
    ) -> list[Symbol]:
        """Return the options on `underlying` that can still be traded, by expiry, strike, and calls before puts.

        Args:
            underlying: such as ``"NIFTY"``.
            expiry: a date; ``"nearest"`` for the next day on which any of its options expires, today included;
                None for all.
            strikes: a tuple ``(low, high)`` for all from low to high, rupees; a list for exactly these; None for
                all.
            option_type: ``"CE"`` for calls, ``"PE"`` for puts, None for both.
            exchange: ``"NFO"`` or ``"BFO"``.

        Returns:
            Symbols, which ``subscribe`` takes as they are; none if nothing fits.

        Raises:
            UnknownSymbolError: nothing trades on that underlying there.
            ServerError: the exchange's file can't be had.
            ValueError: an argument makes no sense.
        """
        day, wanted, kind = check_expiry(expiry), check_strikes(strikes), check_option_type(option_type)
        return self._chain(underlying, exchange).options(day, wanted, kind)

    def futures(self, underlying: str, expiry: Expiry = None, exchange: str = "NFO") -> list[Symbol]:
        """Return the futures on `underlying`, nearest expiry first; arguments and errors as of `options`."""
        day = check_expiry(expiry)
        return self._chain(underlying, exchange).futures(day)

    def expiries(self, underlying: str, exchange: str = "NFO") -> list[date]:
        """Return the days on which options or futures on `underlying` expire, from today on, nearest first.

        Arguments and errors are those of `options`.
        """
        return self._chain(underlying, exchange).expiries()

    def _chain(self, underlying: str, exchange: str) -> Chain:
        loaded = self._file(_file_name(exchange))
        wanted = underlying.strip().upper()
        # By the server's clock: that of this computer may be wrong, and a simulator's may be any.
        today = datetime.fromtimestamp(time.time() + loaded.version.server_ahead, IST).date()
        chain = Chain(loaded.table, wanted, today)
        if not chain.expiries():
            raise UnknownSymbolError(
                f"nothing trades on {wanted!r} at {exchange}: give an underlying such as 'NIFTY'",
                name=underlying,
            )
        return chain

    def _places(self, exchange: str | None) -> list[Place]:
        if exchange == INDICES:
            return [(self._file(INDICES).table, None)]
        if exchange is not None:
            return [(self._file(name).table, exchange) for name in _files_of(exchange)]
        loaded = [name for name in FILES if name in self._loaded] or ["NSE", INDICES]
        return [(self._file(name).table, None) for name in loaded]

    def __len__(self) -> int:
        """Return how many symbols are loaded."""
        return sum(len(loaded.table) for loaded in self._loaded.copy().values())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Symbol]:
        """Yield every symbol that is loaded; load others first, with `load`."""
        for loaded in self._loaded.copy().values():
            yield from map(loaded.table.symbol, loaded.table.rows())

    def __repr__(self) -> str:
        files = ", ".join(f"{file.name} ({file.loaded_from})" for file in self.files.values())
        return f"<SymbolMaster {len(self)} symbols: {files or 'nothing loaded yet'}>"


def _files_of(exchange: str) -> tuple[str, ...]:
    return (exchange, INDICES) if exchange in CASH else (exchange,) if exchange in FILES else ()


def _file_name(exchange: str) -> str:
    for name in FILES:
        if isinstance(exchange, str) and name.upper() == exchange.strip().upper():
            return name
    raise ValueError(f"no symbol file is named {exchange!r}: there are {', '.join(FILES)}")


def _parts(name: str) -> tuple[str, str]:
    exchange, colon, wanted = (part.strip().upper() for part in name.partition(":"))
    if not colon or not wanted or not exchange:
        raise UnknownSymbolError(
            f'{name!r} names no symbol: give "EXCHANGE:SYMBOL", such as "NSE:RELIANCE-EQ"', name=name
        )
    if not _files_of(exchange) or exchange == INDICES.upper():
        raise UnknownSymbolError(
            f'{exchange} has no symbol file, only {", ".join(FILES[:-1])} have: give the token, as in "NSE:2885"',
            name=name,
        )
    return exchange, wanted
