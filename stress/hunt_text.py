"""What the hunt prints: formatting only."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final

from traces import artifacts, store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.hunt import Merged
    from stress.hunt_jobs import Find
    from traces.schema import TaskRecord, Trace

HANGS: Final = frozenset({
    "deadlock", "self-deadlock", "lock held by a dead thread", "lost wake-up", "blocked for ever", "spin", "livelock",
})  # fmt: skip
MOST_FRAMES: Final = 6


def say(line: str = "") -> None:
    """Print one line at once."""
    print(line, flush=True)  # noqa: T201 - this module is what the command prints


def title(number: int, words: str) -> None:
    """Print the heading of a part."""
    say(f"\n{number}. {words}")


@functools.lru_cache(maxsize=256)
def _load(file: str) -> Trace:
    return store.load(Path(file))


def steps_of(file: str) -> int:
    """Return the number of steps of a stored trace."""
    return len(_load(file).steps) if file else 1 << 30


def find(merged: Merged, label: str) -> None:
    """Print one kind of failure: what, where, how often; for a hang every thread's backtrace."""
    found = merged.find
    say(f"\n  {label or 'a consequence of the above, or of several together'}")
    say(f"    {found.cause}: {found.message}")
    for name, (failing, executions) in merged.shares.items():
        share = 100 * failing / executions
        say(f"    {name}: {failing:,} of {executions:,} schedules ({share:.3g} %)")
    say(
        f"    first in execution {merged.first:,} of {merged.first_in}; {steps_of(found.file)} steps: {found.file}"
    )
    for line in found.details[:8]:
        say(f"      {line}")
    if found.cause in HANGS:
        for task in sorted(_load(found.file).tasks, key=_order):
            _task(task)


def _order(task: TaskRecord) -> int:
    return next(
        (at for at, word in enumerate(("migration", "iothread", "vcpu")) if word in task.name), 9
    )


def _task(task: TaskRecord) -> None:
    if task.state in {"finished", "raised"}:
        return
    waits = f", waits for {task.waits_for}" if task.waits_for else ""
    say(f"      {task.name} ({task.path}): {task.state}{waits}")
    for lock in task.held:
        say(f"        holds {lock.name}, acquired at {lock.site}")
    for frame in reversed(task.stack[-MOST_FRAMES:]):
        say(f"        {frame.file}:{frame.line} {frame.function}: {frame.source}")


def note(found: Find) -> None:
    """Print one locking issue."""
    say(f"    {found.message}")
    for line in found.details[:3]:
        say(f"      against {line}")


def where(merged: Sequence[Merged], output: Path) -> None:
    """Say where the traces are and what replays and shows them."""
    title(7, f"the traces are in {output}/ (format stage3-trace, version 1)")
    for each in merged:
        say(f"  stage3 replay {each.find.file}")
    if merged:
        say(f"  a column per thread: stage3 trace show {merged[0].find.file}")
        say(f"  each has a page beside it, listed in {output / artifacts.INDEX}")


def outcome(wrong: Sequence[str]) -> str:
    """Return the last line."""
    if not wrong:
        return "Everything came out as claimed."
    return "NOT as claimed:\n" + "\n".join(f"  {line}" for line in wrong)
