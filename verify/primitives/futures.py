"""Futures and thread pools: CPython's own code on the models, less what differs from run to run or version to version.

Promises: pools are named from 0 in every execution; futures lie in sets in the order in which they
were made, and are locked in that order, where CPython goes by address. So what `wait`,
`as_completed` and a pool's shutdown do is a function of the schedule.
On 3.11 a pool's workers run the loop of 3.12 and later, which marks a worker as idle only when the
queue is empty: the operations are then the same on every version. Does not: show what only 3.11's
own loop allows (a pool that starts fewer threads than it has work for).
"""

from __future__ import annotations

import queue
import sys
from concurrent.futures import Future, ThreadPoolExecutor, _base, thread
from typing import TYPE_CHECKING

from verify.abc import NUMBERS
from verify.primitives.numbered import NUMBER, hash_of, next_number
from verify.primitives.patches import Patch, method
from verify.runtime import current

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures.thread import _WorkItem
    from weakref import ref

    from verify.primitives.patches import Model
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

    Job = _WorkItem[object]
    Jobs = queue.SimpleQueue["Job | None"]
    Worker = Callable[[ref[ThreadPoolExecutor], Jobs, Model | None, tuple[object, ...]], None]

POOLS = "pools"

_init = Future.__init__
_count_pools: Callable[[], int] = vars(ThreadPoolExecutor)["_counter"]
_own_worker: Worker = vars(thread)["_worker"]


def _make(execution: Execution, _me: Task, future: Future[object]) -> None:
    _init(future)
    vars(future)[NUMBER] = next_number(execution)


def _next_pool() -> int:
    execution = current.controlled()
    if execution is None:
        return _count_pools()
    number = execution.user.get(POOLS, 0)
    assert isinstance(number, int)
    execution.user[POOLS] = number + 1
    execution.unseen += NUMBERS
    return number


def _place(thing: object) -> int:
    """Stand in for `id` where futures are sorted by it."""
    number: int = vars(thing).get(NUMBER) or id(thing)
    return number


def _worker(
    pool: ref[ThreadPoolExecutor],
    jobs: Jobs,
    initializer: Model | None,
    arguments: tuple[object, ...],
) -> None:
    if current.controlled() is None:
        _own_worker(pool, jobs, initializer, arguments)
    elif _initialized(pool, initializer, arguments):
        while _work(pool, jobs):
            pass


def _initialized(
    pool: ref[ThreadPoolExecutor], initializer: Model | None, arguments: tuple[object, ...]
) -> bool:
    if initializer is None:
        return True
    try:
        initializer(*arguments)
    except BaseException:  # noqa: BLE001 - as CPython: whatever an initializer raises breaks the pool
        _base.LOGGER.critical("Exception in initializer:", exc_info=True)
        executor = pool()
        if executor is not None:
            executor._initializer_failed()  # noqa: SLF001 - CPython's worker does so
        return False
    return True


def _work(pool: ref[ThreadPoolExecutor], jobs: Jobs) -> bool:
    """Do one job; return False when there will be no more."""
    job = _next_job(pool, jobs)
    if job is not None:
        job.run()
        del job  # a traceback of its function's holds this frame, and the job its future
        return True
    executor = pool()
    if not (vars(thread)["_shutdown"] or executor is None or executor._shutdown):  # noqa: SLF001 - CPython's worker does so
        return True
    if executor is not None:
        executor._shutdown = True  # noqa: SLF001 - CPython's worker does so
    jobs.put(None)
    return False


def _next_job(pool: ref[ThreadPoolExecutor], jobs: Jobs) -> Job | None:
    try:
        return jobs.get_nowait()
    except queue.Empty:
        executor = pool()
        if executor is not None:
            executor._idle_semaphore.release()  # noqa: SLF001 - CPython's worker does so
        del executor  # a worker that waits must not keep the pool alive
        return jobs.get()


def rows() -> list[Patch]:
    """Return the patches for `concurrent.futures`."""
    out = [
        Patch(Future, "__hash__", hash_of),
        Patch(_base, "id", _place),
        Patch(ThreadPoolExecutor, "_counter", staticmethod(_next_pool)),
    ]
    method(Future, "__init__", _make, out)
    if sys.version_info < (3, 12):
        out.append(Patch(thread, "_worker", _worker))
    return out
