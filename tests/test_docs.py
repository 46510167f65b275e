"""The documentation: the site builds, its programs run, and what it names is there."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

import firstock_ws
from firstock_ws import FirstockWS, OrderUpdate, PositionUpdate, Quote, Session, State, Stats, errors
from firstock_ws.simulator import Simulator
from tests.support import closed_port
from tests.test_samples import KEY, PATIENCE, ROOT, SAMPLES, USER_ID, Sample, environment, needs_sigint

DOCS = ROOT / "docs"
WRITTEN_BY_PROGRAMS = {"reliability.md", "benchmarks.md", "changelog.md"}
PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if path.name not in WRITTEN_BY_PROGRAMS
}
PUBLIC_MODULES = (
    "firstock_ws",
    "firstock_ws.bars",
    "firstock_ws.errors",
    "firstock_ws.models",
    "firstock_ws.recording",
    "firstock_ws.simulator",
    "firstock_ws.symbols",
    "firstock_ws.tables",
)
"""Each says in ``__all__`` what is for users."""


class Block(NamedTuple):
    """A piece of code on a page."""

    page: str
    language: str
    code: str

    @property
    def is_program(self) -> bool:
        """Whether it can be run as it is."""
        return "from firstock_ws import" in self.code and bool(re.search(r"\.(run_forever|connect)\b", self.code))


FENCE = re.compile(r"^( *)``` ?(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    Block(page, language, textwrap.dedent(code))
    for page, text in PAGES.items()
    for _, language, code in FENCE.findall(text)
]


# --- the site ----------------------------------------------------------------------------------------------


LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "link": "href"}


class Page(HTMLParser):
    """What a built page loads, links to, and can be linked at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.classes: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids.add(values.get("id", ""))
        self.classes.update(values.get("class", "").split())
        loaded = LOADED.get(tag)
        # A canonical address and the next page's are links for search engines, and load nothing.
        if loaded in values and values.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(values[loaded])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    pytest.importorskip("mkdocs", reason='the site needs the extra "docs"')
    pytest.importorskip("mkdocstrings", reason='the site needs the extra "docs"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # The theme advertises its successor otherwise.
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(NO_MKDOCS_2_WARNING="1"),
        capture_output=True,
        text=True,
        timeout=12 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def built(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path, built: dict[Path, Page]) -> None:
    assert len(built) > len(PAGES)
    elsewhere = {
        (path.name, address) for path, page in built.items() for address in page.loads if urlsplit(address).netloc
    }
    assert elsewhere == set()
    for sheet in (*site.rglob("*.css"), *site.rglob("*.svg")):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name
    # What makes the theme's script load something: diagrams, and figures of a repository.
    for page in built.values():
        assert not page.classes & {"mermaid", "md-source"}


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(site: Path, built: dict[Path, Page]) -> None:
    dead = []
    for path, page in built.items():
        if path.name == "404.html":
            continue  # Its links begin at the server's root.
        for link in (*page.links, *page.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in built[target].ids):
                dead.append((path.relative_to(site).as_posix(), link))
    assert dead == []


@pytest.mark.slow
def test_every_public_name_has_a_place_in_the_site(built: dict[Path, Page]) -> None:
    ids = set().union(*(page.ids for page in built.values()))
    members = {
        f"firstock_ws.{owner.__name__}.{name}"
        for owner in (FirstockWS, Quote, OrderUpdate, PositionUpdate, Stats, Session, State)
        for name in vars(owner)
        if not name.startswith("_") and name != "replacing"
    }
    assert {f"firstock_ws.{name}" for name in firstock_ws.__all__} | members <= ids
    for name in ("subscribe", "unsubscribe", "quotes", "stats", "on_quote", "on_order_update", "wait_connected"):
        assert f"firstock_ws.FirstockWS.{name}" in ids


def test_the_reference_names_all_that_is_public() -> None:
    named = {
        directive
        for page, text in PAGES.items()
        if page.startswith("reference/")
        for directive in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)
    }
    for module in PUBLIC_MODULES:
        for name in importlib.import_module(module).__all__:
            assert {f"{module}.{name}", f"firstock_ws.{name}"} & named, f"{module}.{name} is on no page"


def test_pages_that_others_write_are_there() -> None:
    assert '--8<-- "CHANGELOG.md"' in (DOCS / "changelog.md").read_text(encoding="utf-8")
    assert '--8<-- "benchmarks/RESULTS.md"' in (DOCS / "benchmarks.md").read_text(encoding="utf-8")


# --- programs ----------------------------------------------------------------------------------------------

