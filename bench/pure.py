"""CPython's own queue, Condition and thread pool as programs under test: their code is stepped through, not modelled.

The classes of `threading`, `queue` and `concurrent.futures` that are written in Python are compiled anew from the
standard library's own source, into modules of their own, so that the models that stand in for the originals do not
reach them. What remains modelled is below them: `_thread.allocate_lock`, threads, and time. `queue.SimpleQueue` is the
one in Python.
"""

from __future__ import annotations

import _thread
import ast
import linecache
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, _base, thread
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bench.programs.threads import together
from verify.program import of_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.program import Program

    Keep = Callable[[ast.stmt], bool]

CLASSES = (
    "_RLock",
    "Condition",
    "Semaphore",
    "BoundedSemaphore",
    "Event",
    "Barrier",
    "BrokenBarrierError",
)
PREFIX = "bench.pure_"


def _compiled(name: str, like: ModuleType, names: dict[str, object], keep: Keep) -> ModuleType:
    """Run the statements of `like` that are to be kept in a new module, which the models' sweep finds as any other."""
    assert like.__file__ is not None
    source = Path(like.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if keep(node)]
    made = sys.modules[PREFIX + name] = ModuleType(PREFIX + name)
    vars(made).update(names)
    file = _file(name)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(tree, file, "exec"), vars(made))  # noqa: S102 - the standard library's own source
    return made


def _file(name: str) -> str:
    return f"{PREFIX}{name}.py"


def _is_wanted(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and node.name in CLASSES


def _is_local(node: ast.stmt) -> bool:
    """Leave out the imports of what is copied too, and what a module does to the process."""
    if isinstance(node, ast.Import):
        return not {"threading", "queue"} & {each.name for each in node.names}
    if isinstance(node, ast.ImportFrom):
        return node.module != "concurrent.futures"
    return not (
        (isinstance(node, ast.Expr) and "_register_atexit" in ast.unparse(node))
        or (isinstance(node, ast.If) and "register_at_fork" in ast.unparse(node.test))
    )


def _own(module: ModuleType) -> dict[str, object]:
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


# A C lock that counts would be modelled as a whole, so it is the one in Python.
waiting = _compiled(
    "threading", threading,
    {**_own(threading), "Lock": _thread.allocate_lock, "_allocate_lock": _thread.allocate_lock}, _is_wanted,
)  # fmt: skip
vars(waiting).update(RLock=vars(waiting)["_RLock"], _PyRLock=vars(waiting)["_RLock"])
queues = _compiled("queue", queue, {"threading": waiting}, _is_local)
vars(queues)["SimpleQueue"] = vars(queues)["_PySimpleQueue"]
base = _compiled("base", _base, {"threading": waiting}, _is_local)
pools = _compiled(
    "thread", thread, {"threading": waiting, "queue": queues, "_base": base}, _is_local
)
FILES = tuple(map(_file, ("threading", "queue", "base", "thread")))

Queue: type[queue.Queue[int]] = vars(queues)["Queue"]
Full: type[queue.Full] = vars(queues)["Full"]
Condition: type[threading.Condition] = vars(waiting)["Condition"]
Pool: type[ThreadPoolExecutor] = vars(pools)["ThreadPoolExecutor"]


def own_queue() -> None:
    """Two put into one place, one takes, main joins the queue."""
    jobs = Queue(1)
    got: list[int] = []

    def take() -> None:
        for _ in range(2):
            got.append(jobs.get())
            jobs.task_done()

    def put_in_time() -> None:
        while True:
            with suppress(Full):
                jobs.put(2, timeout=60)
                return

    together(lambda: jobs.put(1), put_in_time, take)
    jobs.join()
    assert sorted(got) == [1, 2]
    assert jobs.empty()


def own_condition() -> None:
    """Two wait for a turn each, one of them with a time-out that may pass; one gives the turns."""
    changed = Condition()
    turn = 0

    def wait(mine: int, timeout: float | None) -> None:
        with changed:
            while not changed.wait_for(lambda: turn >= mine, timeout):
                pass

    def give() -> None:
        nonlocal turn
        for _ in range(2):
            with changed:
                turn += 1
                changed.notify_all()

    together(lambda: wait(1, None), lambda: wait(2, 60.0), give)
    assert turn == 2


def own_pool() -> None:
    """Two workers, three jobs, one of which fails."""
    with Pool(2, "worker") as workers:
        good = [workers.submit(int, text) for text in ("1", "2")]
        bad = workers.submit(int, "no")
        assert [future.result() for future in good] == [1, 2]
        assert isinstance(bad.exception(), ValueError)


PROGRAMS: dict[str, Callable[[], None]] = {
    body.__name__: body for body in (own_queue, own_condition, own_pool)
}


def program_of(name: str) -> Program:
    """Return one of the programs, with the library's code under test: every shared access is a scheduling point."""
    made = of_code(PROGRAMS[name], f"bench.pure:{name}")
    return replace(made, files=(*made.files, *FILES)).at("access")
