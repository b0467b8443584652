"""What a stress job came to: problems, counts, the exit code.

Promises: plain values. Exit codes: 5 when a run hung, else 1 when one failed, crashed or ended its process,
else 4 when nothing was really run, else 0.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stress.watchdog import EXIT_HANG
from verify.supervise import Fate

if TYPE_CHECKING:
    from pathlib import Path

    from stress.jobs.settings import Settings

PASSED, FAILED, INCONCLUSIVE = 0, 1, 4
LONGEST_LINE: Final = 400
"""Characters shown of what a run said last; all of it is in the run's folder."""
VERDICTS: Final = {
    Fate.PASSED: "passed",
    Fate.FAILED: "failed",
    Fate.RAISED: "stopped the worker's own code",
    Fate.CRASHED: "crashed",
    Fate.EXITED: "ended its process",
    Fate.HUNG: "hung",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One run that did not pass. `folder` holds what it printed; `files` are reports, relative to the job's folder.

    `where` is `file:line`, if known; `again` is the line that repeats the run.
    """

    number: int
    seed: int
    target: str
    fate: Fate
    message: str
    seconds: float
    again: str
    where: str = ""
    folder: str = ""
    files: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Return the fate in words."""
        return VERDICTS[self.fate]

    @property
    def headline(self) -> str:
        """Return what happened, in one line."""
        first = next((line for line in self.message.splitlines() if line.strip()), "")
        what = first.strip()
        what = what if len(what) <= LONGEST_LINE else f"{what[:LONGEST_LINE]}..."
        return f"run {self.number} (seed {self.seed}) {self.verdict}: {what}"


@dataclass(slots=True)
class JobResult:
    """A job that is over, or was interrupted. `folder` is its artifacts folder, `journal` the journal in use.

    `passed` and `skipped` count by target; `notes` counts remarks of runs that passed.
    """

    settings: Settings
    folder: Path
    journal: Path
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[Fate] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    resumed: int = 0
    started: int = 0
    """Worker processes that were started, one after a crash among them."""
    stopped: str = ""
    interrupted: bool = False
    trouble: str = ""
    """Why no more could be run, if so."""

    @property
    def done(self) -> int:
        """Return how many runs ended, in whatever way."""
        return self.counts.total()

    @property
    def exit_code(self) -> int:
        """Return the exit code of the job."""
        if self.counts[Fate.HUNG]:
            return EXIT_HANG
        if self.problems:
            return FAILED
        return PASSED if self.passed.total() and not self.trouble else INCONCLUSIVE

    @property
    def verdict(self) -> str:
        """Return what it all means, no more than was seen."""
        if self.problems:
            parts = [f"{n:,} {VERDICTS[fate]}" for fate, n in sorted(self.counts.items()) if n]
            then = f"; then {self.trouble}" if self.trouble else ""
            return f"found: of {self.done:,} runs {', '.join(parts)}{then}"
        if self.trouble:
            return f"inconclusive: after {self.done:,} runs {self.trouble}"
        if not self.passed.total():
            why = "every run was skipped" if self.skipped.total() else "nothing was run"
            return f"inconclusive: {why}"
        return (
            f"not found: {self.passed.total():,} runs passed, which proves nothing about the others"
        )


def workers_started(result: JobResult) -> str:
    """Return how many worker processes were started, in words."""
    return f"{result.started} worker process{'' if result.started == 1 else 'es'} started"
