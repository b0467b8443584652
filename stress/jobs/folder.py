"""The artifacts folder of a stress job: what is kept of each run that did not pass.

Promises: the folder is new, and has a name that sorts by time; text written here is whole or absent;
output of at most `MOST_KEPT` runs is kept, later ones are only named.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from stress.files import write_whole
from verify.abc import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from stress.jobs.outcome import Problem
    from verify.supervise import Ended

MOST_KEPT: Final = 200


def make(output: Path) -> Path:
    """Make the folder `stress-DATE-TIME-PID` in `output`; raise `UsageError` where that is impossible."""
    name = f"stress-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    for more in ("", *(f"-{at}" for at in range(2, 100))):
        try:
            (output / (name + more)).mkdir(parents=True)
        except FileExistsError as error:
            if output.is_dir():
                continue
            raise UsageError(f"--output {output}: {error.strerror}; name a directory") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"--output {output}: {why}; name a directory that can be written"
            ) from None
        return output / (name + more)
    raise UsageError(f"--output {output} is full of folders {name}-...; name another")


def keep(folder: Path, ended: Ended, headline: str, again: str) -> str:
    """Write what a run printed and what is known of its end; return the name of its folder."""
    place = folder / f"run-{ended.task.number:06}"
    place.mkdir(exist_ok=True)
    parts = [headline, "", ended.message, "", f"seed:  {ended.task.seed}", f"again: {again}", ""]
    if ended.earlier:
        parts[4:4] = [f"its worker had done {ended.earlier} runs before", ""]
    write_whole(place / "failure.txt", "\n".join(parts))
    for name, text in (
        ("stdout.txt", ended.stdout),
        ("stderr.txt", ended.stderr),
        ("stacks.txt", ended.report),
    ):
        if text:
            write_whole(place / name, text)
    return place.name


def files_of(folder: Path, problem: Problem) -> list[str]:
    """Return the files kept of a run, relative to the job's folder."""
    place = folder / problem.folder
    own = (
        sorted(f"{problem.folder}/{path.name}" for path in place.iterdir())
        if problem.folder
        else []
    )
    return [*problem.files, *own]