PRICE = r"-?[0-9]+\.[0-9]+"
PROGRAMS = {
    "index.md 0": [rf"NSE:26000 {PRICE} {PRICE}", rf"NSE:2885 {PRICE} {PRICE}", r"order \d{14} COMPLETE"],
    "index.md 1": [rf"buy NSE:\d+ at {PRICE}, best offer DepthLevel\(.*\)", r"\d{14} COMPLETE (\d+) of \1"],
    "index.md 2": [rf"NSE:26000 {PRICE}"],
    "concepts/threads.md 0": [rf"NSE:26000 {PRICE}"] * 10,
    "migrating.md 0": [rf"NSE:2885 {PRICE} \d+"],
    "migrating.md 1": [rf"2885 {PRICE}", "COMPLETE"],
    "recipes/symbols.md 0": [rf"RELIANCE-EQ NSE:2885 {PRICE}"],
    "migrating.md 2": [rf"NSE:26000 {PRICE}", r"\d{14} COMPLETE"],
    "recipes/notebook.md 0": [
        r"<FirstockWS user_id='AB1234' state=connected .*",
        r"\[.*'COMPLETE'\]",
        # The table may come before the first quotes; the frame's lines are in this order.
        ".*NSE:26000.*",
        ".*NSE:2885.*",
    ],
}
"""What each program prints, by page and place on it."""
END_BY_THEMSELVES = {"concepts/threads.md 0", "recipes/notebook.md 0"}


def programs() -> dict[str, str]:
    found: dict[str, str] = {}
    for page in PAGES:
        blocks = [b for b in BLOCKS if b.page == page and b.language == "python" and b.is_program]
        found.update({f"{page} {place}": block.code for place, block in enumerate(blocks)})
    return found


@pytest.fixture
def sim() -> Iterator[Simulator]:
    # No seed: the demonstration's kind of market, which places orders.
    with Simulator(users={USER_ID: KEY}, rate=200, order_interval=1) as simulator:
        yield simulator


@pytest.fixture
def run(sim: Simulator, tmp_path: Path) -> Iterator[Callable[..., Sample]]:
    """A function that runs a program of a page, with the simulator's addresses and key in it."""
    samples: list[Sample] = []

    def start(code: str) -> Sample:
        addresses = f'url="{sim.url}", rest_url="{sim.rest_url}"'
        for old, new in {
            "ws://127.0.0.1:9100/ws": sim.url,
            "http://127.0.0.1:9101/V1": sim.rest_url,
            '"secret"': f'"{KEY}"',
            'jkey="…"': f'jkey="{KEY}", {addresses}',
            "session.jkey,": f"session.jkey, {addresses},",
            "login(\n": f'login(\n    base_url="{sim.rest_url}",\n',
            'input("TOTP: ")': '"123456"',
        }.items():
            code = code.replace(old, new)
        path = tmp_path / "program.py"
        path.write_text(code, encoding="utf-8")
        names = ("USER_ID", "PASSWORD", "VENDOR_CODE", "API_KEY")
        settings = {f"FIRSTOCK_{name}": USER_ID for name in names}
        samples.append(Sample(tmp_path, str(path), **settings, FIRSTOCK_WS_CACHE_DIR=str(tmp_path)))
        return samples[-1]

    yield start
    for sample in samples:
        sample.dispose()


def test_no_program_was_forgotten() -> None:
    assert set(programs()) == set(PROGRAMS)


@needs_sigint
@pytest.mark.parametrize("place", PROGRAMS)
def test_the_programs_run(run: Callable[..., Sample], place: str) -> None:
    sample = run(programs()[place])
    for pattern in PROGRAMS[place]:
        sample.expect(pattern)
    if place not in END_BY_THEMSELVES:
        sample.interrupt()
    assert sample.end() == (0, "")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in ("python", "py")], ids=lambda b: b.page)
def test_all_code_compiles(block: Block) -> None:
    if "--8<--" not in block.code:
        compile(block.code, block.page, "exec")


