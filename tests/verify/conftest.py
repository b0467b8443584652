"""A recording of the test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from verify.observe.install import observed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def flight(tmp_path: Path) -> Iterator[Path]:
    """Return the flight of this process, under recording."""
    with observed(tmp_path) as running:
        assert running.path is not None
        yield running.path
