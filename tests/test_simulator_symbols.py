"""The symbol files of the simulator, as any HTTP client sees them."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime

import pytest
import requests

from firstock_ws.simulator import Simulator
from firstock_ws.simulator.market import INDEX_LEVELS, IST
from firstock_ws.simulator.symbols import COLUMNS, FILES, expiries

VIRTUAL_DAY = date(2026, 1, 2)
TIMEOUT = 10


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))


@pytest.mark.parametrize("name", FILES)
def test_each_file_has_the_brokers_columns(sim: Simulator, http: requests.Session, name: str) -> None:
    answer = http.get(f"{sim.rest_url}/symbols/{name}", timeout=TIMEOUT)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv")
    assert answer.content.startswith(b"\xef\xbb\xbfExchange,Token,")
    found = rows(answer.content)
    assert tuple(found[0]) == COLUMNS[name]
    tokens = [(row["Exchange"], row["Token"]) for row in found]
    assert len(set(tokens)) == len(tokens)
    assert sim.rest_requests == [f"symbols/{name}"]
    assert answer.content.decode("utf-8-sig") == sim.symbol_file(name)


def test_what_is_known_elsewhere_is_in_the_files(sim: Simulator) -> None:
    found = {
        f"{row['Exchange']}:{row['Token']}": row for name in FILES for row in rows(sim.symbol_file(name).encode())
    }
    assert len(found) > 500
    assert set(INDEX_LEVELS) < set(found)
    assert found["NSE:2885"]["TradingSymbol"] == "RELIANCE-EQ"
    assert found["NSE:1594"]["TradingSymbol"] == "INFY-EQ"
    # The broker's own sample.
    sample = "NFO,35000,30,BANKNIFTY,BANKNIFTY29SEP26C72600,BANKNIFTY 26SEP 72600 C,29-SEP-2026"
    assert ",".join(found["NFO:35000"].values()) == f"{sample},OPTIDX,CE,72600,0.05,600"
    assert found["NFO:44278"]["TradingSymbol"] == "NIFTY27JAN26C25000"


def test_contracts_expire_after_the_simulators_clock() -> None:
    now = datetime.now(IST).date()
    for seed, today in ((1, VIRTUAL_DAY), (None, now)):
        simulator = Simulator(seed=seed)
        for name in ("NFO", "BFO"):
            days = [row["Expiry"] for row in rows(simulator.symbol_file(name).encode())]
            assert min(datetime.strptime(day, "%d-%b-%Y").date() for day in days) >= today


@pytest.mark.parametrize("day", [date(2026, 1, 2), date(2026, 1, 27), date(2026, 1, 28), date(2026, 12, 30)])
def test_expiries_are_the_next_weeks_and_the_last_of_months(day: date) -> None:
    found = expiries(day, 1, weekly=True)
    assert found == sorted(set(found))
    assert all(expiry >= day and expiry.weekday() == 1 for expiry in found)
    months = expiries(day, 1, weekly=False)
    assert len(months) == 3
    assert set(months) <= set(found)
    assert all((month.replace(day=28) - month).days < 7 for month in months)


def test_the_seed_is_no_matter_but_the_day_is() -> None:
    one, other = Simulator(seed=1), Simulator(seed=2)
    assert one.symbol_file("NFO") == other.symbol_file("NFO")
    other.age_symbols(30)
    older = {row["TradingSymbol"]: row["Token"] for row in rows(other.symbol_file("NFO").encode())}
    newer = {row["TradingSymbol"]: row["Token"] for row in rows(one.symbol_file("NFO").encode())}
    both = set(older) & set(newer)
    assert set(older) != set(newer)
    # A contract keeps its token from day to day.
    kept = [name for name in both if older[name] == newer[name]]
    assert len(kept) > 0.9 * len(both)


@pytest.mark.parametrize("offered", ["both", "etag", "modified", "none"])
def test_conditional_calls(sim: Simulator, http: requests.Session, offered: str) -> None:
    sim.behaviour = replace(sim.behaviour, symbols_validators=offered)  # type: ignore[arg-type]
    url = f"{sim.rest_url}/symbols/NFO"
    first = http.get(url, timeout=TIMEOUT)
    assert ("ETag" in first.headers, "Last-Modified" in first.headers) == (
        offered in ("both", "etag"),
        offered in ("both", "modified"),
    )
    wanted = {
        "If-None-Match": first.headers.get("ETag"),
        "If-Modified-Since": first.headers.get("Last-Modified"),
    }
    again = http.get(url, headers=wanted, timeout=TIMEOUT)
    if offered == "none":
        assert again.content == first.content
    else:
        assert (again.status_code, again.content) == (304, b"")
    sim.age_symbols(7)
    assert http.get(url, headers=wanted, timeout=TIMEOUT).status_code == 200
    assert sim.symbol_statuses == [200, 200 if offered == "none" else 304, 200]


def test_spoilt_files(sim: Simulator, http: requests.Session) -> None:
    url = f"{sim.rest_url}/symbols"
    sim.spoil_symbols("<html>", "NSE", status=503)
    answer = http.get(f"{url}/NSE", timeout=TIMEOUT)
    assert (answer.status_code, answer.text) == (503, "<html>")
    assert http.get(f"{url}/BSE", timeout=TIMEOUT).status_code == 200
    sim.spoil_symbols(cut=True)
    with pytest.raises(requests.exceptions.RequestException):
        http.get(f"{url}/NSE", timeout=TIMEOUT).content  # noqa: B018
    sim.spoil_symbols(cut=True, tells_length=False)
    answer = http.get(f"{url}/NSE", timeout=TIMEOUT)
    assert "Content-Length" not in answer.headers
    assert 0 < len(answer.content) < len(sim.symbol_file("NSE"))
    sim.accept_rest()
    assert http.get(f"{url}/NSE", timeout=TIMEOUT).content[3:].decode() == sim.symbol_file("NSE")
    sim.behaviour = replace(sim.behaviour, symbols_bom=False)
    assert http.get(f"{url}/NSE", timeout=TIMEOUT).text == sim.symbol_file("NSE")


@pytest.mark.parametrize("path", ["symbols/MCX", "symbols/", "symbols", "symbols/NSE/x"])
def test_other_files_are_none(sim: Simulator, http: requests.Session, path: str) -> None:
    assert http.get(f"{sim.rest_url}/{path}", timeout=TIMEOUT).status_code == 405


def test_orders_carry_the_trading_symbols_of_the_files(sim: Simulator) -> None:
    for instrument in ("NFO:35000", "NSE:1594", "NSE:987654"):
        sim.place_order(instrument)
    assert [order["tsym"] for order in sim.orders()] == ["BANKNIFTY29SEP26C72600", "INFY-EQ", "SIM987654-EQ"]
    assert sim.positions()[0]["tsym"] == "BANKNIFTY29SEP26C72600"


def test_an_option_chain_is_priced_like_one() -> None:
    with Simulator(rate=0, order_interval=None, seed=1) as sim:
        rows = [row for row in csv.DictReader(io.StringIO(sim.symbol_file("NFO"))) if row["Symbol"] == "NIFTY"]
        nearest = min((row["Expiry"] for row in rows), key=lambda text: datetime.strptime(text, "%d-%b-%Y"))
        index = sim.truth("NSE:26000")["i_last_traded_price"] / 100
        prices: dict[str, list[float]] = {"CE": [], "PE": []}
        strikes: list[float] = []
        for row in sorted(rows, key=lambda row: float(row["StrikePrice"])):
            price = sim.truth(f"NFO:{row['Token']}")["i_last_traded_price"] / 100
            if row["OptionType"] == "XX":
                assert price == pytest.approx(index, rel=0.02)
            elif row["Expiry"] == nearest:
                prices[row["OptionType"]].append(price)
                strikes += [float(row["StrikePrice"])] * (row["OptionType"] == "CE")
        # The steps of a strike are 50 rupees; an opening is up to one rupee off.
        slack = 2.0
        calls, puts = prices["CE"], prices["PE"]
        assert all(later <= earlier + slack for earlier, later in itertools.pairwise(calls))
        assert all(earlier <= later + slack for earlier, later in itertools.pairwise(puts))
        for strike, call, put in zip(strikes, calls, puts, strict=True):
            # Put-call parity; both have their least price.
            assert call - put == pytest.approx(index - strike, abs=3 + slack)
