"""Which lines and branches of the stream decoders a run reached.

Promises: `Reached` counts inside functions only, so that what an import runs does not matter. Encoders, which stand
in the same modules, are left out by name.
"""

from __future__ import annotations

import ast
import json
import pathlib
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import coverage

from mig import vmdesc, wire_commands, wire_decode, wire_return, xbzrle

if TYPE_CHECKING:
    from types import ModuleType, TracebackType
    from typing import Self

DECODERS: Final[dict[ModuleType, frozenset[str]]] = {
    wire_decode: frozenset(),
    vmdesc: frozenset(),
    wire_commands: frozenset({"encode", "_encode_discard", "_encode_data", "package"}),
    wire_return: frozenset({"encode", "_message", "_request"}),
    xbzrle: frozenset(
        {"encode", "_changed", "of", "only", "heads", "length", "_laid_out", "_put_lengths"}
    ),
}
"""Modules, and the functions of each that decode nothing."""


class Missed(NamedTuple):
    """A line, or a step from one line to another, that was not reached."""

    module: str
    line: int
    to: int | None

    def __str__(self) -> str:
        """As file and line."""
        step = "" if self.to is None else f" to {self.to}"
        return f"{self.module}:{self.line}{step}"


def _decoding(module: ModuleType, without: frozenset[str]) -> set[int]:
    """The lines inside functions that count."""
    lines: set[int] = set()
    path = pathlib.Path(str(module.__file__))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            inside = range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
            if node.name in without:
                lines.difference_update(inside)
            else:
                lines.update(inside)
    return lines


class Reached:
    """A context in which the decoders are measured."""

    def __init__(self) -> None:
        files = [str(module.__file__) for module in DECODERS]
        self._coverage = coverage.Coverage(
            data_file=None, branch=True, config_file=False, include=files
        )
        self._coverage.exclude(r"case _:$")

    def __enter__(self) -> Self:
        self._coverage.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._coverage.stop()

    def missed(self) -> list[Missed]:
        """What was not reached of all that decodes."""
        with tempfile.TemporaryDirectory(prefix="stage3-") as directory:
            path = pathlib.Path(directory, "coverage.json")
            self._coverage.json_report(outfile=str(path))
            files = cast(
                "dict[str, dict[str, dict[str, list[object]]]]", json.loads(path.read_text())
            )
        missed: list[Missed] = []
        for name, found in files["files"].items():
            module = next(mod for mod in DECODERS if str(mod.__file__).endswith(name))
            lines = _decoding(module, DECODERS[module])
            short = pathlib.Path(name).name
            missed += [
                Missed(short, line, None)
                for line in _numbers(found["missing_lines"])
                if line in lines
            ]
            missed += [
                Missed(short, start, end)
                for start, end in cast("list[list[int]]", found["missing_branches"])
                if start in lines
            ]
        return missed


def _numbers(values: object) -> list[int]:
    return cast("list[int]", values)
