"""The lock order of a whole process, merged into a file when it ends.

Promises: `start` is called before the recording starts; what was collected is in the file once `threading` has shut
down, which is after every thread that is not a daemon has ended, in a child of `multiprocessing`, too. A process that
is killed, or ends by `os._exit`, leaves nothing. What goes wrong is one line on stderr: the program's end is its own.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from traces.errors import InputError
from verify.lock_order import live, store

if TYPE_CHECKING:
    from verify.observe.composed import Method

__all__ = ["save_at_end", "start"]


def start() -> None:
    """Begin to collect."""
    live.begin(Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "")


def save_at_end(path: Path) -> None:
    """Have what this process, and each forked from it, collects merged into the file at `path`."""

    def saving(original: Method) -> Method:
        def shutdown() -> None:
            original()
            _save(path)

        return shutdown

    vars(threading)["_shutdown"] = saving(vars(threading)["_shutdown"])


def _save(path: Path) -> None:
    live.end_run()
    graph = live.taken()
    if not graph.edges and not graph.waits:
        return
    try:
        store.merge_into(path, graph)
    except InputError as error:
        sys.stderr.write(f"stage3: the lock order of this process is lost: {error}\n")
