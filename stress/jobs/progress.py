"""How far a stress job is: runs, rate, time left; a bar on a terminal, plain lines elsewhere.

Promises: without a terminal lines in growing gaps (`verify.progress.Gaps`); nothing is written to standard output,
which is for results.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

from traces.text import plain
from verify.progress import Gaps
from verify.supervise import BAD, Ended, Tick

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.progress import TaskID

    from stress.jobs.outcome import Problem
    from verify.supervise.supervisor import Event


class Progress(Protocol):
    """Shows events of a job; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def see(self, event: Event) -> None:
        """Take an event in."""

    def problem(self, problem: Problem) -> None:
        """Say that a run did not pass."""


class Counts:
    """Runs so far, and what follows for the time left. `total` runs or `duration_s` seconds, or neither."""

    def __init__(self, total: int | None, duration_s: float | None) -> None:
        self.total = total
        self.duration_s = duration_s
        self.began = time.monotonic()
        self.done = self.bad = self.resumed = 0

    def see(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Ended):
            self.done += 1
            self.bad += event.fate in BAD
            self.resumed += event.resumed

    def eta_s(self, now: float) -> float | None:
        """Return the seconds left, None where nothing tells."""
        passed = now - self.began
        left = []
        if self.duration_s is not None:
            left.append(max(0.0, self.duration_s - passed))
        fresh = self.done - self.resumed
        if self.total is not None and fresh and passed > 0:
            left.append((self.total - self.done) * passed / fresh)
        return min(left, default=None)

    def text(self, now: float) -> str:
        """Return one line."""
        passed = now - self.began
        rate = (self.done - self.resumed) / passed if passed > 0 else 0.0
        of = f" of {self.total:,}" if self.total is not None else ""
        eta = self.eta_s(now)
        left = f", {span(eta)} left" if eta is not None else ""
        return f"{self.done:,}{of} runs, {self.bad} not passed, {rate:,.1f}/s, {span(passed)} so far{left}"


def span(seconds: float) -> str:
    """Return a time as people say it: 3 s, 2 min 5 s, 1 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Plain:
    """Lines on a stream that is no terminal."""

    def __init__(self, counts: Counts, stream: TextIO) -> None:
        self._counts = counts
        self._stream = stream
        self._gaps = Gaps(counts.began)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write nothing more."""

    def see(self, event: Event) -> None:
        """Count, and write a line when it is time."""
        self._counts.see(event)
        now = time.monotonic()
        if isinstance(event, Tick | Ended) and self._gaps.over(now):
            self._write(f"stage3 stress: {self._counts.text(now)}")

    def problem(self, problem: Problem) -> None:
        """Write the problem's line."""
        self._write(f"stage3 stress: {plain(problem.target)}: {plain(problem.headline)}")

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class Bar:
    """A live line on a terminal."""

    def __init__(self, counts: Counts) -> None:
        # Only here: importing rich takes a tenth of a second, which a line-by-line job need not pay.
        from rich import progress as rich  # noqa: PLC0415
        from rich.console import Console  # noqa: PLC0415

        self._counts = counts
        self._progress = rich.Progress(
            rich.SpinnerColumn(),
            rich.BarColumn(),
            rich.TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("starting", total=counts.total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the line away."""
        self._progress.stop()

    def see(self, event: Event) -> None:
        """Count and redraw."""
        self._counts.see(event)
        if isinstance(event, Tick | Ended):
            self._progress.update(
                self._task,
                completed=self._counts.done,
                description=self._counts.text(time.monotonic()),
            )

    def problem(self, problem: Problem) -> None:
        """Print the problem's line above the live one."""
        self._progress.console.print(
            f"{plain(problem.target)}: {plain(problem.headline)}", markup=False, highlight=False
        )


def choose(total: int | None, duration_s: float | None) -> Progress:
    """Return what fits standard error."""
    counts = Counts(total, duration_s)
    return Bar(counts) if sys.stderr.isatty() else Plain(counts, sys.stderr)
