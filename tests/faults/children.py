"""Programs in processes of their own: the other end of `child`, and scripts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support import DEADLINE, KEY, unmeasured

ROOT = Path(__file__).parents[2]


class Child:
    """A client in a process of its own. Linux only, where it measures.

    Threads: one reads what the child prints, the test looks; the lock is ``_changed``.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._changed = threading.Condition()
        self._said: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        self._errors = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.child", json.dumps({"url": url, **options})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**unmeasured(), "FIRSTOCK_TEST_KEY": KEY, "PYTHONWARNINGS": "error"},
        )
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            with self._changed:
                self._said.append(said)
                self._counts[said["event"]] += 1
                self._changed.notify_all()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors = self._process.stderr.read()

    def of(self, event: str) -> list[dict[str, Any]]:
        """What it said of `event` so far."""
        return [said for said in self._said if said["event"] == event]

    def wait(self, event: str, count: int = 1, timeout: float = 3 * DEADLINE) -> list[dict[str, Any]]:
        """Wait until it said `event` so many times; return `of` it."""
        with self._changed:
            good = self._changed.wait_for(lambda: self._counts[event] >= count, timeout)
        assert good, f"{event} came {self._counts[event]} times, not {count}: {self._said[-5:]} {self._errors}"
        return self.of(event)

    def ask(self, what: str) -> dict[str, Any]:
        """Have it answer "stats", "orders" or "objects"; return the answer."""
        assert self._process.stdin is not None
        asked = self._counts[what] + 1
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self.wait(what, asked)[-1]

    def stop(self) -> None:
        """End it, and hold that it ended well and printed nothing but what it was made to."""
        try:
            self._process.stdin.close()  # type: ignore[union-attr]
            code = self._process.wait(DEADLINE)
        finally:
            self.kill()
        assert (code, self._errors) == (0, ""), (code, self._errors)
        assert KEY not in json.dumps(self._said)

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        for reader in self._readers:
            reader.join(DEADLINE)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def freeze(self) -> None:
        """Stop its process in the middle of whatever it does."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/task"))

    def memory(self) -> float:
        """MiB that it has resident."""
        return self._status("VmRSS")

    def peak_memory(self) -> float:
        """The most MiB that it ever had resident."""
        return self._status("VmHWM")

    def _status(self, name: str) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

    def cpu(self) -> float:
        """Seconds of processor time that it used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


SCRIPT = """
import os, signal, sys, threading, time
from firstock_ws import FirstockWS, UsageError
def say(*words):  # in one piece, whatever another thread says
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()
client = FirstockWS("AB1234", os.environ["FIRSTOCK_TEST_KEY"], url=sys.argv[1], tokens="NSE:26000")
client.on_connect = lambda: say("up")
client.on_close = lambda code, reason: say("closed", code)
"""


class Script:
    """A user's program, and how it ended."""

    def __init__(self, url: str, run: str) -> None:
        self.output = ""
        self.errors = ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT + run, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Not as text: what a reader of lines has read ahead, communicate() would not find.
            bufsize=0,
            env={**unmeasured(), "FIRSTOCK_TEST_KEY": KEY, "PYTHONWARNINGS": "error"},
        )

    def line(self) -> str:
        """Wait for the next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().rstrip("\n")

    def tell(self, line: str) -> None:
        """Give it a line to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self) -> tuple[int, float]:
        """Wait for its end; return its exit code, and the `time.monotonic()` of its end."""
        output, errors = self._process.communicate(timeout=3 * DEADLINE)
        self.output, self.errors = output.decode(), errors.decode()
        ended = time.monotonic()
        assert KEY not in self.output + self.errors
        return self._process.returncode, ended

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
