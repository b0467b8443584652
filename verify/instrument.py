"""Bytecode rewriting: a counter before every backward jump of the program under test.

Promises: only functions of the named modules are touched, only for the length of a check; line
numbers, tracebacks, exception tables and pytest's rewritten assertions stay as they are. A function
is rewritten once per process and its code object swapped in and out. A generator that is already
suspended keeps its old code. Source of the technique: the `bytecode` package, which recomputes
jumps, stack sizes and exception tables.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

from bytecode import Bytecode, Instr

from verify.runtime.loops import tick

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bytecode.instr import InstrLocation

_rewritten: dict[CodeType, CodeType] = {}


def _call(location: InstrLocation | None) -> list[Instr]:
    """Return a call of `tick` whose result is dropped, for the running version."""
    load = Instr("LOAD_CONST", tick, location=location)
    null = Instr("PUSH_NULL", location=location)
    first = [load, null] if sys.version_info >= (3, 13) else [null, load]
    call = [Instr("CALL", 0, location=location), Instr("POP_TOP", location=location)]
    if sys.version_info < (3, 12):
        call.insert(0, Instr("PRECALL", 0, location=location))
    return [*first, *call]


def rewrite(code: CodeType) -> CodeType:
    """Return `code` with a counted tick before each backward jump, nested functions included."""
    known = _rewritten.get(code)
    if known is not None:
        return known
    new = code
    if _jumps_back(code):
        body = Bytecode.from_code(code)
        out: list[object] = []
        for item in body:
            if (
                isinstance(item, Instr)
                and "JUMP_BACKWARD" in item.name
                and "NO_INTERRUPT" not in item.name
            ):
                out += _call(item.location)
            out.append(item)
        body[:] = out
        new = body.to_code()
    consts = tuple(
        rewrite(const) if isinstance(const, CodeType) else const for const in new.co_consts
    )
    if any(ours is not theirs for ours, theirs in zip(consts, new.co_consts, strict=True)):
        new = new.replace(co_consts=consts)
    _rewritten[code] = new
    return new


def _jumps_back(code: CodeType) -> bool:
    import dis  # noqa: PLC0415 - only a rewrite needs it

    return any(
        "JUMP_BACKWARD" in name.opname and "NO_INTERRUPT" not in name.opname
        for name in dis.get_instructions(code)
    )


def functions_of(files: Iterable[str]) -> list[FunctionType]:
    """Return every function of the process whose code comes from one of `files`."""
    wanted = set(files)
    return [
        thing
        for thing in gc.get_objects()
        if type(thing) is FunctionType and thing.__code__.co_filename in wanted
    ]


@contextmanager
def counted_loops(files: Iterable[str]) -> Iterator[None]:
    """Count the backward jumps of the functions defined in `files` for the length of a `with` block."""
    swapped: list[tuple[FunctionType, CodeType]] = []
    try:
        for function in functions_of(files):
            old = function.__code__
            new = rewrite(old)
            if new is not old:
                function.__code__ = new
                swapped.append((function, old))
        yield
    finally:
        for function, old in swapped:
            function.__code__ = old
