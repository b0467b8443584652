"""What a hang report says, as plain values.

Promises: immutable, nothing live, no I/O. The words are those of the failures that `verify` finds under
control (`docs/verdicts.md`), and a report is never stronger than its evidence: a verdict that rests on
stacks alone says so in its cause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verify.backtraces import ProcessDump, StackFrame
    from verify.observe.snapshot import Snapshot

__all__ = ["VERDICTS", "HangReport", "HeldRow", "ThreadRow"]

VERDICTS: Final = (
    "GIL held",
    "deadlock",
    "lock held by a dead thread",
    "livelock",
    "spin",
    "lost wake-up",
    "blocked I/O",
    "merely slow",
)
"""Every verdict, the strongest first: of several processes the strongest verdict speaks for all."""


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One lock that a thread holds: its name, how often it was taken, since when, and acquired where."""

    name: str
    count: int
    since_s: float
    stack: tuple[StackFrame, ...]


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """One thread of one process at the moment of the report.

    `state` is `waits`, `runs`, `in a C call`, `ended`, ...; `waits_for` names operation and object
    (`Lock.acquire current`), `holder` who could end the wait, `since_s` how long it lasts, in seconds;
    `notify` tells of the last notification of what it waits for. `stack` has the innermost last.
    """

    pid: int
    name: str
    role: str
    native_id: int | None
    state: str
    waits_for: str
    holder: str
    since_s: float | None
    daemon: bool
    owns_gil: bool
    notify: str
    held: tuple[HeldRow, ...]
    stack: tuple[StackFrame, ...]


@dataclass(frozen=True, slots=True)
class HangReport:
    """A diagnosed hang.

    `headline` is what the watchdog saw, `verdict` one of `VERDICTS`, `kind` the same or a narrower
    name (`self-deadlock`, `join cycle`, `thread-pool starvation`, `queue starvation`, `blocked for ever`
    where a lock's holder was not recorded, `blocked C call`, `unknown` where no thread could be seen), `cause` one
    sentence, `cycle` the wait-for cycle with its first name repeated at the end. `pid` is the process
    to blame. `snapshots` and `dumps` are the whole evidence; `attached` maps titles to texts of other
    witnesses; `problems` say what could not be had; `notes` come from the program (a migration's phase,
    a test's node id); `repro` is the line to type next.
    """

    headline: str
    verdict: str
    kind: str
    cause: str
    details: tuple[str, ...]
    cycle: tuple[str, ...]
    pid: int
    command: tuple[str, ...]
    threads: tuple[ThreadRow, ...]
    notes: Mapping[str, str] = field(hash=False)
    snapshots: tuple[Snapshot, ...]
    dumps: tuple[ProcessDump, ...]
    attached: Mapping[str, str] = field(hash=False)
    problems: tuple[str, ...]
    repro: str
