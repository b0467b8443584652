"""One batch of executions, inside a worker process.

Promises: a batch is an exploration with the batch's own seed and size, which knows nothing of the batches that the
process ran before; its finds are not confirmed yet. Where the process is at is written down as each execution
begins, so that whoever outlives it can say which one it was.
Assumes: it is called on the main thread. Does not: survive what the program does to the process.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from verify.config import find
from verify.explore import explore
from verify.parallel.batches import Batch
from verify.parallel.search import Search
from verify.parallel.seen import Kept
from verify.runtime.carriers import THREADS
from verify.session import Session
from verify.supervise import Header, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verify.strategies import NamedStrategy
    from verify.supervise import Json, Task

BLOCKED: Final = 70
"""Exit code of a worker in which a task is blocked in a call that nothing can interrupt."""
SLOT: Final = "STAGE3_SLOT"
"""Environment variable: the worker's place among several, from 0."""
NUMBER: Final = struct.Struct("<q")


class Mark:
    """Where this process is at: the number of the execution under way, in a file that outlives the process."""

    def __init__(self, place: Path) -> None:
        self._text = text_file(place, os.getpid())
        file = number_file(place, os.getpid())
        file.write_bytes(bytes(NUMBER.size))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), NUMBER.size)
        self.at = 0

    def begin(self) -> None:
        """Begin a batch."""
        self._note(0)

    def count(self, strategy: NamedStrategy) -> None:
        """Note each execution of `strategy` as it begins."""
        advance = strategy.new_execution

        def new_execution() -> bool:
            self._note(self.at + 1)
            return advance()

        with suppress(AttributeError):  # slots: the execution is not known then
            strategy.new_execution = new_execution  # type: ignore[method-assign] # the loop asks nothing else

    def _note(self, number: int) -> None:
        self.at = number
        NUMBER.pack_into(self._map, 0, number)

    def give_up(self, text: str) -> None:
        """Leave the text about a blocked task, and the process: its main thread is in a call that nothing ends."""
        self._text.write_text(text)
        os._exit(BLOCKED)


def number_file(place: Path, pid: int) -> Path:
    """Return the file with the number of the execution that process `pid` is at."""
    return place / f"{pid}.at"


def text_file(place: Path, pid: int) -> Path:
    """Return the file in which process `pid` leaves why it gave up."""
    return place / f"{pid}.txt"


def make(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    """Return what runs a batch of the search that `options` describe; see `options_of`."""
    find(Path.cwd())  # makes strategies known by name
    settings = cast("dict[str, str]", options["settings"])
    search = Search.of_header(Header(str(options["program"]), settings))
    program = search.program()
    mark = Mark(Path(str(options["place"])))
    if search.backend == THREADS:
        take_a_core()
    # Open for as long as the process lives: opening one costs as much as hundreds of short executions.
    session = Session(program, search.backend, on_hang=mark.give_up, learn=True)
    session.__enter__()

    def step(task: Task) -> Result:
        strategy = search.strategy_of(task.seed)
        mark.begin()
        mark.count(strategy)
        state = explore(
            program,
            strategy,
            executions=cast("int", task.what["executions"]),
            first_only=search.first_only,
            backend=search.backend,
            on_hang=mark.give_up,
            check_determinism=cast("int", task.what["twice"]),
            builds=search.builds,
            confirming=False,
            opened=session,
            measure=Kept(before=task.number * search.batch),
            threaded=True,
        )
        batch = Batch.of(state, found=search.first_only and state.fails(search.builds))
        # A task that was blocked on an OS thread of its own is still there.
        return Result(value=batch.as_json(), retire=bool(state.diverged))

    return step


def take_a_core() -> None:
    """Keep this process on the core that its place among the workers gives it: OS threads hand over cheaply there."""
    slot = os.environ.get(SLOT, "")
    if slot.isdecimal() and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        with suppress(OSError):
            os.sched_setaffinity(0, {cores[int(slot) % len(cores)]})


def options_of(search: Search, place: Path) -> dict[str, Json]:
    """Return what `make` needs; `place` is a directory for marks."""
    header = search.header()
    return {
        "program": header.program,
        "settings": dict(header.settings),
        "place": str(place),
    }
