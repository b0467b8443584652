"""`random`, `uuid` and `secrets` as part of the schedule: one draw seeds them at the start of each execution.

Promises: a program whose modules in scope import one of them (or use `os.urandom`) sees other random
values in other executions and the same ones in every replay, since the seed is the schedule's first
choice. Programs that do not import them draw nothing. Covers the module-level functions,
`random.Random()` without a seed, `random.SystemRandom`, `secrets`, `uuid.uuid1` and `uuid.uuid4`;
the program's own generator state is put back after the session. Does not cover generators of other
packages (numpy): seed those in the program.
"""

from __future__ import annotations

import os
import random
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from verify.primitives.patches import Patch, function, method

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    from verify.program import Program
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

    State = tuple[int, tuple[int, ...], float | None]

SEEDS = 1 << 16  # how many different seeds a schedule can draw
NODE = 0x02_00_00_00_00_01  # uuid1's hardware address: one that no card has

_IMPORTS = re.compile(
    r"^\s*(?:from\s+(?:random|uuid|secrets)\b|import\s[^#\n]*\b(?:random|uuid|secrets)\b)|\burandom\b",
    re.MULTILINE,
)


class Seeding:
    """Seeds the executions of one session; use as a context manager."""

    def __init__(self, program: Program) -> None:
        self.body = program.body
        self.wanted = program.settings.seed_random and uses_random(program)
        self.source = random.Random(0)
        self.undo: list[Patch] = []
        self.state: State | None = None

    def __enter__(self) -> Self:
        if self.wanted:
            self.state = random.getstate()
            for row in self._rows():
                self.undo.append(Patch(row.owner, row.name, getattr(row.owner, row.name)))
                setattr(row.owner, row.name, row.value)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for row in reversed(self.undo):
            setattr(row.owner, row.name, row.value)
        self.undo.clear()
        if self.state is not None:
            random.setstate(self.state)

    def body_of(self, execution: Execution) -> Callable[[], object]:
        """Return what the main task of an execution is to run."""
        return (lambda: self._seeded(execution)) if self.wanted else self.body

    def _seeded(self, execution: Execution) -> None:
        seed = execution.draw(SEEDS)
        random.seed(seed)
        self.source.seed(seed + SEEDS)
        module = sys.modules.get("uuid")
        if module is not None:
            vars(module)["_last_timestamp"] = None
        self.body()

    def _rows(self) -> list[Patch]:
        rows: list[Patch] = []
        function(os, "urandom", self._urandom, rows)
        rows.append(Patch(random, "_urandom", rows[0].value))
        method(random.Random, "seed", self._seed, rows)
        function(random, "seed", self._seed_all, rows)
        module = sys.modules.get("uuid")
        if module is not None:
            rows += [
                Patch(module, "_generate_time_safe", None),
                Patch(module, "_node", NODE),
                Patch(module, "_last_timestamp", None),
            ]
        return rows

    def _urandom(self, _execution: Execution, _me: Task, size: int) -> bytes:
        return self.source.randbytes(size)

    def _seed(
        self,
        _execution: Execution,
        _me: Task,
        generator: random.Random,
        a: float | str | bytes | bytearray | None = None,
        version: int = 2,
    ) -> None:
        _SEED(generator, self.source.getrandbits(64) if a is None else a, version)

    def _seed_all(
        self,
        _execution: Execution,
        _me: Task,
        a: float | str | bytes | bytearray | None = None,
        version: int = 2,
    ) -> None:
        _SEED_ALL(self.source.getrandbits(64) if a is None else a, version)


_SEED = random.Random.seed
_SEED_ALL = random.seed


def uses_random(program: Program) -> bool:
    """Say whether the target's module, or one in scope that it gets its names from, imports a source of randomness."""
    first = sys.modules.get(program.target.partition(":")[0])
    files = frozenset(program.files)
    todo = [first] if first is not None else []
    done: set[str] = set()
    while todo:
        module = todo.pop()
        file = getattr(module, "__file__", None)
        if file in files and file not in done:
            done.add(file)
            if _imports_random(file):
                return True
            todo += _named_in(module)
    return False


def _named_in(module: ModuleType) -> list[ModuleType]:
    out = []
    for value in list(vars(module).values()):
        if isinstance(value, type(sys)):
            out.append(value)
        else:
            home = sys.modules.get(str(getattr(value, "__module__", "")))
            if home is not None:
                out.append(home)
    return out


@lru_cache(maxsize=4096)
def _imports_random(file: str) -> bool:
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return _IMPORTS.search(text) is not None
