"""Worker processes that may crash, exit or hang, and a run that goes on all the same.

Read in this order: `values` (tasks, fates, events, what a run came to), `worker` (the loop inside a
worker), `process` (a worker seen from outside), `journal` (what resuming needs), `supervisor` (the
supervisor itself), `shards`.

The standard pools do not fit: a crash breaks a `ProcessPoolExecutor` for every pending task, a hung
worker keeps it from ending, and none lets the stacks be taken before the kill.
"""

from __future__ import annotations

from verify.supervise.journal import Header, Journal, JournalError, read
from verify.supervise.shards import Shard
from verify.supervise.supervisor import WorkerError, run
from verify.supervise.values import (
    BAD,
    Ended,
    Fate,
    Json,
    Result,
    Started,
    Stuck,
    Summary,
    Task,
    Tick,
)

__all__ = [
    "BAD",
    "Ended",
    "Fate",
    "Header",
    "Journal",
    "JournalError",
    "Json",
    "Result",
    "Shard",
    "Started",
    "Stuck",
    "Summary",
    "Task",
    "Tick",
    "WorkerError",
    "read",
    "run",
]
