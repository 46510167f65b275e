"""Makes the pictures in docs/images again, from the simulator: ``python -m docs.pictures``.

Needs the extra ``test``, nbconvert, and a Chromium, whose command is given with ``--chromium``.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import tempfile
from pathlib import Path

import nbclient
import nbformat
from nbconvert import HTMLExporter
from rich.console import Console

from firstock_ws import FirstockWS
from firstock_ws.simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CELLS = ("table-text", "table", "quotes-text", "quotes")
WIDTH, HEIGHT = 960, 755
INSTRUMENTS = ("NSE:26000", "NSE:26009", "NSE:2885", "NSE:1594", "NFO:35000")
# It must not leave this computer, nor ask anybody anything.
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def notebook_page(theme: str) -> str:
    """Return the sample notebook as a page of `theme`, ``"light"`` or ``"dark"``, run up to its frame."""
    notebook = nbformat.read(ROOT / "samples" / "notebook.ipynb", as_version=4)
    ids = [cell.id for cell in notebook.cells]
    del notebook.cells[ids.index(CELLS[-1]) + 1 :]
    # One cell more: the table is to have gone on for a while.
    notebook.cells.append(nbformat.v4.new_code_cell("time.sleep(2)"))
    nbclient.NotebookClient(notebook, timeout=60).execute()
    notebook.cells = [cell for cell in notebook.cells if cell.id in CELLS]
    exporter = HTMLExporter(template_name="lab", theme=theme)
    exporter.mathjax_url = exporter.require_js_url = exporter.jquery_url = exporter.mermaid_js_url = ""
    return str(exporter.from_notebook_node(notebook)[0])


def picture_of(page: str, path: Path, chromium: str, height: int) -> None:
    """Write what a browser shows of `page` to `path`, a PNG."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "page.html")
        source.write_text(page, encoding="utf-8")
        command = [chromium, *OPTIONS, f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{height}"]
        command += ["--virtual-time-budget=3000", f"--screenshot={path}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def terminal_table(path: Path) -> None:
    """Write the table of a terminal to `path`, an SVG."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    simulator = Simulator(order_interval=None, rate=60)
    with simulator, FirstockWS("AB1234", "secret", url=simulator.start().url, tokens=INSTRUMENTS) as client:
        client.connect()
        simulator.wait_for(lambda sim: False, timeout=2)
        console.print(client.table(INSTRUMENTS))
    picture = console.export_svg(title="rich.print(client.table())")
    # Fonts from elsewhere, which no page should need for a picture.
    path.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--height", type=int, default=HEIGHT, help="of the notebook's picture, in pixels")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--folder", type=Path, default=IMAGES)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    terminal_table(chosen.folder / "live-table.svg")
    page = notebook_page(chosen.theme)
    picture_of(page, chosen.folder / "notebook.png", chosen.chromium, chosen.height)


if __name__ == "__main__":
    main()
