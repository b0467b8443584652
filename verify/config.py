"""`[tool.stage3]` in pyproject.toml: defaults for `stage3 explore` and for the pytest plugin.

Promises: what stands there is checked in full before anything is run; an unknown key or a value of
the wrong kind is one `UsageError` that names file, key and value and says what to write. Flags given
on the command line win; a budget given there replaces all of the file's (executions, seconds, and what
a pass is to be worth), so that `--seconds 60` means sixty seconds. Without a file, or without the
table, there are no defaults.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from verify import detecting, registry
from verify.abc import UsageError
from verify.builds import CHOICES
from verify.detectors import ON_REQUEST
from verify.granularity import MODES
from verify.runtime.carriers import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FILE = "pyproject.toml"
MOST_BYTES = 1 << 22
SHRINK_S = 2.0
"""Seconds in which what a check finds is shrunk and explained, unless something else is asked for."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the file sets; None, or empty, where it does not. `output` is relative to the file."""

    executions: int | None = None
    seconds: float | None = None
    strategy: str | None = None
    seed: int | None = None
    granularity: str | None = None
    packages: tuple[str, ...] = ()
    output: Path | None = None
    backend: str | None = None
    builds: str | None = None
    strategies: tuple[str, ...] = ()
    shrink: float | None = None
    confidence: float | None = None
    bug_depth: int | None = None
    unseen: float | None = None
    detect: tuple[str, ...] = ()


def _executions(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _seconds(value: object) -> float | None:
    return float(value) if type(value) in {int, float} and 0 < value < 1e9 else None  # type: ignore[operator, arg-type] # just asked


def _shrink(value: object) -> float | None:
    return 0.0 if type(value) in {int, float} and value == 0 else _seconds(value)


def _share(value: object) -> float | None:
    return value if type(value) is float and 0 < value < 1 else None


def _strategy(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        registry.check(value)
    except UsageError:
        return None
    return value


def _strategies(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(spec, str) for spec in value):
        return None
    try:
        for spec in value:
            registry.split(spec)
    except UsageError:
        return None
    return tuple(value)


def _detect(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return None
    try:
        detecting.check(value)
    except UsageError:
        return None
    return tuple(value)


def _seed(value: object) -> int | None:
    return value if type(value) is int else None


def _granularity(value: object) -> str | None:
    return value if isinstance(value, str) and value in MODES else None


def _packages(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    names = tuple(name for name in value if isinstance(name, str) and _importable(name))
    return names if len(names) == len(value) else None


def _importable(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _backend(value: object) -> str | None:
    return value if isinstance(value, str) and value in BACKENDS else None


def _builds(value: object) -> str | None:
    return value if isinstance(value, str) and value in CHOICES else None


def _output(value: object) -> Path | None:
    return Path(value) if isinstance(value, str) and value and "\0" not in value else None


_KEYS: Mapping[str, tuple[Callable[[object], object], str]] = {
    "executions": (_executions, "a whole number above zero"),
    "seconds": (_seconds, "a number above zero"),
    "confidence": (_share, "a number between 0 and 1, like 0.95"),
    "bug_depth": (_executions, "a whole number above zero"),
    "unseen": (_share, "a number between 0 and 1, like 0.01"),
    "strategies": (_strategies, 'a list of classes, like ["mypackage.search:Backwards"]'),
    "strategy": (_strategy, 'the name of a strategy (stage3 explore --help), or "module:Class"'),
    "seed": (_seed, "a whole number"),
    "granularity": (_granularity, "one of " + ", ".join(f'"{name}"' for name in MODES)),
    "packages": (_packages, 'a list of package names, like ["bank"]'),
    "backend": (_backend, "one of " + ", ".join(f'"{name}"' for name in BACKENDS)),
    "builds": (_builds, "one of " + ", ".join(f'"{name}"' for name in CHOICES)),
    "shrink": (_shrink, "a number of seconds, 0 for not at all"),
    "detect": (
        _detect,
        "a list of " + ", ".join(f'"{name}"' for name in ON_REQUEST) + ', or "module:Class"',
    ),
    "output": (_output, 'a directory, like "stage3-out"'),
}


FOR_FILES = frozenset({"strategies", "output"})
"""Keys of the file alone; the others may stand in a test's marker, too."""
MARKER_KEYS = tuple(key for key in _KEYS if key not in FOR_FILES)


def find(start: Path) -> Config:
    """Return the defaults of the nearest pyproject.toml in `start` or above it."""
    for directory in (start, *start.parents):
        if (directory / FILE).is_file():
            return load(directory / FILE)
    return Config()


def load(file: Path) -> Config:
    """Return the defaults that `file` sets."""
    try:
        with file.open("rb") as stream:
            text = stream.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise UsageError(f"{file} has more than {MOST_BYTES:,} bytes; make it smaller")
        tables = tomllib.loads(text.decode())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}; make it readable") from None
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{file} is no TOML: {error}; correct it") from None
    tool = tables.get("tool", {})
    table = tool.get("stage3", {}) if isinstance(tool, dict) else {}
    where = f"{file}: [tool.stage3]"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is {table!r}; make it a table")
    found = parse(table, where, tuple(_KEYS))
    for spec in found.strategies:
        registry.add(spec)
    return found if found.output is None else replace(found, output=file.parent / found.output)


def parse(table: Mapping[str, object], where: str, keys: Sequence[str] = MARKER_KEYS) -> Config:
    """Return the defaults in `table`, which may have `keys`; `where` is what an error calls the place it stands in."""
    values: dict[str, object] = {}
    listed: set[object] = set()
    # What `strategies` lists, `strategy` may name.
    for key, value in sorted(table.items(), key=lambda item: item[0] != "strategies"):
        if key not in keys:
            raise UsageError(f"{where} has no key {key!r}; it has: {', '.join(keys)}")
        take, wanted = _KEYS[key]
        values[key] = value if key == "strategy" and value in listed else take(value)
        if values[key] is None:
            raise UsageError(f"{where} {key} is {value!r}; give {wanted}")
        if key == "strategies" and isinstance(value, list):
            listed = {registry.known_as(spec) for spec in value}
    return Config(**values)  # type: ignore[arg-type] # each was made by its own row of the table
