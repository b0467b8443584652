"""Executions that do not end: livelock, a task that never gives way, or merely no end within the bound.

At the step bound a fair scheduler takes over (`verify.runtime.fair`). If the execution ends then, it was only slow. If
it goes round a circle and comes back to the same state, no fair scheduler brings it to its end:

- `livelock`: every task that can go on takes part in the circle;
- `good-samaritan violation`: a task goes round without giving way while another could go on for as long, and does
  not. That is a warning: a preemptive scheduler ends it, some day, and so does the next scheduler of the suffix;
- `unfinished`: the bound of the fair scheduler, too, was reached, and nothing repeats, or something changes from
  round to round. That may be a livelock with a counter in it, or a long program.

The verdict shows the lasso: how many steps lead to the circle, and its steps. After: Musuvathi and Qadeer, "Fair
stateless model checking", PLDI 2008.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from verify.abc import UNFINISHED, Detector, Finding

if TYPE_CHECKING:
    from verify.abc import Cycle, ExecutionView

LIVELOCK, SAMARITAN = "livelock", "good-samaritan violation"
MOST_LINES = 24
NUMBER = re.compile(r"#\d+")


class Livelock(Detector):
    """Judges executions that do not end under a fair scheduler."""

    name = "livelock"

    def endless(self, execution: ExecutionView, cycle: Cycle | None) -> Finding:
        """Show who goes round in which circle."""
        if cycle is None:
            return Finding(
                cause=UNFINISHED,
                message=f"{_no_end(execution)}, and no circle either; if it is that long, give it a higher max_steps",
                key=("no circle",),
            )
        titles = {task.path: task.title for task in execution.tasks}
        moving = sorted({step.task for step in cycle.steps})
        selfish = [path for path in moving if path not in cycle.giving_way]
        if cycle.changing:
            cause, message = UNFINISHED, unfinished(execution, cycle)
        elif cycle.waiting and selfish:
            moving, cause = selfish, SAMARITAN
            message = (
                f"{_names(selfish, titles)} goes round without giving way, while {_names(cycle.waiting, titles)} "
                "could go on"
            )
        else:
            cause = LIVELOCK
            message = (
                f"after {cycle.stem:,} steps, the last under a fair scheduler, {_names(moving, titles)} "
                f"go round for ever: every {len(cycle.steps)} steps all is as before"
            )
        steps = {f"{step.op} on {step.object}" for step in cycle.steps}
        if cycle.changing:  # which may be the objects
            steps = {NUMBER.sub("", step) for step in steps}
        return Finding(
            cause=cause,
            message=message,
            key=tuple(sorted(steps)[:6]),
            details=lasso(cycle, titles),
            culprits=tuple(moving),
            fatal=cause != SAMARITAN,
        )


def unfinished(execution: ExecutionView, cycle: Cycle) -> str:
    """Say what keeps a circle from being one."""
    changing = ", ".join(cycle.changing[:4]) + (" and others" if len(cycle.changing) > 4 else "")
    return (
        f"{_no_end(execution)}, round a circle of {len(cycle.steps)} in which "
        f"{changing} changes: a livelock unless that ends it; if it does, give a higher max_steps"
    )


def _no_end(execution: ExecutionView) -> str:
    return f"no end after {execution.steps:,} steps, the last under a fair scheduler"


def lasso(cycle: Cycle, titles: dict[str, str]) -> tuple[str, ...]:
    """Return stem and circle, a line each step."""
    lines = [f"stem: {cycle.stem:,} steps; circle of {len(cycle.steps)}:"]
    for task, op, name, site in cycle.steps[:MOST_LINES]:
        gives_way = ", gives way in each round" if task in cycle.giving_way else ""
        lines.append(f"  {titles.get(task, task)}: {op} {name} at {site}{gives_way}")
    if len(cycle.steps) > MOST_LINES:
        lines.append(f"  and {len(cycle.steps) - MOST_LINES} more")
    if not cycle.changing:
        lines.append("  twice round, every variable that can be seen was as before")
    return tuple(lines)


def _names(paths: list[str] | tuple[str, ...], titles: dict[str, str]) -> str:
    return ", ".join(titles.get(path, path) for path in paths)
