"""The symbol files of the simulated broker: what can be traded, under which name and token."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import statistics
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from .market import CHEAPEST, INDEX_LEVELS, IST, NANO, TICK, Clock

FILES = ("NSE", "BSE", "NFO", "BFO", "Indices")

Row = dict[str, str]

CASH_COLUMNS = ("Exchange", "Token", "LotSize", "TradingSymbol", "CompanyName", "ISIN", "TickSize", "FreezeQty")
CONTRACT_COLUMNS = (
    *("Exchange", "Token", "LotSize", "Symbol", "TradingSymbol", "CompanyName", "Expiry", "Instrument"),
    *("OptionType", "StrikePrice", "TickSize", "FreezeQty"),
)
INDEX_COLUMNS = ("Exchange", "Token", "LotSize", "TradingSymbol", "ISIN", "TickSize")
COLUMNS = {
    **dict.fromkeys(("NSE", "BSE"), CASH_COLUMNS),
    **dict.fromkeys(("NFO", "BFO"), CONTRACT_COLUMNS),
    "Indices": INDEX_COLUMNS,
}

INDICES = {
    "NSE:26000": "Nifty 50",
    "NSE:26009": "Nifty Bank",
    "NSE:26037": "Nifty Fin Service",
    "NSE:26017": "INDIAVIX",
    "BSE:1": "SENSEX",
    "BSE:12": "BANKEX",
}

#: Symbol, name, token at the NSE, code at the BSE (0 for not listed here).
EQUITIES = (
    ("RELIANCE", "RELIANCE INDUSTRIES LTD", 2885, 500325),
    ("TCS", "TATA CONSULTANCY SERV LT", 11536, 532540),
    ("INFY", "INFOSYS LIMITED", 1594, 500209),
    ("HDFCBANK", "HDFC BANK LTD", 1333, 500180),
    ("ICICIBANK", "ICICI BANK LTD.", 4963, 532174),
    ("SBIN", "STATE BANK OF INDIA", 3045, 500112),
    ("ITC", "ITC LTD", 1660, 500875),
    ("HINDUNILVR", "HINDUSTAN UNILEVER LTD.", 1394, 500696),
    ("BHARTIARTL", "BHARTI AIRTEL LIMITED", 10604, 532454),
    ("KOTAKBANK", "KOTAK MAHINDRA BANK LTD", 1922, 500247),
    ("LT", "LARSEN & TOUBRO LTD.", 11483, 500510),
    ("AXISBANK", "AXIS BANK LIMITED", 5900, 532215),
    ("BAJFINANCE", "BAJAJ FINANCE LIMITED", 317, 500034),
    ("MARUTI", "MARUTI SUZUKI INDIA LTD.", 10999, 532500),
    ("ASIANPAINT", "ASIAN PAINTS LIMITED", 236, 500820),
    ("SUNPHARMA", "SUN PHARMACEUTICAL IND L", 3351, 524715),
    ("TITAN", "TITAN COMPANY LIMITED", 3506, 500114),
    ("ULTRACEMCO", "ULTRATECH CEMENT LIMITED", 11532, 532538),
    ("WIPRO", "WIPRO LTD", 3787, 507685),
    ("HCLTECH", "HCL TECHNOLOGIES LTD", 7229, 532281),
    ("NTPC", "NTPC LTD", 11630, 532555),
    ("POWERGRID", "POWER GRID CORP. LTD.", 14977, 532898),
    ("TATASTEEL", "TATA STEEL LIMITED", 3499, 500470),
    ("M&M", "MAHINDRA & MAHINDRA LTD", 2031, 500520),
    ("ONGC", "OIL AND NATURAL GAS CORP.", 2475, 500312),
    ("COALINDIA", "COAL INDIA LTD", 20374, 533278),
    ("ADANIENT", "ADANI ENTERPRISES LIMITED", 25, 512599),
    ("ADANIPORTS", "ADANI PORT & SEZ LTD", 15083, 532921),
    ("JSWSTEEL", "JSW STEEL LIMITED", 11723, 500228),
    ("GRASIM", "GRASIM INDUSTRIES LTD", 1232, 500300),
    ("TECHM", "TECH MAHINDRA LIMITED", 13538, 532755),
    ("CIPLA", "CIPLA LTD", 694, 500087),
    ("DRREDDY", "DR. REDDY S LABORATORIES", 881, 500124),
    ("EICHERMOT", "EICHER MOTORS LTD", 910, 505200),
    ("BAJAJ-AUTO", "BAJAJ AUTO LIMITED", 16669, 532977),
    ("BRITANNIA", "BRITANNIA INDUSTRIES LTD", 547, 500825),
    ("HINDALCO", "HINDALCO INDUSTRIES LTD", 1363, 500440),
    ("RELINFRA", "RELIANCE INFRASTRUCTU LTD", 553, 500390),
)
ISINS = {"RELIANCE": "INE002A01018", "TCS": "INE467B01029", "INFY": "INE009A01021", "SBIN": "INE062A01020"}

TUESDAY, THURSDAY = 1, 3
STRIKES_EACH_WAY = 10
#: Weekly expiries of an underlying, and months.
WEEKS, MONTHS = 4, 3
#: File, underlying, its index, distance of strikes in rupees, lot, freeze quantity, day of expiry, whether weekly.
UNDERLYINGS = (
    ("NFO", "NIFTY", "NSE:26000", 50, 75, 1800, TUESDAY, True),
    ("NFO", "BANKNIFTY", "NSE:26009", 100, 30, 600, TUESDAY, False),
    ("BFO", "SENSEX", "BSE:1", 100, 20, 1000, THURSDAY, False),
)
FIRST_TOKEN, TOKEN_ROOM = 40_000, 40_000
#: A year's movement, and a year's interest.
VOLATILITY, CARRY, ONE_DAY = 0.14, 0.065, 1 / 365
#: The BANKNIFTY option of the broker's own sample, and the NIFTY option of older tests: strike and token.
SAMPLE_OPTION = ("BANKNIFTY", date(2026, 9, 29), 72_600, "35000")
PINNED = {("NIFTY", 25_000): "44278"}


class SymbolFiles:
    """Makes the files of a day. They depend on that day alone, whatever the seed.

    Called with the world's lock held, but for its constructor.

    Args:
        clock: Says which day it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Days by which the files are old.
        self.age = 0

    @property
    def day(self) -> date:
        """The day that the files are of."""
        return datetime.fromtimestamp(self._clock.at(0) // NANO, IST).date() - timedelta(days=self.age)

    @property
    def made_at(self) -> datetime:
        """When the broker made them."""
        return datetime.combine(self.day, time(7, 30), IST)

    def text(self, name: str) -> str:
        """A file as CSV, without a byte order mark.

        Args:
            name: One of :data:`FILES`.
        """
        return _text(name, self.day)

    def tag(self, name: str) -> str:
        """The ``ETag`` of a file."""
        return f'"{hashlib.sha256(self.text(name).encode()).hexdigest()[:20]}"'

    def trading_symbol(self, instrument: str) -> str:
        """The trading symbol of ``EXCHANGE:TOKEN``; a plausible one if no file has it."""
        exchange, token = instrument.split(":", 1)
        suffix = "-EQ" if exchange == "NSE" else ""
        return _names(self.day).get(instrument, f"SIM{token}{suffix}")

    def opening_price(self, instrument: str) -> int | None:
        """What a future or an option of the files should cost, in paise; None for all else."""
        return _prices(self.day).get(instrument)


@lru_cache(maxsize=32)
def _text(name: str, day: date) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS[name], lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(name, day))
    return out.getvalue()


