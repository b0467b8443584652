"""Which runs hang: the judge of a stress job.

Promises: a run longer than the limit whose processes use no CPU is hung; one that is busy all the time is
given `BUSY` times the limit. A hung run's stacks are taken, with those of its children.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verify.supervise import stacks, trees

if TYPE_CHECKING:
    from verify.supervise import Stuck

BUSY: Final = 10
IDLE_SHARE: Final = 0.05
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class _Seen:
    number: int
    cpu_s: float
    at_s: float


class Judge:
    """Judges the runs of one job by the CPU time of their processes. `limit_s`: how long a run may stand still."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._seen: dict[int, _Seen] = {}

    def __call__(self, stuck: Stuck) -> str | None:
        """Return the stacks of a run that hangs, None for one that may get on."""
        cpu_s = sum(cpu_of(pid) for pid in (stuck.pid, *trees.descendants(stuck.pid)))
        seen = self._seen.get(stuck.pid)
        if seen is None or seen.number != stuck.task.number:
            # Since its begin: what it used on the average.
            seen = self._seen[stuck.pid] = _Seen(stuck.task.number, 0.0, 0.0)
        if stuck.seconds < self.limit_s * BUSY and not stuck.silent:
            passed = stuck.seconds - seen.at_s
            if cpu_s - seen.cpu_s > IDLE_SHARE * passed:
                self._seen[stuck.pid] = _Seen(stuck.task.number, cpu_s, stuck.seconds)
                return None
            if passed < self.limit_s:
                return None
        pids = [stuck.pid, *trees.descendants(stuck.pid)]
        return "\n".join(f"process {pid}:\n{stacks.dump(pid)}" for pid in pids)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has used, 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
