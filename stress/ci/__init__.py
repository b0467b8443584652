"""What a stress job leaves for those who were not there: `index.html`, JUnit XML, GitHub annotations and summary.

Read in this order: `page`, `junit`, `github`. The makers are pure; `publish` writes.
Promises: `check` finds before the job what would fail after it; `publish` writes the page always, the rest as asked
or as the environment says (`GITHUB_ACTIONS`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from stress.ci import github, junit, page
from stress.jobs import folder as folders
from verify.abc import UsageError

if TYPE_CHECKING:
    from stress.jobs.outcome import JobResult
    from stress.jobs.settings import Settings

PAGE: Final = "index.html"

__all__ = ["PAGE", "check", "publish"]


def check(settings: Settings) -> None:
    """Raise `UsageError` for a JUnit file that could not be written."""
    file = settings.junit
    if file is None:
        return
    if file.is_dir():
        raise UsageError(f"--junit {file} is a directory; name a file in it")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a"):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"--junit {file} cannot be written: {why}; name another file") from None


def publish(result: JobResult) -> None:
    """Write all that is wanted of a job that is over."""
    folders.write(result.folder / PAGE, page.of(result))
    if result.settings.junit is not None:
        folders.write(result.settings.junit, junit.of(result))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        github.publish(result)