@needs_sigint
def test_the_commands_of_the_first_page_run() -> None:
    lines = [
        line for b in BLOCKS if b.page == "index.md" and b.language == "console" for line in b.code.splitlines()
    ]
    commands = [line.split() for line in lines if line.startswith("firstock-ws")]
    assert [command[1] for command in commands] == ["demo", "simulate"]
    assert lines.count('pip install ".[demo]"') == 2  # The whole check (.ci/run) does that.

    demo, simulate = commands
    demo[demo.index("--seconds") + 1] = "2"
    done = subprocess.run(
        [sys.executable, "-m", "firstock_ws", *demo[1:]],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

    for option in ("--port", "--rest-port"):
        simulate[simulate.index(option) + 1] = str(closed_port())
    with subprocess.Popen(
        [sys.executable, "-m", "firstock_ws", *simulate[1:]],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert f"ws://127.0.0.1:{simulate[simulate.index('--port') + 1]}/ws" in server.stdout.readline()
        server.terminate()
        assert server.wait(PATIENCE) == 0


# --- what pages name ---------------------------------------------------------------------------------------

OWNERS = {
    "client": FirstockWS,
    "quote": Quote,
    "order": OrderUpdate,
    "position": PositionUpdate,
    "stats": Stats,
    "session": Session,
    "State": State,
    "sim": Simulator,
    "simulator": Simulator,
}
FOREIGN = re.compile(r"^ *``` ?py\n.*?^ *```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_attributes_that_a_page_names_are_there(page: str) -> None:
    text = FOREIGN.sub("", PAGES[page])
    code = " ".join(re.findall(r"`([^`\n]+)`", text)) + " " + " ".join(b.code for b in BLOCKS if b.page == page)
    for owner, name in re.findall(r"\b(client|quote|order|position|stats|session|State|sim)\.([A-Za-z]\w*)", code):
        assert hasattr(OWNERS[owner], name) or name in getattr(OWNERS[owner], "__annotations__", ()), (owner, name)


def test_every_error_has_its_section() -> None:
    text = PAGES["errors.md"]
    sections = set(re.findall(r"^## (\w+Error)$", text, re.MULTILINE))
    assert sections == set(errors.__all__) - {"FirstockError"}
    tree = text.split("```")[1]
    assert set(re.findall(r"\w+Error", tree)) - {"TimeoutError", "ValueError"} == set(errors.__all__)


GRAM = 12


def grams_of_the_package() -> set[str]:
    """All runs of so many signs in the texts of the package; values in a text part it."""
    texts = [
        node.value
        for path in (ROOT / "firstock_ws").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return {text[at : at + GRAM] for text in texts for at in range(len(text) - GRAM + 1)}


def test_the_messages_are_those_of_the_code() -> None:
    known = grams_of_the_package()
    sections = PAGES["errors.md"].partition("## UsageError")[2]
    messages = re.findall(r"^\| `([^`]+)`", sections, re.MULTILINE)
    assert len(messages) >= 30
    for message in messages:
        rest = list(message)
        for at in range(len(message) - GRAM + 1):
            if message[at : at + GRAM] in known:
                rest[at : at + GRAM] = "|" * GRAM
        # What is left are values, such as a host or a number.
        strange = re.findall(r"[A-Za-z ,]{14,}", "".join(rest))
        assert strange == [], f"{message!r} is no text of the package"


# --- the command line --------------------------------------------------------------------------------------


def help_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "firstock_ws", *command, "--help"],
        env=environment(COLUMNS="200", NO_COLOR="1", TERM="dumb"),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=3 * PATIENCE,
        check=True,
    )
    return done.stdout


OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OF_ALL = {"--debug", "--help", "--version", "--install-completion", "--show-completion"}


def test_the_command_line_is_described_as_it_is() -> None:
    text = PAGES["command-line.md"]
    sections = dict(re.findall(r"^## firstock-ws ([a-z-]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    told = help_of()
    commands = re.findall(r"^[ │|]{1,6}([a-z][a-z-]+) {2,}\S", told, re.MULTILINE)
    assert sorted(sections) == sorted(commands)
    for command, section in sections.items():
        described = set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE))
        assert described == set(OPTION.findall(help_of(command))) - OF_ALL, command
        assert set(OPTION.findall(section)) <= described, command


# --- recipes -----------------------------------------------------------------------------------------------


def test_every_sample_is_a_recipe_and_every_recipe_a_sample() -> None:
    shown = [
        re.fullmatch(r'--8<-- "samples/([\w.]+)"\n', block.code)
        for block in BLOCKS
        if block.page.startswith("recipes/") and block.language in ("", "python") and "--8<--" in block.code
    ]
    names = [found[1] for found in shown if found]
    assert sorted(names) == sorted(path.name for path in SAMPLES.glob("*.py"))
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", PAGES["recipes/index.md"]))
    pages = {page.removeprefix("recipes/") for page in PAGES if page.startswith("recipes/")}
    assert listed == pages - {"index.md"}


@pytest.mark.skipif(os.name == "nt", reason="the check of all pages once is enough")
def test_pages_tell_no_path_of_a_computer() -> None:
    for page, text in PAGES.items():
        assert not re.search(r"(?<![\w.:/])/(tmp|work|root|home)/", text), page


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (ROOT / link).exists()] == []
