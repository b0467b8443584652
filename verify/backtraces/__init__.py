"""Backtraces of other processes: several tools, one record per thread.

Promises: `collect(pid)` asks py-spy (with native frames where it can read them), then pystack where
it is installed, and returns a `ProcessDump` that says which tool answered; what failed on the way is
one sentence each in `problems`. No tool is waited for longer than its time limit, and each writes to
a file: a tool that fills a pipe while its target is stopped would stop both for ever.
Assumes: Linux, and the right to look at the process (`verify.backtraces.permission`).
Does not: find causes, or stop a process for longer than its dump takes.
"""

from __future__ import annotations

from verify.backtraces.collecting import collect
from verify.backtraces.records import ProcessDump, StackFrame, ThreadDump

__all__ = ["ProcessDump", "StackFrame", "ThreadDump", "collect"]
