"""Which execution is under way in this process: the one mutable global of the runtime.

Promises: `execution` is not None exactly while tasks run; `controlled()` answers whether the
*caller* is one of them (other OS threads of the process go on with the real primitives). One
execution at a time per process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify import _real

if TYPE_CHECKING:
    from verify.runtime.execution import Execution

execution: Execution | None = None

_ident = _real.get_ident


def controlled() -> Execution | None:
    """Return the execution that schedules the calling thread, or None for a thread it does not control."""
    running = execution
    if running is None or running.os_ident != _ident():
        return None
    return running
