"""At the root, so that ``--faults-report`` is known whatever paths are on the command line."""

from __future__ import annotations

pytest_plugins = ("tests.faults.report",)