@lru_cache(maxsize=4)
def _names(day: date) -> dict[str, str]:
    return {
        f"{row['Exchange']}:{row['Token']}": row["TradingSymbol"] for name in FILES for row in _rows(name, day)
    }


@lru_cache(maxsize=4)
def _prices(day: date) -> dict[str, int]:
    """Prices of the contracts: those of an option fall and rise with its strike, as in a real chain."""
    levels = {underlying: INDEX_LEVELS[index] / 100 for _, underlying, index, *_ in UNDERLYINGS}
    found: dict[str, int] = {}
    for exchange in ("NFO", "BFO"):
        for row in _contracts(exchange, day):
            years = (datetime.strptime(row["Expiry"], "%d-%b-%Y").date() - day).days / 365 + ONE_DAY
            price = _fair(levels[row["Symbol"]], row["OptionType"], float(row["StrikePrice"]), years)
            found[f"{exchange}:{row['Token']}"] = max(CHEAPEST, round(price * 100 / TICK) * TICK)
    return found


def _fair(level: float, kind: str, strike: float, years: float) -> float:
    """Return the price of a contract by Black and Scholes, without interest; a future costs a little more."""
    if kind == "XX":
        return level * (1 + CARRY * years)
    spread = VOLATILITY * math.sqrt(years)
    nearness = math.log(level / strike) / spread
    bell = statistics.NormalDist().cdf
    call = level * bell(nearness + spread / 2) - strike * bell(nearness - spread / 2)
    return call if kind == "CE" else call - level + strike


