"""A whole divided search as one value: which batches of executions there are, and what one of them means.

Promises: batch k is the same executions on every machine, in every shard and with any number of workers: its seed and
its size follow from k and the search alone. The header of a journal holds all of that, and `of_header` gives it back.
Assumes: a program whose text is the same everywhere, which its digest checks.
Does not: run anything.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import shlex
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from verify import detecting, registry
from verify import program as programs
from verify.abc import UsageError
from verify.builds import ANY, CHOICES
from verify.granularity import parse as granularity_of
from verify.importing import imported
from verify.parallel.rows import Row, RowError
from verify.record import own_version
from verify.runtime.carriers import BACKENDS, GREENLETS
from verify.strategies import PCT
from verify.strategies.fair import Fair
from verify.supervise import Header, Shard, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verify.program import Program
    from verify.strategies import NamedStrategy

BATCH: Final = 250
MOST_BATCH: Final = 1_000_000
MOST_EXECUTIONS: Final = 1 << 40
ENUMERATING: Final = frozenset({"dfs", "dpor"})
NO_BOUND: Final = "no bound"


def own_hash_seed() -> str:
    """Return the hash seed that workers run with: this process's own, 0 where it has none."""
    found = os.environ.get("PYTHONHASHSEED", "")
    return found if found not in {"", "random"} else "0"


