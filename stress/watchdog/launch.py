"""The environment in which a program records itself, and the way back from a process to its recordings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from stress.watchdog import processes

__all__ = ["VARIABLE", "environment", "flights_of"]

VARIABLE: Final = "STAGE3_FLIGHT"
"""Names the directory of recordings to every process below."""


def environment(flights: Path) -> dict[str, str]:
    """Return this process's environment, changed so that Python programs started in it record into `flights`."""
    return {**os.environ, VARIABLE: str(flights)}


def flights_of(pid: int) -> Path | None:
    """Return the directory that process `pid` records into, None where it records nowhere."""
    named = processes.environment(pid, VARIABLE)
    directory = Path(named) if named else None
    return directory if directory is not None and directory.is_dir() else None
