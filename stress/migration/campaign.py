"""One migration job: `stage3 migrate` in processes of its own, watched, sampled, and told apart when it hangs.

Promises: a run ends as `completed`, `failed`, `not converged` or `hung`; a hang is what the figures say (nothing
sent, walked or synced for the limit, in any state but the end), whatever its threads do meanwhile, and has a
report with cause and phase. Nothing of a run survives it.
Assumes: memory for both guests.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.hang.text import brief
from stress.migration import series
from stress.watchdog import processes
from stress.watchdog.sidecar import Watchdog
from verify.observe import launch

if TYPE_CHECKING:
    from stress.migration.series import Sample
    from stress.watchdog.sidecar import Hang

LOOK_S: Final = 0.5
OVER: Final = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Job:
    """One migration to run. Sizes are bytes, times seconds; see `stress.migrate_types.MigrateOptions`."""

    shape: str
    design: str
    ram: int
    vcpus: int = 2
    working_set: int = 0
    rate: int = 0
    slow: float = 1.0
    max_bandwidth: int = 32 << 20
    downtime_limit: float = 0.03
    drain_limit: int = (1 << 31) - 1
    time_limit: float = 60.0
    limit: float = 10.0
    """Seconds without progress after which it counts as hung."""

    @property
    def name(self) -> str:
        """A file name that tells it from others."""
        rate = f"-{self.rate}" if self.rate else ""
        slow = f"-slow{self.slow:g}" if self.slow != 1 else ""
        return f"{self.shape}-{self.design.replace('+', '-')}{rate}{slow}"

    def words(self, into: Path) -> list[str]:
        """The command that runs it; it writes its figures to `into`."""
        given = {
            "shape": self.shape, "design": self.design, "ram": self.ram, "vcpus": self.vcpus,
            "working-set": self.working_set, "dirty-rate": self.rate, "slow-by": self.slow,
            "max-bandwidth": self.max_bandwidth, "downtime-limit": self.downtime_limit,
            "drain-limit": self.drain_limit, "time-limit": self.time_limit, "series": into,
            # The judge of progress is here: the run's own watchdog only ends what is left alone.
            "stall-timeout": self.time_limit + 10 * self.limit,
        }  # fmt: skip
        options = [f"--{name}={value}" for name, value in given.items()]
        return [sys.executable, "-m", "stress.cli", "migrate", "--json", *options]


@dataclass(frozen=True, slots=True)
class Run:
    """How one job ended."""

    job: Job
    status: str
    samples: tuple[Sample, ...] = ()
    figures: dict[str, object] = field(default_factory=dict)
    error: str = ""
    report: str = ""
    """The hang report's file."""
    cause: str = ""
    """Verdict and cause of the hang in a sentence."""
    compared: int = 0
    differing: int = 0
    peak_bytes: int = 0
    """Most memory that all its processes held together."""

    @property
    def hung(self) -> bool:
        """Whether it stood still."""
        return self.status == "hung"

    @property
    def left(self) -> tuple[int, int, int] | None:
        """Pages of the last round, stream bytes to write, and bytes of the budget used before; None without one."""
        left = self.samples[-1].left if self.samples else []
        return (left[0], left[1], left[2]) if len(left) == 3 else None

    @property
    def syncs(self) -> list[int]:
        """Pages found newly dirty in each sync after the setup's."""
        return self.samples[-1].syncs if self.samples else []


def run(job: Job, directory: Path) -> Run:
    """Run one job; its series, and a hang's report, go into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{job.name}.jsonl"
    printed = directory / f"{job.name}.json"
    path.unlink(
        missing_ok=True
    )  # of an earlier job: it would pass for this one's until there is a sample
    # The figures are printed to a file: the parent may die, and a pipe could fill up.
    with (
        tempfile.TemporaryDirectory(prefix="stage3-flight-") as flights,
        printed.open("wb") as out,
    ):
        watch = Watchdog(
            job.words(path),
            job.limit,
            directory,
            kill=True,
            progress=lambda: _moved(path),
            time_limit_s=2 * job.time_limit + 10 * job.limit,
            flights=Path(flights),
            environment=launch.environment(Path(flights)),
            stdout=out,
            say=lambda _: None,
        )
        memory = _Memory(watch)
        memory.start()
        try:
            outcome = watch.run()
        finally:
            memory.over.set()
            memory.join()
    return replace(
        _ended(job, outcome.code, printed, path, outcome.hangs[-1] if outcome.hangs else None),
        peak_bytes=memory.peak,
    )


class _Memory(threading.Thread):
    """Adds up, while a job runs, the memory that its processes hold; keeps the peak."""

    def __init__(self, watch: Watchdog) -> None:
        super().__init__(name="memory", daemon=True)
        self.over = threading.Event()
        self.peak = 0
        self._watch = watch

    def run(self) -> None:
        """Look until told that it is over."""
        while not self.over.wait(LOOK_S):
            root = self._watch.pid
            if root is not None:
                held = sum(processes.resident(each.pid) for each in processes.tree(root))
                self.peak = max(self.peak, held)


def _moved(path: Path) -> object:
    """What changes while a migration gets on; None before it runs and after its end."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        sample = series.last(path)
        if sample.status not in OVER:
            return (
                sample.status, sample.transferred, sample.remaining, sample.buffered, len(sample.syncs), sample.left,
            )  # fmt: skip
    return None


def _ended(job: Job, code: int, printed: Path, path: Path, hang: Hang | None) -> Run:
    samples: tuple[Sample, ...] = ()
    with contextlib.suppress(series.SeriesError):
        samples = tuple(series.load(path))
    if hang is not None:
        cause = "; ".join((brief(hang.report), *hang.report.details))
        text = hang.written.of(".txt")
        return Run(job, "hung", samples, report=str(text or ""), cause=cause)
    try:
        value: object = json.loads(printed.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        value = None
    if not isinstance(value, dict):
        return Run(job, "failed", samples, error=f"it printed no result and ended with code {code}")
    error = str(value.get("error") or "")
    status = (
        "completed"
        if value.get("equal")
        else ("failed" if value.get("converged", True) else "not converged")
    )
    differing = value.get("differing")
    return Run(
        job,
        status,
        samples,
        figures=value["figures"],
        error=error,
        compared=int(value.get("compared") or 0),
        differing=len(differing) if isinstance(differing, list) else 0,
    )