def _rows(name: str, day: date) -> Iterator[Row]:
    if name == "Indices":
        return _indices()
    return _equities(name) if COLUMNS[name] is CASH_COLUMNS else _contracts(name, day)


def _indices() -> Iterator[Row]:
    for instrument, symbol in INDICES.items():
        exchange, token = instrument.split(":")
        row = {"Exchange": exchange, "Token": token, "LotSize": "1", "TradingSymbol": symbol}
        yield {**row, "ISIN": "", "TickSize": "0.05"}


def _equities(exchange: str) -> Iterator[Row]:
    for symbol, company, nse, bse in EQUITIES:
        yield {
            "Exchange": exchange,
            "Token": str(nse if exchange == "NSE" else bse),
            "LotSize": "1",
            "TradingSymbol": f"{symbol}-EQ" if exchange == "NSE" else symbol,
            "CompanyName": company,
            "ISIN": ISINS.get(symbol, ""),
            "TickSize": "0.05",
            "FreezeQty": "100000",
        }


def _last_weekday(year: int, month: int, weekday: int) -> date:
    first_of_next = date(year + month // 12, month % 12 + 1, 1)
    last = first_of_next - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def expiries(day: date, weekday: int, weekly: bool) -> list[date]:
    """Days of expiry from `day` on: the last `weekday` of the next months, and of the next weeks if `weekly`."""
    found: set[date] = set()
    year, month = day.year, day.month
    while len(found) < MONTHS:
        last = _last_weekday(year, month, weekday)
        if last >= day:
            found.add(last)
        year, month = year + month // 12, month % 12 + 1
    if weekly:
        first = day + timedelta(days=(weekday - day.weekday()) % 7)
        found.update(first + timedelta(weeks=week) for week in range(WEEKS))
    return sorted(found)


def _contracts(exchange: str, day: date) -> Iterator[Row]:
    taken = {SAMPLE_OPTION[-1], *PINNED.values()}
    for file, underlying, index, step, lot, freeze, weekday, weekly in UNDERLYINGS:
        if file != exchange:
            continue
        months = expiries(day, weekday, False)
        level = INDEX_LEVELS[index] // 100 // step * step
        strikes = range(level - STRIKES_EACH_WAY * step, level + (STRIKES_EACH_WAY + 1) * step, step)
        base = {"Exchange": exchange, "LotSize": str(lot), "Symbol": underlying, "FreezeQty": str(freeze)}
        for expiry in months:
            row = _contract(base, expiry, "XX", 0)
            yield {**row, "Token": _token(row["TradingSymbol"], taken)}
        for expiry in expiries(day, weekday, weekly):
            for strike in strikes:
                for kind in ("CE", "PE"):
                    row = _contract(base, expiry, kind, strike)
                    pinned = PINNED.get((underlying, strike)) if (kind, expiry) == ("CE", months[0]) else None
                    yield {**row, "Token": pinned or _token(row["TradingSymbol"], taken)}
        if underlying == SAMPLE_OPTION[0]:
            _, expiry, strike, token = SAMPLE_OPTION
            # Expired contracts are in no file: then it is the same strike of the next expiry.
            row = _contract(base, expiry if expiry >= day else months[0], "CE", strike)
            yield {**row, "Token": token}


def _contract(base: Row, expiry: date, kind: str, strike: int) -> Row:
    future = kind == "XX"
    underlying, day, month = base["Symbol"], f"{expiry:%d%b%y}".upper(), f"{expiry:%y%b}".upper()
    return {
        **base,
        "TradingSymbol": f"{underlying}{day}{'F' if future else kind[0] + str(strike)}",
        "CompanyName": f"{underlying} {month} {'FUT' if future else f'{strike} {kind[0]}'}",
        "Expiry": f"{expiry:%d-%b-%Y}".upper(),
        "Instrument": "FUTIDX" if future else "OPTIDX",
        "OptionType": kind,
        "StrikePrice": str(strike),
        "TickSize": "0.05",
    }


def _token(symbol: str, taken: set[str]) -> str:
    # By the name, not by counting: a contract keeps its token from day to day.
    number = zlib.crc32(symbol.encode()) % TOKEN_ROOM
    while str(FIRST_TOKEN + number) in taken:
        number = (number + 1) % TOKEN_ROOM
    taken.add(str(FIRST_TOKEN + number))
    return str(FIRST_TOKEN + number)
