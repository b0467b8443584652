"""The way back from a process to the directory that it records into."""

from __future__ import annotations

from pathlib import Path

from stress.watchdog import processes
from verify.observe.launch import VARIABLE

__all__ = ["flights_of"]


def flights_of(pid: int) -> Path | None:
    """Return the directory that process `pid` records into, None where it records nowhere."""
    named = processes.environment(pid, VARIABLE)
    directory = Path(named) if named else None
    return directory if directory is not None and directory.is_dir() else None
