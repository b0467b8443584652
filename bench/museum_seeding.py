"""A pytest plugin that seeds one defect for a whole session: `STAGE3_DEFECT=A3 pytest -p bench.museum_seeding`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Final

from stress.migration import defects

NAME: Final = "STAGE3_DEFECT"
_STACK: Final = ExitStack()


def pytest_configure() -> None:
    """Seed."""
    if name := os.environ.get(NAME, ""):
        _STACK.enter_context(defects.seeded(defects.find(name)))


def pytest_unconfigure() -> None:
    """Take it out again."""
    _STACK.close()
