"""What tables of quotes say, in a terminal and as HTML; how they live in Jupyter is in test_notebook."""

from __future__ import annotations

import io
import re
import sys
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table as RichTable

from firstock_ws import IST, FirstockError, FirstockWS, Quote
from firstock_ws.models.market_state import EMPTY_STATE, Level, MarketState
from firstock_ws.models.quote import Key
from firstock_ws.simulator import Simulator
from firstock_ws.tables import DEFAULT_FIELDS, check_fields
from firstock_ws.tables.cells import Tone, cell_of
from firstock_ws.tables.html import quotes_html
from firstock_ws.tables.terminal import quotes_table
from firstock_ws.tables.text import quotes_text
from tests.conftest import ClientMaker
from tests.support import connect, wait_until

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=IST)


def quote_of(instrument: str = "NSE:2885", **values: Any) -> Quote:
    """A quote of a state's values by their names on the wire: prices in paise, times in epoch seconds."""
    return Quote(Key(instrument, *instrument.split(":")), MarketState(**values), EMPTY_STATE, {})


def terminal(renderable: object, width: int = 120) -> str:
    page = io.StringIO()
    Console(file=page, width=width, color_system=None).print(renderable)
    return page.getvalue()


def columns(table: RichTable) -> list[list[Any]]:
    return [list(column.cells) for column in table.columns]


FULL = quote_of(
    i_last_traded_price=242_405,
    i_closing_price=240_000,
    i_volume_traded_today=1_234_567,
    best_buy=(Level(242_400, 1_500, 3),),
    best_sell=(Level(242_410, 20, 1), Level(242_415, 7, 1)),
    i_feed_time=int(NOON.timestamp()) - 3,
)


def test_a_row_has_what_a_trader_looks_at() -> None:
    lines = terminal(quotes_table([FULL], now=NOON, title="Watch")).splitlines()
    assert lines[0].strip() == "Watch"
    assert [line.split() for line in lines[1:5] if line.strip()] == [
        ["instrument", "last", "change", "%", "bid", "ask", "volume", "age"],
        [lines[3].strip()],
        ["NSE:2885", "2,424.05", "+24.05", "+1.00%", "2,424.00", "2,424.10", "1,234,567", "3", "s"],
    ]


def test_what_the_broker_did_not_send_is_empty() -> None:
    assert [cell_of(quote_of(), name, NOON).text for name in DEFAULT_FIELDS] == [""] * 7
    assert all(cell_of(quote_of(), name, NOON).text == "" for name in check_fields(["bids", "feed_time", "open"]))


@pytest.mark.parametrize(
    ("last", "text", "tone", "style"),
    [
        (100_050, "+0.50", Tone.UP, "green"),
        (99_000, "-10.00", Tone.DOWN, "red"),
        (100_000, "0.00", Tone.PLAIN, ""),
    ],
)
def test_changes_are_green_and_red(last: int, text: str, tone: Tone, style: str) -> None:
    quote = quote_of(i_last_traded_price=last, i_closing_price=100_000)
    assert cell_of(quote, "change", NOON) == (text, tone)
    assert cell_of(quote, "change_percent", NOON).tone is tone
    cell = columns(quotes_table([quote], ["change"], now=NOON))[1][0]
    assert (cell.plain, cell.style) == (text, style)


def test_a_change_that_rounds_to_nothing_has_no_sign() -> None:
    quote = quote_of(i_last_traded_price=2_400_001, i_closing_price=2_400_000)
    assert cell_of(quote, "change_percent", NOON) == ("0.00%", Tone.UP)


@pytest.mark.parametrize(
    ("seconds", "text", "tone"),
    [
        (-4, "0 s", Tone.PLAIN),
        (0, "0 s", Tone.PLAIN),
        (59.9, "59 s", Tone.PLAIN),
        (60, "1 min", Tone.OLD),
        (3_599, "59 min", Tone.OLD),
        (7_300, "2 h", Tone.OLD),
        (200_000, "2 d", Tone.OLD),
    ],
)
def test_the_age_is_readable(seconds: float, text: str, tone: Tone) -> None:
    quote = quote_of(i_feed_time=int(NOON.timestamp()))
    assert cell_of(quote, "age", NOON + timedelta(seconds=seconds)) == (text, tone)


def test_times_have_their_date_only_when_it_is_another() -> None:
    quote = quote_of(i_feed_time=int(NOON.timestamp()))
    assert cell_of(quote, "feed_time", NOON).text == "12:00:00"
    assert cell_of(quote, "feed_time", NOON + timedelta(days=1)).text == "2026-01-02 12:00:00"


def test_depth_has_a_line_for_each_level() -> None:
    assert cell_of(FULL, "asks", NOON).text == "2,424.10 x 20\n2,424.15 x 7"
    assert "2,424.10 x 20<br>2,424.15 x 7" in quotes_html([FULL], ["asks"], now=NOON, caption="")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("lastprice", "last_price"), ("ltp", "last_price"), ("bid", "best_bid"), ("oi", "open_interest")],
)
def test_a_field_that_does_not_exist_is_told_with_those_near(wrong: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"no field '{wrong}': did you mean {meant}"):
        check_fields(["volume", wrong])


def test_plain_text_has_the_same_in_columns() -> None:
    text = quotes_text([FULL, quote_of("NSE:1")], ["last_price", "asks", "age"], now=NOON, caption="connected")
    assert text.splitlines() == [
        "instrument      last                         asks  age",
        "NSE:2885    2,424.05  2,424.10 x 20, 2,424.15 x 7  3 s",
        "NSE:1",
        "",
        "connected",
    ]


