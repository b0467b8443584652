"""Bytecode rewriting: counters, polls and access hooks put into the program under test.

Promises: only functions of the named files are touched, only for the length of a check; line
numbers, tracebacks, exception tables and pytest's rewritten assertions stay as they are. A function
is rewritten once per process and mode, and its code object swapped in and out. A generator that is
already suspended keeps its old code. A function that cannot be rewritten keeps its code. Source of
the technique: the `bytecode` package, which recomputes jumps, stack sizes and exception tables.

What is put where is `verify.accesses_rewrite`'s business (accesses, polls) and `_ticks`' (a counter
before each backward jump). A hook is called with constants and copies of stack items and its result
is dropped, so the program's own stack is never changed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, NamedTuple

from bytecode import Bytecode, Instr

from verify.runtime.loops import tick
from verify.sites import FOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bytecode.instr import InstrLocation

    from verify.accesses import Site

    Hook = Callable[..., None]  # type: ignore[explicit-any] # takes what the call puts on the stack

SYNC, GIL, ACCESS, LABEL = "sync", "gil", "access", "label"
"""Modes of rewriting: ticks alone; ticks and scheduling polls; ticks and accesses; these and noted polls."""


class Rewritten(NamedTuple):
    """A code object with its hooks, and the accesses in it and in the functions nested in it."""

    code: CodeType
    sites: tuple[Site, ...]


_rewritten: dict[tuple[str, str, CodeType], Rewritten] = {}
_originals: dict[int, tuple[CodeType, CodeType]] = {}


def call(
    hook: Hook,
    location: InstrLocation | None,
    *constants: object,
    copy: int | None = None,
    second: int | None = None,
) -> list[Instr]:
    """Return a call of `hook` whose result is dropped.

    Its arguments are a copy of the `copy`-th stack item (from 1), one of the `second`-th, then constants.
    """
    load = Instr("LOAD_CONST", hook, location=location)
    null = Instr("PUSH_NULL", location=location)
    out = [load, null] if sys.version_info >= (3, 13) else [null, load]
    count = len(constants)
    if copy is not None:
        out.append(Instr("COPY", copy + 2, location=location))
        count += 1
    if second is not None:
        out.append(Instr("COPY", second + 3, location=location))
        count += 1
    out += [Instr("LOAD_CONST", constant, location=location) for constant in constants]
    if sys.version_info < (3, 12):
        out.append(Instr("PRECALL", count, location=location))
    return [*out, Instr("CALL", count, location=location), Instr("POP_TOP", location=location)]


def is_backward(item: object) -> bool:
    """Say whether an instruction is a backward jump at which CPython polls."""
    return (
        isinstance(item, Instr) and "JUMP_BACKWARD" in item.name and "NO_INTERRUPT" not in item.name
    )


def _ticks(body: Bytecode) -> list[object]:
    out: list[object] = []
    for item in body:
        if isinstance(item, Instr) and is_backward(item):
            out += call(tick, item.location)
        out.append(item)
    return out


def rewrite(code: CodeType, mode: str = SYNC) -> Rewritten:
    """Return `code` with the hooks of `mode`, nested functions included."""
    made = _originals.get(id(code))
    if made is not None:
        code = made[0]
    key = (code.co_filename, mode, code)
    known = _rewritten.get(key)
    if known is None:
        known = _rewritten[key] = _rewrite(code, mode)
        if known.code is not code:
            _originals[id(known.code)] = (code, known.code)
    return known


def _rewrite(code: CodeType, mode: str) -> Rewritten:
    new, sites = _hooked(code, mode)
    nested = {
        place: rewrite(const, mode)
        for place, const in enumerate(new.co_consts)
        if isinstance(const, CodeType)
    }
    if any(made.code is not new.co_consts[place] for place, made in nested.items()):
        consts = list(new.co_consts)
        for place, made in nested.items():
            consts[place] = made.code
        new = new.replace(co_consts=tuple(consts))
    return Rewritten(new, sum((made.sites for made in nested.values()), sites))


def _hooked(code: CodeType, mode: str) -> tuple[CodeType, tuple[Site, ...]]:
    if mode == SYNC:
        if not _jumps_back(code):
            return code, ()
        body = Bytecode.from_code(code)
        body[:] = _ticks(body)
        return body.to_code(), ()
    from verify import accesses_rewrite  # noqa: PLC0415 - it builds on this module

    return accesses_rewrite.hooked(code, mode)


def _learn_globals(codes: Iterable[CodeType]) -> None:
    from verify import accesses_rewrite  # noqa: PLC0415 - it builds on this module

    accesses_rewrite.learn_globals(codes)


def _jumps_back(code: CodeType) -> bool:
    import dis  # noqa: PLC0415 - only a rewrite needs it

    return any(
        "JUMP_BACKWARD" in name.opname and "NO_INTERRUPT" not in name.opname
        for name in dis.get_instructions(code)
    )


@dataclass
class Instrumented:
    """The functions of `files`, with their own code until `switch`, and again after `restore`.

    `choose` says which there are; functions made later from the same code are not touched.
    """

    files: tuple[str, ...]
    functions: list[FunctionType] = field(default_factory=list)
    mode: str = ""
    sites: tuple[Site, ...] = ()
    swapped: list[tuple[FunctionType, CodeType]] = field(default_factory=list)

    def choose(self, functions: Iterable[FunctionType]) -> None:
        """Take those of `functions` whose code comes from one of `files`."""
        wanted = set(self.files)
        self.functions = [it for it in functions if it.__code__.co_filename in wanted]

    def switch(self, mode: str) -> None:
        """Give every function the code of `mode`."""
        if mode == self.mode:
            return
        self.restore()
        sites: dict[int, Site] = {}
        if mode != SYNC:
            _learn_globals(function.__code__ for function in self.functions)
        try:
            for function in self.functions:
                old = function.__code__
                # What an adapter between program and toolkit keeps for itself is no part of the program.
                own = SYNC if function.__globals__.get(FOLD) else mode
                new = rewrite(old, own)
                sites.update((id(site), site) for site in new.sites)
                if new.code is not old:
                    function.__code__ = new.code
                    self.swapped.append((function, old))
        except BaseException:
            self.restore()
            raise
        self.mode, self.sites = mode, tuple(sites.values())

    def restore(self) -> None:
        """Give every function its own code back."""
        for function, old in self.swapped:
            function.__code__ = old
        self.swapped.clear()
        self.mode, self.sites = "", ()
