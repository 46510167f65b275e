"""The command line in this process, in a child process, and at a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from types import TracebackType

from firstock_ws.simulator import Simulator
from tests.support import DEADLINE, KEY, unmeasured

COMMAND = [sys.executable, "-m", "firstock_ws"]
PASSWORD, API_KEY, TOTP_SECRET = "my-Pass-word-1", "api-key-abcdef", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
SECRETS = (KEY, PASSWORD, API_KEY, TOTP_SECRET)
SLOW = 6 * DEADLINE
"""Seconds for a child process on a busy machine."""

# Makes the terminal that it is started on its own one, as a shell does.
_ON_TERMINAL = (
    "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); "
    "os.execv(sys.executable, [sys.executable, '-m', 'firstock_ws', *sys.argv[1:]])"
)


def logged_in(sim: Simulator) -> dict[str, str]:
    """Return the environment of a session at `sim`."""
    return {
        "FIRSTOCK_USER_ID": sim.user_id,
        "FIRSTOCK_JKEY": sim.jkey,
        "FIRSTOCK_URL": sim.url,
        "FIRSTOCK_REST_URL": sim.rest_url,
    }


def able_to_log_in(sim: Simulator) -> dict[str, str]:
    """Return the environment that a login at `sim` needs, but for addresses."""
    return {
        "FIRSTOCK_USER_ID": sim.user_id,
        "FIRSTOCK_PASSWORD": PASSWORD,
        "FIRSTOCK_TOTP_SECRET": TOTP_SECRET,
        "FIRSTOCK_VENDOR_CODE": "AB1234_API",
        "FIRSTOCK_API_KEY": API_KEY,
    }


def at(sim: Simulator) -> list[str]:
    """Return the options that name the addresses of `sim`."""
    return ["--url", sim.url, "--rest-url", sim.rest_url]


def free_of_secrets(*texts: str) -> None:
    """Assert that no text has a secret in it."""
    for text in texts:
        assert not [secret for secret in SECRETS if secret in text or secret.lower() in text.lower()]


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a child process, with nobody at its stdin, and look for secrets in what it says."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SLOW,
    )
    free_of_secrets(done.stdout, done.stderr)
    return done


class Terminal:
    """A command on a terminal of its own.

    Threads: one of ours reads what it writes, the test looks; the lock is ``_changed``.
    """

    def __init__(
        self, *arguments: str, environment: dict[str, str] | None = None, columns: int = 110, rows: int = 40
    ) -> None:
        self._master, slave = pty.openpty()
        self._changed = threading.Condition()
        self._written = ""
        self.resize(columns, rows)
        more = {"TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **(environment or {})}
        env = {name: value for name, value in {**unmeasured(), **more}.items() if value}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            start_new_session=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        # Linux says EIO when the last writer has gone.
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65_536):
                with self._changed:
                    self._written += data.decode(errors="replace")
                    self._changed.notify_all()

    @property
    def written(self) -> str:
        """All that the command has written, with its control sequences."""
        with self._changed:
            return self._written

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def echoes(self) -> bool:
        """Whether what is typed now would be shown."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def wait_for(self, text: str, after: int = 0) -> int:
        """Wait until `text` was written behind the place `after`; return the place behind it."""
        with self._changed:
            good = self._changed.wait_for(lambda: self._written.find(text, after) >= 0, SLOW)
            assert good, f"{text!r} was not written: {self._written[-2_000:]!r}"
            return self._written.find(text, after) + len(text)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Wait until the command has ended; return its exit code."""
        code = self.process.wait(SLOW)
        self._reader.join(DEADLINE)
        free_of_secrets(self.written)
        return code

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(SLOW)
        self._reader.join(DEADLINE)
        os.close(self._master)