def test_a_field_that_nothing_is_like_is_told_with_all() -> None:
    with pytest.raises(ValueError, match=r"no field 'xyzzy': there are last_price, .*, age"):
        quotes_table([], ["xyzzy"])


def test_no_field_and_one_string_are_refused() -> None:
    with pytest.raises(ValueError, match="give one at least"):
        check_fields([])
    with pytest.raises(TypeError, match="sequence of names"):
        check_fields("volume")


# --- HTML --------------------------------------------------------------------------------------------------


def test_html_is_escaped_and_colours_stand_in_the_cells() -> None:
    page = quotes_html([FULL], ["change"], now=NOON, caption="<b>&")
    assert "<caption>&lt;b&gt;&amp;</caption>" in page
    assert '<td style="color:#' in page
    assert "<script" not in page


def test_names_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstock_ws.tables.html.name_of", lambda quote: "<M&M>")
    assert '<th scope="row">&lt;M&amp;M&gt;</th>' in quotes_html([FULL], ["volume"], now=NOON, caption="")
    monkeypatch.setattr("firstock_ws.tables.terminal.name_of", lambda quote: "[red]M")
    assert "[red]M" in terminal(quotes_table([FULL]))


def luminance(red: int, green: int, blue: int) -> float:
    linear = [part / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@pytest.mark.parametrize(
    ("text", "ground"), [("#000000", "#ffffff"), ("#ffffff", "#111111"), ("#d4d4d4", "#1e1e1e")]
)
@pytest.mark.parametrize("last", [101, 99])
def test_colours_can_be_read_on_light_and_on_dark(text: str, ground: str, last: int) -> None:
    page = quotes_html([quote_of(i_last_traded_price=last, i_closing_price=100)], ["change"], now=NOON, caption="")
    found = re.search(r"color:(#\w+);color:color-mix\(in srgb,currentColor 30%,(#\w+)\)", page)
    assert found
    plain, pure = map(rgb, found.groups())
    mixed = [round(0.3 * own + 0.7 * added) for own, added in zip(rgb(text), pure, strict=True)]
    # 4.5 is what level AA asks; of one colour for both no more than this can be had.
    for colour, least in ((mixed, 4.5), (plain, 3.9)):
        light, dark = sorted((luminance(*colour), luminance(*rgb(ground))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least


# --- the client's table, outside of Jupyter ----------------------------------------------------------------


@pytest.fixture
def client(sim: Simulator, make_client: ClientMaker) -> FirstockWS:
    client = make_client(tokens=["NSE:2885", "NSE:26000"])
    connect(client, sim)
    wait_until(lambda: len(client.quotes) == 2)
    return client


def test_the_table_of_a_client_has_all_its_quotes(client: FirstockWS) -> None:
    table = client.table()
    text = str(table)
    assert "NSE:2885" in text
    assert "NSE:26000" in text
    assert text.splitlines()[-1].strip() == "connected"
    assert repr(table) == "<Table quotes=2 state=connected>"
    assert [word for word in terminal(table).split() if word.strip("─")] == text.split()
    client.close()
    assert "closed: these are the last known quotes" in str(table)


def test_a_table_is_of_the_instruments_asked_for_in_that_order(client: FirstockWS) -> None:
    bundle = client.table("NSE:26000|BSE:1|NSE:2885", ["volume"])._repr_mimebundle_()
    page = bundle["text/html"]
    assert page.index("NSE:26000</th>") < page.index("NSE:2885</th>")
    assert "connected · no quote yet: BSE:1<" in page
    assert "no quote yet: BSE:1" in bundle["text/plain"]
    assert client.table("NSE:2885", ["volume"])._repr_html_().count("<tr>") == 2


def test_many_missing_quotes_are_counted(client: FirstockWS) -> None:
    table = client.table([f"NFO:{number}" for number in range(1, 9)])
    assert "no quote yet: NFO:1, NFO:2, NFO:3, NFO:4, NFO:5 and 3 more" in str(table)


def test_a_table_without_a_connection_says_so(make_client: ClientMaker) -> None:
    assert "closed: these are the last known quotes · no quotes yet" in str(make_client().table())


def test_bad_arguments_of_a_table_raise_at_once(make_client: ClientMaker) -> None:
    client = make_client()
    with pytest.raises(ValueError, match="last_price"):
        client.table(fields=["last"])
    with pytest.raises(ValueError, match="NSE:26000"):
        client.table("RELIANCE")
    for refresh in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"refresh is 0\.1 seconds or more"):
            client.table(refresh=refresh)


def test_show_ends_with_the_time_and_with_the_client(
    client: FirstockWS, capsys: pytest.CaptureFixture[str]
) -> None:
    table = client.table()
    table.show(0.01)
    assert "NSE:2885" in capsys.readouterr().out
    shown = threading.Thread(target=table.show)
    shown.start()
    client.close()
    shown.join(10)
    assert not shown.is_alive()
    assert "closed" in capsys.readouterr().out


def test_a_block_shows_the_table_live(client: FirstockWS, capsys: pytest.CaptureFixture[str]) -> None:
    with client.table() as table:
        pass
    table.stop()
    assert capsys.readouterr().out.count("NSE:2885") == 1


def test_without_rich_the_error_says_what_to_install(client: FirstockWS, monkeypatch: pytest.MonkeyPatch) -> None:
    table = client.table()
    monkeypatch.delitem(sys.modules, "firstock_ws.tables.terminal")
    monkeypatch.setitem(sys.modules, "rich", None)
    for use in (lambda: table.show(0.01), lambda: terminal(table)):
        with pytest.raises(FirstockError, match=r'pip install "firstock-ws\[notebook\]"'):
            use()
    # A notebook and print() need none.
    assert "NSE:2885" in table._repr_mimebundle_()["text/html"]
    assert "NSE:2885" in str(table)