@dataclass(frozen=True, slots=True)
class Search:
    """One search. `executions` None: without end; the last batch has what is left over.

    `modules` are those whose text the digest covers; where the program is loaded they are imported first, so that
    the same files are under test there. `pct` are PCT's n, k and d, if given; `twice` is how many schedules are
    run twice.
    """

    target: str
    digest: str
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    strategy: str = registry.DEFAULT
    pct: tuple[int, int, int] | None = None
    fair: bool = False
    seed: int = 0
    executions: int | None = None
    batch: int = BATCH
    shard: Shard = field(default_factory=Shard)
    first_only: bool = False
    twice: int = 0
    backend: str = GREENLETS
    granularity: str = "auto"
    builds: str = ANY
    detect: tuple[str, ...] = ()
    hash_seed: str = field(default_factory=own_hash_seed)

    def __post_init__(self) -> None:
        if self.strategy in ENUMERATING:
            raise UsageError(
                f"strategy {self.strategy} visits one schedule after the other and cannot be divided into batches; "
                "leave --workers, --shard, --journal, --resume and --dask out, or take another strategy"
            )

    @classmethod
    def of(cls, program: Program, packages: tuple[str, ...] = ()) -> Self:
        """Return the search of `program`, as it is to be run, with the defaults for everything else."""
        files = set(program.files)
        modules = sorted(
            name
            for name, module in list(sys.modules.items())
            if name != "__main__" and getattr(module, "__file__", None) in files
        )
        return cls(
            program.target,
            program.digest,
            tuple(modules),
            packages,
            granularity=program.settings.granularity,
        )

    def program(self) -> Program:
        """Load the program; raise `UsageError` when its text is not the one searched."""
        # First of all: what is imported of a package decides which of its files are under test.
        for name in self.modules:
            imported(name)
        found = programs.load(self.target, self.packages).watched(self.detect)
        if found.digest != self.digest:
            raise UsageError(
                f"the search is of another text of {self.target} (digest {self.digest}, here {found.digest}); "
                "check that text out here"
            )
        return found.at(self.granularity)

    def strategy_of(self, seed: int) -> NamedStrategy:
        """Return a fresh strategy."""
        if self.pct is None:
            strategy = registry.make(self.strategy, seed)
        else:
            tasks, choices, depth = self.pct
            strategy = PCT(seed, tasks=tasks, choices=choices, depth=depth)
        return Fair(strategy) if self.fair else strategy

    # --- batches

    @property
    def batches(self) -> int | None:
        """How many batches there are over all shards, None without end."""
        return None if self.executions is None else -(-self.executions // self.batch)

    def size(self, number: int) -> int:
        """Return how many executions batch `number` has."""
        if self.executions is None:
            return self.batch
        return max(0, min(self.batch, self.executions - number * self.batch))

    def seed_of(self, number: int) -> int:
        """Return the seed of batch `number`: 48 bits that follow from the search's seed and the number."""
        text = f"{self.seed}:{number}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big")

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of this shard's batches."""
        first, step = self.shard.part - 1, self.shard.parts
        if self.batches is None:
            return itertools.count(first, step)
        return iter(range(first, self.batches, step))

    def tasks(self) -> Iterator[Task]:
        """Yield this shard's batches as tasks."""
        return (
            Task(
                number,
                self.seed_of(number),
                {
                    "executions": self.size(number),
                    "twice": min(self.size(number), max(0, self.twice - number * self.batch)),
                },
            )
            for number in self.numbers()
        )

    # --- text

    def again(self, number: int, executions: int = 0) -> str:
        """Return the line that runs batch `number` in one process, or its first `executions` executions."""
        size = executions or self.size(number)
        words = [*self._words(), "--seed", str(self.seed_of(number)), "--executions", str(size)]
        return f"stage3 explore {shlex.join([self.target, *words])}"

    def line(self, *more: str) -> str:
        """Return the line that asks for this search, with `more` words."""
        words = [*self._words(), "--seed", str(self.seed), "--batch", str(self.batch)]
        if self.executions is not None:
            words += ["--executions", str(self.executions)]
        if self.shard.parts > 1:
            words += ["--shard", str(self.shard)]
        if self.first_only:
            words.append("--first")
        if self.twice:
            words += ["--check-determinism", str(self.twice)]
        return f"stage3 explore {shlex.join([self.target, *words, *more])}"

    def _words(self) -> list[str]:
        words = [] if self.strategy == registry.DEFAULT else ["--strategy", self.strategy]
        if self.pct is not None:
            words += ["--pct", ",".join(map(str, self.pct))]
        if self.fair:
            words.append("--fair")
        for package in self.packages:
            words += ["--package", package]
        if self.detect:
            words += ["--detect", ",".join(self.detect)]
        if self.granularity != "auto":
            words += ["--granularity", self.granularity]
        if self.backend != GREENLETS:
            words += ["--backend", self.backend]
        if self.builds != ANY:
            words += ["--builds", self.builds]
        return words

    # --- through processes and journals

    def header(self) -> Header:
        """Return what a journal of this search belongs to."""
        settings = {
            "target": self.target,
            "modules": " ".join(self.modules),
            "packages": " ".join(self.packages),
            "strategy": self.strategy,
            "pct": ",".join(map(str, self.pct or ())),
            "fair": "yes" if self.fair else "no",
            "seed": str(self.seed),
            "executions": NO_BOUND if self.executions is None else str(self.executions),
            "batch": str(self.batch),
            "shard": str(self.shard),
            "first": "yes" if self.first_only else "no",
            "check determinism": str(self.twice),
            "backend": self.backend,
            "granularity": self.granularity,
            "builds": self.builds,
            "detect": " ".join(self.detect),
            "hash seed": self.hash_seed,
            "python": platform.python_version(),
            "stage3": own_version(),
        }
        return Header(self.digest, settings)

    @classmethod
    def of_header(cls, header: Header) -> Self:
        """Return the search that `header` was made of; raise `RowError` where it was made of none."""
        row = Row(dict(header.settings))
        executions, bounds = row.text("executions"), row.text("pct")
        pct = [_number(part, 1) for part in bounds.split(",")] if bounds else []
        if len(pct) not in {0, 3}:
            raise RowError(f"pct is {bounds[:60]!a}, not n,k,d")
        search = cls(
            row.text("target"),
            header.program,
            tuple(row.text("modules").split()),
            tuple(row.text("packages").split()),
            row.text("strategy"),
            (pct[0], pct[1], pct[2]) if pct else None,
            row.text("fair") == "yes",
            _seed(row.text("seed")),
            None if executions == NO_BOUND else _number(executions, 1),
            _number(row.text("batch"), 1, MOST_BATCH),
            Shard.parse(row.text("shard")),
            first_only=row.text("first") == "yes",
            twice=_number(row.text("check determinism")),
            backend=row.text("backend"),
            granularity=row.text("granularity"),
            builds=row.text("builds"),
            detect=tuple(row.text("detect").split()),
            hash_seed=row.text("hash seed"),
        )
        for name, own in (("python", platform.python_version()), ("stage3", own_version())):
            if row.text(name) != own:
                raise UsageError(
                    f"the search is one of {name} {row.text(name)[:40]}, this is {name} {own}; use the same"
                )
        if not (
            search.hash_seed.isascii()
            and search.hash_seed.isdecimal()
            and len(search.hash_seed) < 11
        ):
            raise RowError(f"hash seed is {search.hash_seed[:60]!a}, no whole number")
        registry.check(search.strategy)
        detecting.check(search.detect)
        granularity_of(search.granularity)
        if search.backend not in BACKENDS or search.builds not in CHOICES:
            raise RowError(
                f"backend {search.backend[:60]!a} or builds {search.builds[:60]!a} is unknown"
            )
        return search


def _number(text: str, least: int = 0, most: int = MOST_EXECUTIONS) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 15 and least <= int(text) <= most):
        raise RowError(f"{text[:60]!a} is no whole number from {least} to {most}")
    return int(text)


def _seed(text: str) -> int:
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 40):
        raise RowError(f"seed {text[:60]!a} is no whole number")
    return sign * int(digits)
