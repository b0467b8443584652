"""Small programs on queues."""

from __future__ import annotations

import queue

from bench.programs.micro.parts import Log, beside, micro
from verify import access


@micro
def queue_put_order() -> object:
    """Two put, one gets twice."""
    items: queue.Queue[str] = queue.Queue()
    log = Log()

    def get() -> None:
        log.add(items.get())
        log.add(items.get())

    beside(lambda: items.put("a"), lambda: items.put("b"), get)
    return log


@micro
def queue_get_order() -> object:
    """Who gets the only item; the other hangs."""
    items: queue.Queue[str] = queue.Queue()
    seen = Log()

    def get(name: str) -> None:
        items.get()
        seen.add(name)

    beside(lambda: get("a"), lambda: get("b"), lambda: items.put("x"))
    return seen


@micro
def queue_full() -> object:
    """A queue of one: puts that fail at once."""
    items: queue.Queue[str] = queue.Queue(1)
    log = Log()

    def put(name: str) -> None:
        try:
            items.put_nowait(name)
        except queue.Full:
            log.add(name)

    beside(lambda: put("a"), lambda: put("b"))
    return log, list(items.queue)


@micro
def queue_timed() -> object:
    """A get that may time out."""
    items: queue.Queue[str] = queue.Queue()
    log = Log()

    def get() -> None:
        try:
            log.add(items.get(timeout=1))
        except queue.Empty:
            log.add("late")

    beside(get, lambda: items.put("a"))
    return log


@micro
def queue_joined() -> object:
    """Waiting until all work is done."""
    items: queue.Queue[str] = queue.Queue()
    log = Log()
    items.put("a")

    def work() -> None:
        items.get()
        access("log", write=True)
        log.add("worked")
        items.task_done()

    def wait() -> None:
        empty = items.empty()
        items.join()
        access("log", write=True)
        log.add(empty)

    beside(work, wait)
    return log


@micro
def simple_queue() -> object:
    """Two put, one gets, somebody asks how many there are."""
    items: queue.SimpleQueue[str] = queue.SimpleQueue()
    log = Log()

    def get() -> None:
        log.add(items.get())
        log.add(items.qsize())

    beside(lambda: items.put("a"), lambda: items.put("b"), get)
    return log
