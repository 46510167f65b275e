"""Clients and live tables in a real Jupyter kernel, against a simulator in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firstock_ws.simulator import Simulator
from tests.kernel import Kernel, kernel_of
from tests.support import DEADLINE, KEY

pytestmark = pytest.mark.slow

RUNS = 5
"""More than the three sessions that a user may have."""


@pytest.fixture
def kernel(sim: Simulator, tmp_path: Path) -> Iterator[Kernel]:
    with kernel_of(sim, tmp_path) as kernel:
        yield kernel


def sessions(sim: Simulator, count: int) -> bool:
    return sim.wait_for(lambda sim: sim.session_count() == count, timeout=DEADLINE)


CELLS = {
    "a name": "client = make(); client.connect()",
    "shown as the result": "client = make(); client.connect(); client",
    "shown twice": "client = make(); client.connect(); display(client); client",
    "callbacks of its own": """
        class Mine(FirstockWS):
            def __init__(self, *args, **options):
                super().__init__(*args, **options)
                self.on_connect = self.hello
                self.seen = 0

            def hello(self):
                self.seen += 1

            def on_quote(self, quote):
                self.seen += 1

        client = make(Mine)
        client.connect()
        """,
    "a callback that raises": """
        class Mine(FirstockWS):
            def on_quote(self, quote):
                raise ValueError(quote)

        client = make(Mine)
        client.connect()
        """,
    "a key from a method": f"""
        class Mine(FirstockWS):
            def __init__(self, user_id, jkey, **options):
                super().__init__(user_id, self.key, **options)

            def key(self):
                return {KEY!r}

        client = make(Mine)
        client.connect()
        """,
    "callbacks that close over it": """
        def prepare():
            client = make()
            client.on_quote = lambda quote: client.stats
            client.on_close = lambda code, reason: print(client)
            client.connect()
            return client

        client = prepare()
        """,
    "a live table": "client = make(); client.connect(); client.table()",
    "a table with a name": "client = make(); client.connect(); table = client.table(); table",
    "a frame": "client = make(); client.connect(); client.to_frame()",
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_a_cell_that_is_run_again_leaves_one_session(sim: Simulator, kernel: Kernel, cell: str) -> None:
    for run in range(1, RUNS + 1):
        shown = kernel.run(cell)
        assert shown.error is None
        # It may come after the cell has ended.
        assert shown.err == "" or "raise ValueError" in cell
        assert sessions(sim, 1), f"after run {run}: {sim.session_count()}"
    assert sim.wait_for(lambda sim: sim.close_codes == [1000] * (RUNS - 1))
    shown = kernel.run("print(client.state.value)")
    assert (shown.error, shown.out) == (None, "connected\n")
    assert shown.err == "" or "raise ValueError" in cell


@pytest.mark.parametrize(
    "cell",
    [
        "client = make(); client.connect(); 1 / 0",
        "client = make(); client.connect(); client.subscribe('bad')",
        """
        def prepare():
            client = make()
            client.connect()
            try:
                client.subscribe("bad")
            except ValueError as error:
                raise RuntimeError("not prepared") from error

        prepare()
        """,
    ],
    ids=["in the cell", "in a method", "in a function, while another was handled"],
)
def test_a_cell_that_failed_after_connecting_leaves_one_session(sim: Simulator, kernel: Kernel, cell: str) -> None:
    for _ in range(RUNS):
        assert kernel.run(cell).error
        assert sessions(sim, 1)
    # The last error stays what it was.
    kernel.good("client = make(); client.connect()")
    assert sessions(sim, 1)


def test_a_new_client_connects_when_the_old_one_is_gone(sim: Simulator, kernel: Kernel) -> None:
    kernel.good("import threading")
    cell = """
        client = make(); client.connect()
        print([thread.name for thread in threading.enumerate()].count("firstock-ws-io"))
        client
        """
    for _ in range(RUNS):
        assert kernel.good(cell).out == "1\n"


def test_two_cells_may_make_and_connect_it(sim: Simulator, kernel: Kernel) -> None:
    for _ in range(RUNS):
        kernel.good("make()")
        kernel.good("_.connect()")
        kernel.good("client = make()\nclient", "making")
        kernel.good("client.connect()", "connecting")
        assert sessions(sim, 1)


def test_what_was_shown_of_a_replaced_client_is_a_text(sim: Simulator, kernel: Kernel) -> None:
    kernel.good("client = make(); client.connect(); client")
    kernel.good("first = _")
    kernel.good("client = make(); client.connect(); client")
    kept = "print(sum(isinstance(value, FirstockWS) for value in Out.values()))"
    assert kernel.good(kept).out == "2\n"
    kernel.good("del first; client = make(); client.connect()")
    assert kernel.good(kept).out == "0\n"
    assert kernel.good("print([*Out.values()][0])").out.startswith("<FirstockWS user_id='AB1234'")
    assert sessions(sim, 1)


def test_a_client_whose_last_name_is_deleted_is_closed_and_said_so(sim: Simulator, kernel: Kernel) -> None:
    kernel.good("client = make(); client.connect()")
    shown = kernel.run("del client")
    assert "nothing refers to the client of AB1234 any more" in shown.err
    assert sessions(sim, 0)
    assert sim.wait_for(lambda sim: sim.close_codes == [1000])


def test_a_client_that_only_a_function_knew_is_closed_and_said_so(sim: Simulator, kernel: Kernel) -> None:
    shown = kernel.run("def start():\n    client = make()\n    client.connect()\n\nstart()")
    assert "keep it in a variable" in shown.err
    assert sessions(sim, 0)


@pytest.mark.parametrize("holder", ["kept = [client]", "kept = {1: client}", "kept = lambda: client"])
def test_a_client_that_something_holds_stays(sim: Simulator, kernel: Kernel, holder: str) -> None:
    kernel.good(f"def prepare():\n    client = make()\n    client.connect()\n    {holder}\n    return kept")
    kernel.good("kept = prepare()")
    kernel.good("client = make(); client.connect(); gc.collect()")
    assert sim.session_count() == 2
    assert sim.close_codes == []
    shown = kernel.run("del kept; gc.collect()")
    assert shown.error is None
    assert sessions(sim, 1)


def test_one_that_cannot_be_closed_does_not_keep_others_from_being(sim: Simulator, kernel: Kernel) -> None:
    kernel.good(
        """
        import io, logging
        from firstock_ws import forgotten
        log = io.StringIO()
        logging.getLogger("firstock_ws.forgotten").addHandler(logging.StreamHandler(log))
        def fail():
            raise OSError("no")
        forgotten._janitor.put(fail)
        """
    )
    for _ in range(2):
        kernel.good("client = make(); client.connect()")
    assert sessions(sim, 1)
    assert "a forgotten client could not be closed" in kernel.good("print(log.getvalue())").out


@pytest.mark.parametrize("restart", [False, True])
def test_a_kernel_that_ends_says_goodbye(sim: Simulator, kernel: Kernel, restart: bool) -> None:
    kernel.good("client = make(); client.connect(); client.table()")
    kernel.shut_down(restart=restart)
    assert sessions(sim, 0)
    assert sim.wait_for(lambda sim: sim.close_codes == [1000])


RUNNING = "import threading; print(sum(t.name == 'firstock-ws-table' for t in threading.enumerate()))"


def move(sim: Simulator) -> str:
    """Change the last price of NSE:2885; return it as a table has it."""

    def price() -> int:
        paise = sim.truth("NSE:2885")["i_last_traded_price"]
        assert isinstance(paise, int)
        return paise

    before = price()
    while price() == before:
        sim.tick("NSE:2885")
    return f"{price() / 100:,.2f}"


# --- live tables -------------------------------------------------------------------------------------------


def test_a_table_goes_on_in_place_while_later_cells_run(sim: Simulator, kernel: Kernel) -> None:
    kernel.good("client = make(); client.connect()")
    # One column: a bid may be what the last price will be.
    shown = kernel.good("client.table(fields=['last_price'], refresh=0.1)", "table")
    (first,) = (picture for picture in shown.pictures if picture.kind == "display_data")
    assert first.display_id
    assert "<table" in first.data["text/html"]
    assert kernel.good("print(1 + 1)").out == "2\n"
    for _ in range(3):
        update = kernel.see(move(sim))
        assert (update.kind, update.display_id) == ("update_display_data", first.display_id)
    kernel.good("client.close()")
    assert kernel.see("closed: these are the last known quotes").display_id == first.display_id
    assert kernel.good(RUNNING).out == "0\n"


@pytest.mark.parametrize("cell", [None, "table"], ids=["no cell id", "cell id"])
def test_the_table_of_a_cell_that_is_run_again_replaces_the_earlier(
    sim: Simulator, kernel: Kernel, cell: str | None
) -> None:
    kernel.good("client = make(); client.connect()")
    for _ in range(3):
        kernel.good("client.table()", cell)
        assert kernel.good(RUNNING).out == "1\n"
    kernel.good("display(client.table(['NSE:2885'])); display(client.table(['NSE:26000']))", "two")
    assert kernel.good(RUNNING).out == "3\n"
    kernel.good("client.table(fields=['volume'])", cell)
    assert kernel.good(RUNNING).out == ("4\n" if cell is None else "3\n")


def test_a_table_can_be_stopped_and_shown_again(sim: Simulator, kernel: Kernel) -> None:
    kernel.good("client = make(); client.connect(); table = client.table(); table")
    shown = kernel.good("table.stop()")
    assert any("stopped" in picture.data["text/html"] for picture in shown.pictures)
    assert kernel.good(RUNNING).out == "0\n"
    kernel.good("table.show()")
    assert kernel.good(RUNNING).out == "1\n"
    kernel.good("with table:\n    pass")
    assert kernel.good(RUNNING).out == "0\n"


def test_a_table_of_a_client_that_does_not_run_stands_still(sim: Simulator, kernel: Kernel) -> None:
    shown = kernel.good("client = make(); client.table()")
    assert "closed: these are the last known quotes · no quotes yet" in shown.pictures[0].data["text/html"]
    assert kernel.good(RUNNING).out == "0\n"
    # It can be stopped all the same, and shown again when there is something to show.
    kernel.good("table = client.table(); table.show(); table.stop(); client.connect(); table.show()")
    assert kernel.good(RUNNING).out == "1\n"


def test_a_table_stands_still_after_so_many_updates(sim: Simulator, kernel: Kernel) -> None:
    kernel.good("import firstock_ws.tables.showing; firstock_ws.tables.showing.MAX_UPDATES = 2")
    kernel.good(
        """
        import threading
        both = threading.Event()
        client = make(on_quote=lambda quote: len(client.quotes) == 2 and both.set())
        client.connect()
        assert both.wait(10)
        """
    )
    kernel.good("client.table(fields=['last_price'], refresh=0.1)")
    for _ in range(2):
        assert "stopped" not in kernel.see(move(sim)).data["text/html"]
    kernel.see("stopped after 2 updates")
    assert kernel.good(RUNNING).out == "0\n"


def test_a_table_of_which_nothing_changes_is_not_sent_again(sim: Simulator, kernel: Kernel) -> None:
    kernel.good("client = make(); client.connect()")
    kernel.good("table = client.table(fields=['last_price'], refresh=0.1); table")
    kernel.see(move(sim))
    shown = kernel.good(
        """
        import threading
        showing, looks, done = table._showing, [], threading.Event()
        def look(still, picture=showing._picture):
            looks.append(showing.updates)
            if len(looks) == 4:
                done.set()
            return picture(still)
        showing._picture = look
        print(done.wait(10), looks[0] == looks[-1])
        """
    )
    assert shown.out == "True True\n"


def test_a_failing_display_ends_the_table_and_is_logged(sim: Simulator, kernel: Kernel) -> None:
    kernel.good("client = make(); client.connect(); table = client.table(refresh=0.1); table")
    kernel.good(
        """
        import io, logging
        log = io.StringIO()
        logging.getLogger("firstock_ws.tables.showing").addHandler(logging.StreamHandler(log))
        def fail(*args, **options):
            raise OSError("gone")
        table._showing._handle.update = fail
        """
    )
    for _ in range(20):
        sim.tick("NSE:2885")
    shown = kernel.good("table._showing._worker.wait(10); print(log.getvalue())")
    assert "a table can't be updated any more: OSError" in shown.out
    assert sim.session_count() == 1
