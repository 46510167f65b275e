"""What a symbol file of 100,000 rows costs, loaded from the cache: ``python -m benchmarks.symbols``."""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from datetime import date, timedelta
from itertools import cycle, islice
from pathlib import Path

from firstock_ws.symbols import SymbolMaster
from firstock_ws.symbols.store import Store, Version

ADDRESS = "https://benchmark.invalid/V1"
COLUMNS = (
    *("Exchange", "Token", "LotSize", "Symbol", "TradingSymbol", "CompanyName"),
    *("Expiry", "Instrument", "OptionType", "StrikePrice", "TickSize", "FreezeQty"),
)
UNDERLYINGS = 200
EXPIRIES = 5


def file_of(rows: int) -> bytes:
    """Return a file of the derivatives exchange with so many options."""
    lines = [",".join(COLUMNS)]
    strikes = -(-rows // (UNDERLYINGS * EXPIRIES * 2))
    first = date.today() + timedelta(days=1)
    for number in range(UNDERLYINGS):
        name = f"COMPANY{number}"
        for expiry in (first + timedelta(weeks=week) for week in range(EXPIRIES)):
            for strike in range(1_000, 1_000 + 50 * strikes, 50):
                for kind in ("CE", "PE"):
                    symbol = f"{name}{expiry:%d%b%y}".upper() + f"{kind[0]}{strike}"
                    words = f"{name} {expiry:%y%b} {strike} {kind[0]}".upper()
                    day = f"{expiry:%d-%b-%Y}".upper()
                    lines.append(
                        f"NFO,{35_000 + len(lines)},{25 * (number % 40 + 1)},{name},{symbol},{words},{day},OPTSTK,"
                        f"{kind},{strike},0.05,{10_000 + number}"
                    )
    return "\n".join([*islice(lines, rows + 1), ""]).encode()


def best_of(times: int, work: Callable[[], object]) -> float:
    """Return the shortest of so many runs, seconds."""
    taken = []
    for _ in range(times):
        gc.collect()
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the symbol master with a file made up for it.")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the file (default: %(default)s)")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        data = file_of(rows)
        Store(Path(folder), ADDRESS).write("NFO", data, Version(time.time()))

        def load() -> SymbolMaster:
            master = SymbolMaster(ADDRESS, cache_dir=folder)
            master.load("NFO")
            return master

        print(f"{rows:,} rows, {len(data) / 1e6:.1f} MB; Python {sys.version.split()[0]}; best of 5")
        print(f"load from the cache        {best_of(5, load) * 1e3:8.1f} ms")
        tracemalloc.start()
        master = load()
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"memory held, peak          {held / 1e6:8.1f} MB {peak / 1e6:8.1f} MB")
        names = [f"NFO:{symbol.trading_symbol}" for symbol in islice(cycle(master), 1_000)]
        print(f"1,000 look-ups by name     {best_of(5, lambda: [master[name] for name in names]) * 1e3:8.1f} ms")
        print(f"every symbol made          {best_of(5, lambda: list(master)) * 1e3:8.1f} ms")
        print(f"a search                   {best_of(5, lambda: master.search('company17 1250')) * 1e3:8.1f} ms")
        print(f"the nearest names          {best_of(5, lambda: master.search('CMOPANY17')) * 1e3:8.1f} ms")
        chain = best_of(5, lambda: master.options("COMPANY17", "nearest", (1_000, 1_500)))
        print(f"the options of an expiry   {chain * 1e3:8.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
