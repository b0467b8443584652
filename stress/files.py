"""Files that commands write: whether a directory will do, and text that is there whole or not at all.

Promises: `unusable` and `directory_for` make nothing and raise nothing but what they say, whatever the name; what is
written appears under its name in one step.
Does not: keep the disk from filling up meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from verify.abc import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["directory_for", "unusable", "write_whole"]

_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


def unusable(directory: Path) -> str:
    """Say why nothing could be written into `directory`, or into the nearest one above that exists; "" if it could."""
    for place in (directory, *directory.parents):
        try:
            mode = place.stat().st_mode
        except OSError as error:
            if error.errno in _ABSENT:
                continue
            return f"{place}: {error.strerror or error}"
        except ValueError as error:
            return f"{str(place)!r}: {error}"
        if not stat.S_ISDIR(mode):
            return f"{place} is no directory"
        return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written"
    return ""


def directory_for(option: str, directory: Path) -> None:
    """Raise `UsageError`, which names the option, where nothing could be written into `directory`."""
    if why := unusable(directory):
        raise UsageError(f"{option} {directory}: {why}; name another directory")


def write_whole(path: Path, content: str) -> None:
    """Write `content` to `path`, whole or not at all; its directory is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(content, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
