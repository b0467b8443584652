"""What a stress job leaves for those who were not there: `index.html`, JUnit XML, GitHub annotations and summary.

Read in this order: `page`, `junit`, `github`. The makers are pure; `publish` writes.
Promises: `check` finds before the job what would fail after it; `publish` writes the page always, the rest as asked
or as the environment says (`GITHUB_ACTIONS`).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from stress.ci import github, junit, page
from stress.files import unusable, write_whole
from verify.abc import UsageError

if TYPE_CHECKING:
    from stress.jobs.outcome import JobResult
    from stress.jobs.settings import Settings

PAGE: Final = "index.html"

__all__ = ["PAGE", "check", "publish"]


def check(settings: Settings) -> None:
    """Raise `UsageError` for a JUnit file that could not be written; makes nothing."""
    file = settings.junit
    if file is None:
        return
    try:
        if stat.S_ISDIR(file.stat().st_mode):
            raise UsageError(f"--junit {file} is a directory; name a file in it")
        why = ""
    except FileNotFoundError:
        why = ""
    except OSError as error:
        why = error.strerror or str(error)
    if why := why or unusable(file.parent):
        raise UsageError(f"--junit {file} cannot be written: {why}; name another file")


def publish(result: JobResult) -> None:
    """Write all that is wanted of a job that is over."""
    write_whole(result.folder / PAGE, page.of(result))
    if result.settings.junit is not None:
        write_whole(result.settings.junit, junit.of(result))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        github.publish(result)
