"""At the root, so that ``--faults-report`` is known whatever paths are on the command line."""

from __future__ import annotations

import pytest

# Before they are imported: their assertions, too, are to say what was found.
pytest.register_assert_rewrite("tests.faults", "tests.kernel", "tests.support")

pytest_plugins = ("tests.faults.report",)
