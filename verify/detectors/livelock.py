"""Livelock under fairness: the step bound was reached, and a fair scheduler does not bring the execution to its end.

The runtime replaces the strategy by a fair one at the bound (whoever waited longest goes first). If
the execution ends then, it was only slow. If not, no scheduler helps: the verdict shows the lasso,
the period in which the last steps repeat. After: Musuvathi and Qadeer, "Fair stateless model
checking", PLDI 2008 (their verdicts, a simpler fair scheduler).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView

Step = tuple[str, str, str]


class Livelock(Detector):
    """Judges executions that do not end under a fair scheduler."""

    name = "livelock"

    def endless(self, execution: ExecutionView, recent: Sequence[Step]) -> Finding:
        """Show who goes round in which circle."""
        lasso = period(recent)
        moving = sorted({task for task, _, _ in lasso})
        titles = {task.path: task.title for task in execution.tasks}
        who = ", ".join(titles.get(path, path) for path in moving)
        return Finding(
            cause="livelock",
            message=f"after {execution.steps:,} steps, the last under a fair scheduler, {who} still go round a circle "
            f"of {len(lasso)} steps",
            key=tuple(sorted({f"{op} on {target}" for _, op, target in lasso})[:6]),
            details=tuple(
                f"{titles.get(task, task)}: {op} {target}" for task, op, target in lasso[:24]
            ),
            culprits=tuple(moving),
        )


def period(steps: Sequence[Step]) -> Sequence[Step]:
    """Return the shortest suffix that repeats, or all of `steps` if none does."""
    size = len(steps)
    for length in range(1, size // 2 + 1):
        if steps[size - length :] == steps[size - 2 * length : size - length]:
            return steps[size - length :]
    return steps
