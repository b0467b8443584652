"""What a stress job runs: a pytest node, a function, a migration scenario, or a command.

Promises: what was typed becomes a `Target` or one `UsageError` that says what to type; the program
under test is not imported. `digest` ties a journal to the program's text.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.migration import scenarios
from verify.abc import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from verify.supervise import Json

MIGRATION: Final = "migration:"
SCENARIOS: Final = (*scenarios.WHOLE, *scenarios.CLOSED)
MOST_FILES: Final = 5000
SEED: Final = "{seed}"
"""Replaced by the run's seed in the words of a command."""
FUNCTION: Final = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*(\?.*)?")


class Kind(StrEnum):
    """How a target is run."""

    PYTEST = "pytest"
    FUNCTION = "function"
    MIGRATION = "migration"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Target:
    """One target. `words` is the command's argument list, or the one thing that `kind` runs."""

    kind: Kind
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return it as it is typed."""
        return shlex.join(self.words)

    def as_json(self) -> dict[str, Json]:
        """Return it as a worker gets it."""
        return {"kind": str(self.kind), "words": list(self.words)}

    @property
    def function(self) -> str:
        """Return `module:function?...` of a function or a scenario."""
        (word,) = self.words
        if self.kind is Kind.MIGRATION:
            return f"{scenarios.__name__}:{word.removeprefix(MIGRATION)}"
        return word


def parse(words: Sequence[str], command: Sequence[str] = ()) -> tuple[Target, ...]:
    """Return the targets named by `words`, and the command that stood behind `--`."""
    targets = [_target(word) for word in words]
    if command:
        if shutil.which(command[0]) is None:
            raise UsageError(
                f"no command {command[0]!r}; name one on the PATH, or a file that can be executed"
            )
        targets.append(Target(Kind.COMMAND, tuple(command)))
    if not targets:
        raise UsageError(
            "nothing to run; name tests/test_x.py::test_y, module:function, migration:NAME, or -- COMMAND ..."
        )
    return tuple(targets)


def _target(word: str) -> Target:
    if word.startswith(MIGRATION):
        name = word.removeprefix(MIGRATION).partition("?")[0]
        if name not in SCENARIOS:
            raise UsageError(f"no migration scenario {name!r}; there are: {', '.join(SCENARIOS)}")
        return Target(Kind.MIGRATION, (word,))
    file = word.partition("::")[0]
    # os.path: what cannot be looked at, or is too long for a name, is not there.
    if "::" in word or file.endswith(".py") or (file and os.path.isdir(file)):  # noqa: PTH112 - as said above
        if not os.path.exists(file):  # noqa: PTH110 - as said above
            raise UsageError(
                f"target {word!r}: there is no {file}; name a test as pytest does, from this directory"
            )
        return Target(Kind.PYTEST, (word,))
    if FUNCTION.fullmatch(word):
        return Target(Kind.FUNCTION, (word,))
    raise UsageError(
        f"target {word!r} is none of tests/test_x.py::test_y, module:function, migration:NAME; "
        "a command goes behind --"
    )


def digest(targets: Iterable[Target]) -> str:
    """Return 16 hex digits over the targets and the text of the files they name or, for functions, their package's."""
    hasher = hashlib.blake2b(digest_size=8)
    for target in targets:
        hasher.update(f"{target.kind}\0{target.text}\0".encode())
        for path in _files(target):
            hasher.update(os.fsencode(path.name) + b"\0")
            with contextlib.suppress(OSError), path.open("rb") as file:
                while block := file.read(1 << 20):
                    hasher.update(block)
    return hasher.hexdigest()


def _files(target: Target) -> list[Path]:
    if target.kind is Kind.COMMAND:
        # os.path.isfile: a word may be a script's whole text, too long for a name.
        return [Path(word) for word in target.words if os.path.isfile(word) and Path(word).suffix]  # noqa: PTH113
    if target.kind is Kind.PYTEST:
        place = Path(target.words[0].partition("::")[0])
        return sorted(place.rglob("*.py"))[:MOST_FILES] if place.is_dir() else [place]
    module = target.function.partition(":")[0]
    tops = ["mig", "stress.migration"] if target.kind is Kind.MIGRATION else [module]
    return sorted({path for top in tops for path in _package(top)})[:MOST_FILES]


def _package(module: str) -> Iterator[Path]:
    """Yield the source files of the top package of `module`, found without importing it."""
    spec = PathFinder.find_spec(module.partition(".")[0], [str(Path.cwd()), *sys.path])
    if spec is None:
        return
    if spec.submodule_search_locations is not None:
        for place in spec.submodule_search_locations:
            yield from Path(place).rglob("*.py")
    elif spec.origin is not None:
        yield Path(spec.origin)
