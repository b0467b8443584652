"""Which methods of the standard library's composed objects are recorded, and under which names.

Promises: rows of patches, nothing else. The words are those of a check's reports.
"""

from __future__ import annotations

import queue
import threading

from verify.observe import conditions
from verify.observe.composed import BARRIER, EVENT, FUTURE, QUEUE, SEMAPHORE, Patch, made, operation


def rows() -> list[Patch]:
    """Return the patches of `threading` and `queue`."""
    semaphore, bounded = threading.Semaphore, threading.BoundedSemaphore
    return [
        *conditions.rows(),
        made(threading.Event, EVENT),
        operation(threading.Event, "wait", EVENT, "Event.wait", result=True),
        operation(threading.Event, "set", EVENT, "Event.set"),
        operation(threading.Event, "clear", EVENT, "Event.clear"),
        made(semaphore, SEMAPHORE),
        *(
            operation(
                semaphore,
                name,
                SEMAPHORE,
                "Semaphore.acquire",
                result=True,
                quick="Semaphore.try_acquire",
            )
            for name in ("acquire", "__enter__")
        ),
        made(bounded, SEMAPHORE),
        operation(semaphore, "release", SEMAPHORE, "Semaphore.release"),
        operation(bounded, "release", SEMAPHORE, "Semaphore.release"),
        made(threading.Barrier, BARRIER),
        *(
            operation(threading.Barrier, name, BARRIER, f"Barrier.{name}")
            for name in ("wait", "reset", "abort")
        ),
        made(queue.Queue, QUEUE),
        *(
            operation(queue.Queue, name, QUEUE, f"Queue.{name}")
            for name in ("put", "get", "join", "task_done", "shutdown")
            if name in vars(queue.Queue)
        ),
    ]


def future_rows(future: type) -> list[Patch]:
    """Return the patches of `concurrent.futures.Future`."""
    return [
        made(future, FUTURE),
        *(
            operation(future, name, FUTURE, f"Future.{name}")
            for name in ("result", "exception", "set_result", "set_exception", "cancel")
        ),
    ]
