"""Hang reports in files.

Promises: a file that is no hang report is one `HangError` that says what to do; nothing else is raised for what a file
holds, and no more of it is read than a report may have.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from stress.hang import schema
from stress.hang.schema import HangError

if TYPE_CHECKING:
    from pathlib import Path

    from stress.hang.model import HangReport

__all__ = ["read"]

MOST_BYTES: Final = schema.MOST_CHARACTERS


def read(path: Path) -> HangReport:
    """Return the report in a file; raise `HangError` naming the file for anything else."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait
            raise HangError(str(path), "is no regular file", "give a hang-PID.json")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise HangError(str(path), problem, "give the hang-PID.json of a report") from None
    if len(data) > MOST_BYTES:
        raise HangError(str(path), f"has more than {MOST_BYTES} bytes", "give a hang-PID.json")
    try:
        return schema.from_json(data.decode("ascii"))
    except UnicodeDecodeError:
        raise HangError(str(path), "is not ASCII JSON", "give a hang-PID.json, unedited") from None
    except HangError as error:
        raise HangError(f"{path}: {error.culprit}", error.problem, error.remedy) from None
