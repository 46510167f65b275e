"""A real Jupyter kernel, in a process of its own, that tests run cells in."""

from __future__ import annotations

import os
import queue
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from firstock_ws.simulator import Simulator
from tests.support import KEY

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30.0
"""Seconds that a cell, or something a kernel sends, may take on a busy machine."""

STARTS = 3


class Picture(NamedTuple):
    """Something a kernel displayed, or the update of it."""

    kind: str
    display_id: str | None
    data: dict[str, str]


class Shown:
    """What came from the kernel while a cell ran."""

    def __init__(self) -> None:
        self.out = ""
        self.err = ""
        self.error: str | None = None
        self.result: str | None = None
        self.pictures: list[Picture] = []

    def take(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream" and content["name"] == "stdout":
            self.out += content["text"]
        elif kind == "stream":
            self.err += content["text"]
        elif kind == "error":
            self.error = f"{content['ename']}: {content['evalue']}"
        elif kind == "execute_result":
            self.result = content["data"]["text/plain"]
        elif kind in ("display_data", "update_display_data"):
            display_id = content.get("transient", {}).get("display_id")
            self.pictures.append(Picture(kind, display_id, content["data"]))


class Kernel:
    """Runs cells as a notebook does. Used from one thread."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager = manager
        self._client = client
        self.pictures: list[Picture] = []
        """All that was displayed and updated so far."""

    def run(self, code: str, cell: str | None = None) -> Shown:
        """Run a cell, whose id is `cell`; return what it showed."""
        message = self._client.session.msg(
            "execute_request",
            {
                "code": textwrap.dedent(code),
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
            },
            metadata={} if cell is None else {"cellId": cell},
        )
        self._client.shell_channel.send(message)
        shown = Shown()
        deadline = time.monotonic() + PATIENCE
        while True:
            got = self._client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
            shown.take(got)
            ours = got["parent_header"].get("msg_id") == message["header"]["msg_id"]
            if ours and got["content"].get("execution_state") == "idle":
                self.pictures += shown.pictures
                return shown

    def good(self, code: str, cell: str | None = None) -> Shown:
        """Run a cell that must neither fail nor complain."""
        shown = self.run(code, cell)
        assert (shown.error, shown.err) == (None, "")
        return shown

    def see(self, words: str) -> Picture:
        """Wait until what was displayed or updated last has `words` in it; return that."""
        deadline = time.monotonic() + PATIENCE
        while not self.pictures or words not in self.pictures[-1].data["text/html"]:
            shown = Shown()
            try:
                shown.take(self._client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"{words!r} is not in {self.pictures[-1:]}") from None
            self.pictures += shown.pictures
        return self.pictures[-1]

    def shut_down(self, *, restart: bool = False) -> None:
        """End the kernel as the front end's button does, or start it again."""
        if restart:
            self._manager.restart_kernel(now=False)
            self._client.wait_for_ready(timeout=PATIENCE)
        else:
            self._manager.shutdown_kernel(now=False)


def _start(environment: dict[str, str], folder: Path) -> tuple[Any, Any]:
    """Start a kernel; return its manager and a client that is connected to it."""
    # Not at the top: the quick run leaves kernels out, and need not have what starts them.
    from jupyter_client.manager import KernelManager

    for attempt in range(STARTS):
        manager: Any = KernelManager(kernel_name="python3", connection_file=str(folder / f"kernel-{attempt}.json"))
        manager.start_kernel(env=environment, cwd=str(folder))
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=PATIENCE)
        except RuntimeError:
            # Its ports were free when they were chosen, and may have been taken before it listened.
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            if attempt == STARTS - 1:
                raise
        else:
            return manager, client
    raise AssertionError("never reached")


@contextmanager
def kernel_of(sim: Simulator, folder: Path) -> Iterator[Kernel]:
    """A kernel in which ``make()`` returns a client of `sim`, not yet connected; `folder` is for its files."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    settings = {
        "PYTHONPATH": path,
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    manager, client = _start({**os.environ, **settings}, folder)
    try:
        kernel = Kernel(manager, client)
        kernel.good(
            f"""
            import gc
            from firstock_ws import FirstockWS

            def make(kind=FirstockWS, **options):
                options = {{"tokens": ["NSE:26000", "NSE:2885"], **options}}
                return kind("AB1234", {KEY!r}, url={sim.url!r}, rest_url={sim.rest_url!r}, **options)
            """
        )
        yield kernel
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel(now=False)
