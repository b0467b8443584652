"""Settings for the whole suite: Hypothesis draws the same examples in every run, with no clock; Ctrl-C works."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

# On a shared machine a deadline is a coin toss; the store of past failures would litter the tree.
settings.register_profile("stage3", deadline=None, derandomize=True, database=None)
settings.load_profile("stage3")

# What a shell runs in the background ignores Ctrl-C, and so would everything that the tests of Ctrl-C interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests on a Dask cluster last: a check looks at all objects there are, and Dask doubles their number."""
    items.sort(key=lambda item: item.path.name == "test_dask.py")
