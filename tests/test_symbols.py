"""Instruments by name: the symbol files, their cache, looking up, and subscribing by trading symbol."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from firstock_ws import FirstockError, ServerError, UnknownSymbolError, UsageError
from firstock_ws.models import IST
from firstock_ws.simulator import Simulator
from firstock_ws.symbols import Symbol, SymbolMaster
from firstock_ws.symbols import source as source_module
from firstock_ws.symbols.source import is_this_computer, next_due
from firstock_ws.symbols.store import default_folder
from firstock_ws.symbols.symbol import read_date
from firstock_ws.symbols.table import BadFileError, Table
from tests.conftest import ClientMaker
from tests.support import DEADLINE, Watched, connect

MasterMaker = Callable[..., SymbolMaster]
NIFTY_CALL = "NFO:NIFTY27JAN26C25000"
HEADER = b"Exchange,Token,LotSize,TradingSymbol,CompanyName,ISIN,TickSize,FreezeQty\n"


@pytest.fixture
def make_master(sim: Simulator) -> MasterMaker:
    """Makes masters that take the simulator for a broker: what is fresh is not asked for again."""

    def make(**options: Any) -> SymbolMaster:
        return SymbolMaster(sim.rest_url, **{"revalidate": False, "timeout": DEADLINE, **options})

    return make


def kept_files() -> dict[str, Path]:
    folder = Path(os.environ["FIRSTOCK_WS_CACHE_DIR"])
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


def make_older(name: str, **age: float) -> None:
    """Have the kept file `name` be older than it is."""
    note = kept_files()[f"{name}.json"]
    known = json.loads(note.read_text())
    known["checked_at"] -= timedelta(**age).total_seconds()
    note.write_text(json.dumps(known))


# --- what a row says


def test_an_equity_by_name_and_by_token(make_master: MasterMaker) -> None:
    master = make_master()
    symbol = master["NSE:RELIANCE-EQ"]
    assert symbol.to_dict() == {
        "instrument": "NSE:2885",
        "exchange": "NSE",
        "token": "2885",
        "trading_symbol": "RELIANCE-EQ",
        "kind": "equity",
        "company_name": "RELIANCE INDUSTRIES LTD",
        "isin": "INE002A01018",
        "lot_size": 1,
        "tick_size": 0.05,
        "freeze_quantity": 100_000,
        "underlying": None,
        "expiry": None,
        "strike": None,
        "option_type": None,
    }
    assert master["NSE:2885"] == master[" nse:reliance-eq "] == symbol
    assert symbol.name == "NSE:RELIANCE-EQ"
    assert pickle.loads(pickle.dumps(symbol)) == symbol
    assert hash(symbol) == hash(master["NSE:2885"])
    with pytest.raises(FrozenInstanceError):
        symbol.token = "1"  # type: ignore[misc]
    assert master["NSE:M&M-EQ"].token == "2031"
    assert master["NSE:BAJAJ-AUTO-EQ"].isin is None


def test_contracts_and_indices(make_master: MasterMaker) -> None:
    master = make_master()
    option = master[NIFTY_CALL]
    assert (option.instrument, option.kind, option.underlying) == ("NFO:44278", "option", "NIFTY")
    assert (option.expiry, option.strike, option.option_type) == (date(2026, 1, 27), 25_000.0, "CE")
    assert (option.lot_size, option.freeze_quantity, option.tick_size) == (75, 1_800, 0.05)
    future = master["NFO:NIFTY27JAN26F"]
    assert (future.kind, future.strike, future.option_type) == ("future", None, None)
    assert future.expiry == date(2026, 1, 27)
    index = master["nse:nifty 50"]
    assert (index.instrument, index.kind, index.company_name) == ("NSE:26000", "index", None)
    assert master["BSE:SENSEX"].instrument == "BSE:1"
    assert master["BSE:1"].kind == "index"
    assert "NSE:SENSEX" not in master


@pytest.mark.parametrize("name", ["NSE:RELIANCE", "NSE:RELIANC-EQ", "NSE:RLEIANCE-EQ", "NSE:NIFTY50"])
def test_what_is_unknown_comes_with_the_nearest(make_master: MasterMaker, name: str) -> None:
    meant = "NSE:Nifty 50" if "NIFTY" in name else "NSE:RELIANCE-EQ"
    master = make_master()
    with pytest.raises(UnknownSymbolError) as caught:
        master[name]
    assert isinstance(caught.value, FirstockError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.name == name
    assert caught.value.matches[0] == meant
    assert repr(meant) in str(caught.value)
    assert name not in master
    assert master.get(name) is None
    assert caught.value.matches[0] in master


@pytest.mark.parametrize("name", ["", "NSE", "NSE:", ":X", "MCX:GOLD", "INDICES:NIFTY", "NSE:999999999"])
def test_names_that_can_be_none(make_master: MasterMaker, name: str) -> None:
    with pytest.raises(UnknownSymbolError):
        make_master()[name]
    assert 5 not in make_master()


# --- which files


def test_only_the_files_that_are_needed_are_loaded(sim: Simulator, make_master: MasterMaker) -> None:
    master = make_master()
    assert (len(master), bool(master), master.files, master.age) == (0, True, {}, None)
    assert master.known("NSE:2885") is None
    assert sim.rest_requests == []
    assert "NSE:RELIANCE-EQ" in master
    assert sim.rest_requests == ["symbols/NSE"]
    assert "NSE:NIFTY 50" in master
    assert sim.rest_requests == ["symbols/NSE", "symbols/Indices"]
    assert len(master) == len(list(master)) == master.files["NSE"].symbols + master.files["Indices"].symbols
    known = master.known("NSE:2885")
    assert known is not None
    assert known.trading_symbol == "RELIANCE-EQ"
    assert master.known("NFO:35000") is None
    assert "NSE (server)" in repr(master)


def test_load_names_files_as_it_is_written(sim: Simulator, make_master: MasterMaker) -> None:
    master = make_master()
    master.load("nse", "Indices")
    assert sorted(master.files) == ["Indices", "NSE"]
    with pytest.raises(ValueError, match="NSE, BSE, NFO, BFO, Indices"):
        master.load("NSE", "MCX")


def test_a_fresh_file_is_not_asked_for_again(sim: Simulator, make_master: MasterMaker) -> None:
    first = make_master()
    first.load("NFO")
    assert first.files["NFO"].loaded_from == "server"
    sim.refuse_rest(503)
    again = make_master()
    assert NIFTY_CALL in again
    file = again.files["NFO"]
    assert (file.loaded_from, file.skipped_rows) == ("cache", 0)
    assert timedelta(0) <= file.age < timedelta(minutes=5)
    assert again.age is not None
    assert sim.symbol_statuses == [200]


@pytest.mark.parametrize("offered", ["both", "etag", "modified"])
def test_an_old_file_is_renewed_only_if_it_changed(sim: Simulator, make_master: MasterMaker, offered: str) -> None:
    sim.behaviour = replace(sim.behaviour, symbols_validators=offered)  # type: ignore[arg-type]
    make_master().load("NFO")
    make_older("NFO", days=1)
    second = make_master()
    second.load("NFO")
    assert sim.symbol_statuses == [200, 304]
    assert second.files["NFO"].loaded_from == "server"
    # It is confirmed, and fresh for everybody.
    third = make_master()
    third.load("NFO")
    assert (sim.symbol_statuses, third.files["NFO"].loaded_from) == ([200, 304], "cache")
    sim.age_symbols(14)
    third.load("NFO", refresh=True)
    assert sim.symbol_statuses == [200, 304, 200]
    assert "NFO:NIFTY30DEC25C25000" in third
    assert "NFO:NIFTY30DEC25C25000" in make_master()


def test_without_validators_it_is_downloaded_again(sim: Simulator, make_master: MasterMaker) -> None:
    sim.behaviour = replace(sim.behaviour, symbols_validators="none")
    make_master().load("NSE")
    make_older("NSE", days=1)
    make_master().load("NSE")
    assert sim.symbol_statuses == [200, 200]


def test_a_server_on_this_computer_is_asked_each_time(sim: Simulator) -> None:
    for _ in range(2):
        SymbolMaster(sim.rest_url).load("NSE")
    assert sim.symbol_statuses == [200, 304]
    assert is_this_computer("http://localhost:9/V1")
    assert is_this_computer("http://[::1]:9/V1")
    assert not is_this_computer("https://api.firstock.in/V1")


def test_servers_do_not_mix(sim: Simulator, make_master: MasterMaker) -> None:
    make_master().load("NSE")
    with Simulator(seed=3, rate=0, order_interval=None) as other:
        SymbolMaster(other.rest_url, revalidate=False).load("NSE")
        assert other.symbol_statuses == [200]
    assert len({path.parent for path in Path(os.environ["FIRSTOCK_WS_CACHE_DIR"]).rglob("NSE.csv")}) == 2


def test_another_folder(make_master: MasterMaker, tmp_path: Path) -> None:
    make_master(cache_dir=tmp_path / "mine").load("BSE")
    assert [path.name for path in (tmp_path / "mine").rglob("*.csv")] == ["BSE.csv"]
    assert kept_files() == {}


def test_the_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_folder() == tmp_path / "cache"
    monkeypatch.delenv("FIRSTOCK_WS_CACHE_DIR")
    assert default_folder() == platformdirs.user_cache_path("firstock-ws", appauthor=False)


def test_files_are_due_at_eight_in_the_morning() -> None:
    def due(*moment: int) -> datetime:
        return datetime.fromtimestamp(next_due(datetime(*moment, tzinfo=IST).timestamp()), IST)  # type: ignore[misc]

    assert due(2026, 1, 2, 7, 59, 59) == datetime(2026, 1, 2, 8, tzinfo=IST)
    assert due(2026, 1, 2, 8, 0, 0) == datetime(2026, 1, 3, 8, tzinfo=IST)
    assert due(2026, 12, 31, 23, 0, 0) == datetime(2027, 1, 1, 8, tzinfo=IST)


def test_a_master_that_lives_for_days_renews_its_files(
    sim: Simulator, make_master: MasterMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = make_master()
    master.load("NSE")
    _ = master["NSE:2885"]
    assert sim.symbol_statuses == [200]
    tomorrow = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    _ = master["NSE:2885"]
    _ = master["NSE:2885"]
    assert sim.symbol_statuses == [200, 304]


# --- when the server gives nothing, or nonsense


def test_offline_with_an_old_file(
    sim: Simulator, make_master: MasterMaker, caplog: pytest.LogCaptureFixture
) -> None:
    make_master().load("NSE", "Indices")
    make_older("NSE", days=3)
    sim.stop()
    master = make_master()
    with caplog.at_level(logging.WARNING):
        assert master["NSE:RELIANCE-EQ"].token == "2885"
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "symbols/NSE failed: no connection" in warning
    assert f"those of {datetime.now(IST) - timedelta(days=3):%d-%b-%Y} " in warning
    assert master.files["NSE"].loaded_from == "stale cache"
    assert master.age is not None
    assert master.age >= timedelta(days=3)
    with pytest.raises(UnknownSymbolError, match="could not be renewed"):
        master["NSE:NEWLY-LISTED-EQ"]
    # Not at each look-up again.
    caplog.clear()
    assert "NSE:INFY-EQ" in master
    assert caplog.records == []


def test_an_old_file_is_renewed_once_the_server_is_back(
    sim: Simulator, make_master: MasterMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "RETRY_AFTER", 0.0)
    make_master().load("NSE")
    make_older("NSE", days=3)
    sim.refuse_rest(500)
    master = make_master()
    master.load("NSE")
    assert master.files["NSE"].loaded_from == "stale cache"
    sim.accept_rest()
    _ = master["NSE:2885"]
    assert master.files["NSE"].loaded_from == "server"


def test_offline_with_nothing(sim: Simulator, make_master: MasterMaker) -> None:
    sim.stop()
    with pytest.raises(ServerError, match="try again when the server can be reached") as caught:
        make_master().load("NSE")
    assert str(sim.rest_port) not in str(caught.value)


BAD_FILES = {
    "html": {"body": "<html><body>maintenance</body></html>"},
    "empty": {"body": ""},
    "blank": {"body": "\ufeff\n\n"},
    "header": {"body": HEADER},
    "no tokens": {"body": "Exchange,TradingSymbol\nNSE,X\n"},
    "another exchange": {"body": HEADER + b"BSE,1,1,X,,,,\n"},
    "mostly nonsense": {"body": HEADER + b"NSE,1,1,X,,,,\nNSE\nNSE,x\n"},
    "binary": {"body": b"\x1f\x8b\x08\x00" * 50},
    "cut": {"cut": True},
    "cut unseen": {"cut": True, "tells_length": False},
    "status": {"status": 404},
    "fewer": {"body": HEADER + b"NSE,1,1,X,,,,\n", "tells_length": False},
    "no end": {"body": HEADER + b"NSE,1,1,X,,,,", "tells_length": False},
}


@pytest.mark.parametrize("spoilt", BAD_FILES.values(), ids=BAD_FILES)
def test_nonsense_never_replaces_a_good_file(
    sim: Simulator, make_master: MasterMaker, spoilt: dict[str, Any]
) -> None:
    make_master().load("NSE")
    good = kept_files()["NSE.csv"].read_bytes()
    make_older("NSE", days=2)
    sim.spoil_symbols(**spoilt)
    master = make_master()
    assert master["NSE:RELIANCE-EQ"].token == "2885"
    assert master.files["NSE"].loaded_from == "stale cache"
    assert kept_files()["NSE.csv"].read_bytes() == good
    assert set(kept_files()) == {"NSE.csv", "NSE.json"}


def test_nonsense_and_nothing_kept_is_an_error(sim: Simulator, make_master: MasterMaker) -> None:
    sim.spoil_symbols("<html>")
    with pytest.raises(ServerError, match="no symbol file: it has no column Exchange"):
        make_master().load("NSE")
    assert kept_files() == {}
    sim.accept_rest()
    make_master().load("NSE")


def test_a_download_has_an_end(sim: Simulator, make_master: MasterMaker) -> None:
    sim.hush_rest()
    with pytest.raises(ServerError, match=r"no answer within 0\.2 s"):
        make_master(timeout=0.2).load("NSE")
    sim.accept_rest()
    sim.trickle_rest(0.01)
    with pytest.raises(ServerError, match=r"no answer within 0\.2 s"):
        make_master(timeout=0.2).load("NSE")
    sim.accept_rest()


def test_a_download_has_a_length(
    sim: Simulator, make_master: MasterMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "MAX_FILE", 1_000)
    with pytest.raises(ServerError):
        make_master().load("NSE")
    assert len(sim.symbol_file("NSE")) > 1_000


@pytest.mark.parametrize("damage", ["torn", "empty", "note", "no note"])
def test_a_damaged_cache_is_downloaded_again(sim: Simulator, make_master: MasterMaker, damage: str) -> None:
    make_master().load("NSE")
    files = kept_files()
    good = files["NSE.csv"].read_bytes()
    if damage == "torn":
        files["NSE.csv"].write_bytes(good[: good.rindex(b"\nNSE") + 1])
    elif damage == "empty":
        files["NSE.csv"].write_bytes(b"")
    elif damage == "note":
        files["NSE.json"].write_text('{"checked_at": 1')
    else:
        files["NSE.json"].unlink()
    master = make_master()
    assert "NSE:RELINFRA-EQ" in master
    assert sim.symbol_statuses == [200, 200]
    assert kept_files()["NSE.csv"].read_bytes() == good


@pytest.mark.parametrize(
    ("name", "value"), [("checked_at", "NaN"), ("checked_at", "1e20"), ("server_ahead", "NaN"), ("etag", "5")]
)
def test_a_note_that_makes_no_sense_is_none(
    sim: Simulator, make_master: MasterMaker, name: str, value: str
) -> None:
    make_master().load("NSE")
    note = kept_files()["NSE.json"]
    note.write_text(json.dumps({**json.loads(note.read_text()), name: json.loads(value)}))
    assert "NSE:RELINFRA-EQ" in make_master()
    note.write_text("[" * 100_000)
    assert "NSE:RELINFRA-EQ" in make_master()
    assert sim.symbol_statuses == [200, 200, 200]


def test_those_who_waited_for_a_mute_server_do_not_ask_it_again_in_turn(make_master: MasterMaker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        master = SymbolMaster(f"http://127.0.0.1:{mute.getsockname()[1]}/V1", timeout=0.5)
        failures: list[str] = []
        begun = threading.Barrier(8)

        def ask() -> None:
            begun.wait(DEADLINE)
            try:
                master.load("NSE")
            except ServerError as error:
                failures.append(str(error))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        mute.settimeout(0)
        asked = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                mute.accept()[0].close()
                asked += 1
    assert len(failures) == 8
    assert asked < 8


def test_a_folder_that_cannot_be_written_costs_only_the_cache(
    make_master: MasterMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    master = make_master(cache_dir=tmp_path / "file")
    assert master["NSE:2885"].trading_symbol == "RELIANCE-EQ"
    assert "can't be kept on disk" in caplog.text


# --- odd rows


def test_a_row_ends_where_a_line_does_and_nowhere_else() -> None:
    data = (
        "exchange,token,tradingSymbol,companyName\nNSE,1,AAA-EQ,A\u2028B\x0bC\r\nNSE,2,BBB-EQ,B\rNSE,3,CCC-EQ,C\n"
    )
    table = Table("NSE", data.encode())
    assert (len(table), table.skipped) == (3, 0)
    assert read_date("29-SEP-99999999999999999999") is None


def test_columns_are_read_by_name() -> None:
    data = b"Extra, Trading_Symbol ,TOKEN,exchange\r\nz,ABC-EQ,12,NSE\r\n"
    table = Table("NSE", data)
    row = table.find("NSE", "ABC-EQ")
    assert row is not None
    symbol = table.symbol(row)
    assert symbol == Symbol("NSE:12", "NSE", "12", "ABC-EQ", "equity")


def test_bad_rows_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        b'NSE,1,1,A-EQ,"A, B AND C",,0.05,10',
        b"",
        b"NSE,two,1,B-EQ,,,,",
        b"NSE,3,1,,,,,",
        b"BSE,4,1,D-EQ,,,,",
        b"NSE,5,1,E-EQ",
        b'NSE,6,1,F-EQ,"never closed,,,',
        b" nse , 7 , x , G-EQ , , , nan , 1.5 ,",
        b"NSE,1,1,AGAIN-EQ,,,,",
        b"NSE,8,1,H\xe9-EQ,,,,",
        b"NSE,9,1,I-EQ,,,0.05,1e3",
        b"NSE,90,1," + b"X" * 200_000 + b",,,,",
        b"NSE,10,1,J-EQ,,,0.05,100",
        b"NSE,11,1,K-EQ,,,0.05,100",
        b"NSE,12,1,L-EQ,,,0.05,100",
    ]
    table = Table("NSE", b"\xef\xbb\xbf" + HEADER + b"\n".join(rows))
    assert (len(table), table.skipped) == (7, 7)
    assert "7 rows of the symbol file NSE" in caplog.text
    first, odd = (table.find("NSE", name) for name in ("A-EQ", "G-EQ"))
    assert first is not None
    assert odd is not None
    assert table.symbol(first).company_name == "A, B AND C"
    assert table.symbol(odd) == Symbol("NSE:7", "NSE", "7", "G-EQ", "equity")


def test_a_row_that_no_reader_takes_is_left_out_as_well() -> None:
    table = Table("NSE", HEADER + b"NSE,1,1," + b"X" * 200_000 + b",,,,\nNSE,2,1,B-EQ,,,,\n")
    assert [table.symbol(row).token for row in table.rows()] == ["2"]
    assert table.skipped == 1


def test_odd_cells_of_contracts_are_none() -> None:
    columns = b"Exchange,Token,TradingSymbol,Symbol,Expiry,OptionType,StrikePrice\n"
    cells = [
        b"NFO,1,A,X,2026-09-29,PE,1000.50",
        b"NFO,2,B,X,31-FEB-2026,CE,much",
        b"NFO,3,C,X,29-SEP-2026,XX,-1",
        b"NFO,4,D,,,,",
    ]
    table = Table("NFO", columns + b"\n".join(cells))
    one, two, three, four = map(table.symbol, table.rows())
    assert (one.kind, one.expiry, one.strike, one.option_type) == ("option", date(2026, 9, 29), 1000.5, "PE")
    assert (two.kind, two.expiry, two.strike) == ("option", None, None)
    assert (three.kind, three.strike, three.option_type) == ("future", None, None)
    assert (four.kind, four.underlying) == ("equity", None)


def test_a_file_without_rows_is_none() -> None:
    with pytest.raises(BadFileError, match="no row that makes sense"):
        Table("NSE", HEADER)


# --- many


def test_search_has_the_best_first(make_master: MasterMaker) -> None:
    master = make_master()
    assert [symbol.trading_symbol for symbol in master.search("reliance")] == ["RELIANCE-EQ", "RELINFRA-EQ"]
    assert [symbol.trading_symbol for symbol in master.search("rel", limit=1)] == ["RELIANCE-EQ"]
    assert master.search("TATA steel")[0].trading_symbol == "TATASTEEL-EQ"
    assert master.search("m&m")[0].trading_symbol == "M&M-EQ"
    assert master.search("pharma")[0].trading_symbol == "SUNPHARMA-EQ"
    assert master.search("relaince")[0].trading_symbol == "RELIANCE-EQ"
    assert master.search("nifty 50")[0].instrument == "NSE:26000"
    assert master.search("  ") == master.search("x", limit=0) == master.search("qqqqq") == []
    assert sorted(master.files) == ["Indices", "NSE"]
    found = master.search("NIFTY27JAN26C", exchange="nfo", limit=5)
    assert len(found) == 5
    assert all(symbol.trading_symbol.startswith("NIFTY27JAN26C") for symbol in found)
    assert [symbol.exchange for symbol in master.search("sensex", exchange="BSE")] == ["BSE"]
    with pytest.raises(ValueError, match="no symbol file is named 'MCX'"):
        master.search("gold", exchange="MCX")


def test_options_of_the_nearest_expiry(make_master: MasterMaker) -> None:
    master = make_master()
    found = master.options("nifty", "nearest", (25_100, 25_200))
    assert [(option.strike, option.option_type) for option in found] == [
        (strike, kind) for strike in (25_100, 25_150, 25_200) for kind in ("CE", "PE")
    ]
    assert {option.expiry for option in found} == {date(2026, 1, 6)}
    assert [option.strike for option in master.options("NIFTY", "nearest", [25_100, 25_200], "PE")] == [
        25_100,
        25_200,
    ]
    every = master.options("NIFTY")
    assert len(every) == 42 * 6
    assert every == sorted(every, key=lambda option: (option.expiry, option.strike, option.option_type))
    assert {option.underlying for option in every} == {"NIFTY"}
    day = datetime(2026, 1, 27, 15, 30)
    assert {option.expiry for option in master.options("NIFTY", day, option_type="CE")} == {day.date()}
    assert master.options("NIFTY", date(2026, 1, 28)) == []
    assert master.options("SENSEX", "nearest", exchange="BFO")[0].exchange == "BFO"


def test_futures_and_expiries(make_master: MasterMaker) -> None:
    master = make_master()
    months = [date(2026, 1, 27), date(2026, 2, 24), date(2026, 3, 31)]
    assert [future.expiry for future in master.futures("BANKNIFTY")] == months
    assert [future.trading_symbol for future in master.futures("NIFTY", "nearest")] == ["NIFTY27JAN26F"]
    assert master.expiries("NIFTY") == [date(2026, 1, 6), date(2026, 1, 13), date(2026, 1, 20), *months]


def test_what_has_expired_is_not_nearest(sim: Simulator, make_master: MasterMaker) -> None:
    sim.age_symbols(7)
    master = make_master()
    # The files are a week old; the broker's clock says 2 January.
    assert "NFO:NIFTY30DEC25C25000" in master
    assert master.expiries("NIFTY")[0] == date(2026, 1, 6)
    assert {option.expiry for option in master.options("NIFTY", "nearest")} == {date(2026, 1, 6)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"expiry": "next"},
        {"expiry": 5},
        {"strikes": (1, 2, 3)},
        {"strikes": (2, 1)},
        {"strikes": "25000"},
        {"strikes": 25_000},
        {"option_type": "C"},
        {"exchange": "MCX"},
    ],
)
def test_arguments_that_make_no_sense(make_master: MasterMaker, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("exchange", "MCX")):
        make_master().options("NIFTY", **wrong)


def test_an_unknown_underlying(make_master: MasterMaker) -> None:
    with pytest.raises(UnknownSymbolError, match="'NIFTI'"):
        make_master().expiries("nifti")


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"rest_url": "api.firstock.in"}])
def test_a_master_of_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"timeout|REST address"):
        SymbolMaster(**wrong)


# --- many at once


def test_threads_share_one_download(sim: Simulator, make_master: MasterMaker) -> None:
    master = make_master()
    sim.hush_rest()
    found: list[Symbol] = []
    threads = [threading.Thread(target=lambda: found.append(master["NSE:2885"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert sim.wait_for(lambda s: len(s.rest_requests) == 1)
    # What is loaded can be looked at meanwhile.
    assert master.known("NSE:2885") is None
    sim.accept_rest()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(found) == 8
    assert sim.rest_requests == ["symbols/NSE"]


def test_two_processes_at_once(sim: Simulator) -> None:
    program = (
        "import sys; from firstock_ws.symbols import SymbolMaster\n"
        "for _ in range(10):\n"
        f"    master = SymbolMaster({sim.rest_url!r}, revalidate=False); master.load('NFO', refresh=True)\n"
        f"    assert {NIFTY_CALL!r} in master\n"
        "    assert master.files['NFO'].loaded_from == 'server'\n"
    )
    both = [subprocess.Popen([sys.executable, "-W", "error", "-c", program]) for _ in range(2)]
    assert [one.wait(6 * DEADLINE) for one in both] == [0, 0]
    assert set(kept_files()) == {"NFO.csv", "NFO.json"}
    sim.stop()
    master = SymbolMaster(sim.rest_url, revalidate=False)
    assert NIFTY_CALL in master
    assert master.files["NFO"].loaded_from == "cache"


# --- the client


def test_subscribing_by_name_and_token_together(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(
        rest_url=sim.rest_url, tokens=["NSE:RELIANCE-EQ", "BSE:7"], option_greeks_tokens=NIFTY_CALL.lower()
    )
    watched = Watched(client, ("on_quote",))
    assert client.subscriptions == {"NSE:2885", "BSE:7"}
    assert client.option_greeks_subscriptions == {"NFO:44278"}
    connect(client, sim)
    client.subscribe(["nse:nifty 50|NSE:INFY-EQ", client.symbols["NFO:35000"], "NSE:3045"])
    wanted = {"NSE:2885", "BSE:7", "NSE:26000", "NSE:1594", "NFO:35000", "NSE:3045"}
    assert client.subscriptions == wanted
    assert sim.wait_for(lambda s: s.subscriptions() == wanted)
    quotes = {quote.instrument: quote for quote in watched.wait("on_quote", 6)}
    assert {name: quote.symbol for name, quote in quotes.items()} == {
        "NSE:2885": "RELIANCE-EQ",
        "BSE:7": None,
        "NSE:26000": "Nifty 50",
        "NSE:1594": "INFY-EQ",
        "NFO:35000": "BANKNIFTY29SEP26C72600",
        # Subscribed by token, while the file was loaded.
        "NSE:3045": "SBIN-EQ",
    }
    assert quotes["NSE:2885"].to_dict()["symbol"] == "RELIANCE-EQ"
    assert pickle.loads(pickle.dumps(quotes["NSE:2885"])).symbol == "RELIANCE-EQ"
    client.unsubscribe(["NSE:RELIANCE-EQ", client.symbols["NSE:1594"]])
    client.unsubscribe_option_greeks(NIFTY_CALL)
    assert client.subscriptions == wanted - {"NSE:2885", "NSE:1594"}
    assert client.option_greeks_subscriptions == set()
    assert all(name.rpartition(":")[2].isdecimal() for action in sim.actions for name in tokens_of(action))


def tokens_of(action: str) -> list[str]:
    return str(json.loads(action)["tokens"]).split("|")


def test_quotes_are_found_by_the_name_too(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(rest_url=sim.rest_url, tokens="NSE:RELIANCE-EQ|NSE:1594")
    assert client.quotes.get("NSE:RELIANCE-EQ") is None
    assert "NSE:RELIANCE-EQ" not in client.quotes
    watched = Watched(client, ("on_quote",))
    connect(client, sim)
    watched.wait("on_quote", 2)
    quotes = client.quotes
    assert quotes["NSE:RELIANCE-EQ"] is quotes["nse:reliance-eq"] is quotes["NSE:2885"]
    assert "NSE:RELIANCE-EQ" in quotes
    assert set(quotes) == {"NSE:2885", "NSE:1594"}
    assert "NSE:INFY-EQ" in quotes, "its file was loaded when it was subscribed"
    assert 5 not in quotes
    with pytest.raises(KeyError, match="NSE:SBIN-EQ"):
        quotes["NSE:SBIN-EQ"]
    client.unsubscribe("NSE:2885")
    assert "NSE:RELIANCE-EQ" not in quotes


def test_a_name_that_is_learnt_later(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(rest_url=sim.rest_url, tokens="NSE:2885")
    watched = Watched(client, ("on_quote",))
    connect(client, sim)
    assert watched.wait("on_quote")[0].symbol is None
    assert sim.rest_requests.count("symbols/NSE") == 0, "a token costs no download"
    client.subscribe("NSE:RELIANCE-EQ")
    assert client.quotes["NSE:RELIANCE-EQ"].symbol == "RELIANCE-EQ"
    sim.tick("NSE:2885")
    assert watched.wait("on_quote", 2)[1].symbol == "RELIANCE-EQ"
    sim.reset()
    assert watched.wait("on_quote", 3)[2].symbol == "RELIANCE-EQ"


def test_what_left_the_files_can_still_be_unsubscribed(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(rest_url=sim.rest_url, tokens="NSE:RELIANCE-EQ")
    sim.spoil_symbols(HEADER + b"NSE,1,1,X-EQ,,,,\n", "NSE")
    client.symbols.load("NSE", refresh=True)
    with pytest.raises(UnknownSymbolError):
        client.subscribe("NSE:RELIANCE-EQ")
    client.unsubscribe("nse:reliance-eq")
    assert client.subscriptions == set()


def test_an_unknown_name_sends_nothing(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(rest_url=sim.rest_url)
    connect(client, sim)
    for call in (
        client.subscribe,
        client.unsubscribe,
        client.subscribe_option_greeks,
        client.unsubscribe_option_greeks,
    ):
        with pytest.raises(UnknownSymbolError, match="did you mean 'NSE:RELIANCE-EQ'"):
            call(["NSE:1", "NSE:RELIANC-EQ"])
    with pytest.raises(UnknownSymbolError):
        make_client(rest_url=sim.rest_url, tokens=["NSE:RELIANC-EQ"])
    assert client.subscriptions == client.option_greeks_subscriptions == set()
    assert sim.actions == []


@pytest.mark.parametrize(
    "bad",
    ["", "26000", "NSE", "NSE:", ":1", "nse:1", "NSE:1|", "NSE:1,BSE:1", "NSE:A\nB", "NSE:\u0661", "NSE:-EQ"],
)
def test_malformed_names_cost_no_download(sim: Simulator, make_client: ClientMaker, bad: str) -> None:
    client = make_client(rest_url=sim.rest_url)
    for tokens in (bad, ["NSE:RELIANCE-EQ", bad]):
        with pytest.raises(ValueError, match="NSE:26000") as caught:
            client.subscribe(tokens)
        assert not isinstance(caught.value, UnknownSymbolError)
    assert sim.rest_requests == []


@pytest.mark.parametrize("bad", [None, 5, b"NSE:1", [5], [None], object()])
def test_what_is_no_name_at_all(make_client: ClientMaker, bad: Any) -> None:
    with pytest.raises(ValueError, match="NSE:26000"):
        make_client().subscribe(bad)


def test_a_name_without_an_address_to_look_it_up(make_client: ClientMaker) -> None:
    client = make_client()
    with pytest.raises(UnknownSymbolError, match="rest_url="):
        client.subscribe("NSE:RELIANCE-EQ")
    with pytest.raises(UsageError, match="rest_url="):
        _ = client.symbols
    client.subscribe("NSE:2885")


def test_a_master_of_ones_own(sim: Simulator, make_client: ClientMaker, make_master: MasterMaker) -> None:
    master = make_master()
    one, other = make_client(symbols=master), make_client(symbols=master, tokens="NSE:TCS-EQ")
    one.subscribe(master.options("NIFTY", "nearest", (25_150, 25_150)))
    assert one.symbols is other.symbols is master
    assert len(one.subscriptions) == 2
    assert other.subscriptions == {"NSE:11536"}


def test_a_client_makes_one_master(sim: Simulator, make_client: ClientMaker) -> None:
    client = make_client(rest_url=sim.rest_url)
    assert client.symbols is client.symbols


def test_no_symbols_to_be_had_is_told_at_the_call(sim: Simulator, make_client: ClientMaker) -> None:
    sim.refuse_rest(503)
    with pytest.raises(ServerError, match='give tokens \\("NSE:2885"\\)'):
        make_client(rest_url=sim.rest_url, tokens="NSE:RELIANCE-EQ")


def test_an_import_costs_nothing_of_it() -> None:
    program = (
        "import sys, firstock_ws; firstock_ws.FirstockWS('AB1234', 'x', tokens='NSE:1')\n"
        "ours = ('firstock_ws.symbols', 'requests', 'platformdirs')\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=6 * DEADLINE)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0)


def test_one_endless_line_is_no_symbol_file() -> None:
    with pytest.raises(BadFileError, match="first row is too long"):
        Table("NSE", b"{" + b'"a":1,' * 20_000)
