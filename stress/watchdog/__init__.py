"""Runs on real threads that stand still: seen, diagnosed, written down, and ended.

`counter` watches a number from a thread of the same process; the rest is the sidecar, a process of its
own that also works while the interpreter lock is held for ever: `sidecar` watches, `judging` tells
progress from the lack of it, `writing` writes the reports, `ending` ends what hangs.
"""

from __future__ import annotations

from stress.watchdog.counter import EXIT_HANG, CounterWatchdog

__all__ = ["EXIT_HANG", "CounterWatchdog"]
