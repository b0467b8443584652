"""Where the program under test stands: source sites and stacks without the toolkit's own frames.

Promises: a site is `file:line function`, with the file relative to the working directory where it
lies below it, so that it reads the same on every machine. Frames of the toolkit and of the standard
library's `threading`, `queue` and `socket` are folded away.
"""

from __future__ import annotations

import dis
import os
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

    from verify.abc import Place

_HERE = f"{Path(__file__).resolve().parent}{os.sep}"
_FOLDED = tuple(
    f"{Path(os.__file__).parent}{os.sep}{name}"
    for name in (
        "threading.py",
        "queue.py",
        "socket.py",
        "selectors.py",
        "subprocess.py",
        "pathlib",
    )
)


_BETWEEN = frozenset({"CACHE", "COPY", "CALL", "PRECALL", "PUSH_NULL", "POP_TOP", "LOAD_CLOSURE"})

FOLD = "__stage3_fold__"
"""A module that sets this name to True is folded away too: an adapter between program and toolkit.

Accesses to what it keeps for itself are no scheduling points at any granularity.
"""


def is_framework(filename: str) -> bool:
    """Say whether a source file belongs to the toolkit or to the threading machinery, not to the program."""
    return filename.startswith((_HERE, "<frozen", *_FOLDED))


def short(filename: str) -> str:
    """Return `filename` relative to the working directory if it lies below it."""
    base = f"{Path.cwd()}{os.sep}"
    return filename.removeprefix(base)


def frames(innermost: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames of the program under test, innermost first."""
    frame = innermost
    while frame is not None:
        if not is_framework(frame.f_code.co_filename) and not frame.f_globals.get(FOLD):
            yield frame
        frame = frame.f_back


def stack_of_frame(innermost: FrameType | None) -> tuple[Place, ...]:
    """Return the places of the program in a stack, innermost first."""
    return tuple((frame.f_code, frame.f_lasti) for frame in frames(innermost))


@lru_cache(maxsize=4096)
def line_of(code: CodeType, offset: int) -> int:
    """Return the source line of the instruction at `offset`, or that of the function where it has none."""
    place = next(islice(code.co_positions(), offset // 2, None), (None,))
    return place[0] or code.co_firstlineno


def place_text(place: Place) -> str:
    """Return `file:line function` of one place."""
    code, offset = place
    return f"{short(code.co_filename)}:{line_of(code, offset)} {code.co_qualname}"


def site_of_frame(innermost: FrameType | None) -> str:
    """Return the innermost site of the program in a stack, or an empty string."""
    for frame in frames(innermost):
        return describe(frame)
    return ""


def describe(frame: FrameType) -> str:
    """Return `file:line function` of one frame."""
    code = frame.f_code
    return f"{short(code.co_filename)}:{frame.f_lineno} {code.co_qualname}"


def assigned_name(innermost: FrameType | None) -> str:
    """Return what the program is about to call the object it is making: `Account.lock`, `lock_a`, or nothing.

    Read off the instruction behind the call; only where the result goes straight into a name or an
    attribute.
    """
    for frame in frames(innermost):
        owner, name = store_after(frame.f_code, frame.f_lasti)
        if owner:
            return f"{type(frame.f_locals.get(owner)).__name__}.{name}"
        return name
    return ""


@lru_cache(maxsize=4096)
def store_after(code: CodeType, offset: int) -> tuple[str, str]:
    """Return the local variable and its attribute, or "" and the name, that gets the result of the call at `offset`."""
    owner = ""
    for instruction in dis.get_instructions(code):
        if instruction.offset <= offset or _is_between(instruction.opname, instruction.argval):
            continue
        name = str(instruction.argval)
        if (
            instruction.opname in {"LOAD_FAST", "LOAD_DEREF"} and not owner
        ):  # a local, or one that a closure shares
            owner = name
        elif instruction.opname == "STORE_ATTR":
            return owner, name
        elif instruction.opname in {
            "STORE_FAST",
            "STORE_GLOBAL",
            "STORE_NAME",
            "STORE_DEREF",
        } and owner in {"", name}:
            return "", name
        else:
            break
    return _store_of_several(code, offset)


def _store_of_several(code: CodeType, offset: int) -> tuple[str, str]:
    """Return the same for a value among several that one statement stores: `a, b = Lock(), Lock()`.

    `above` counts what lies above the value on the stack; whatever could take the value itself ends the search.
    """
    above, owner, built = 0, "", False
    for instruction in dis.get_instructions(code):
        name, argument = instruction.opname, instruction.arg
        if instruction.offset <= offset or name in _NOTHING:
            continue
        if built and name != "UNPACK_SEQUENCE":
            break
        if name in _STORES:
            names = (
                instruction.argval
                if isinstance(instruction.argval, tuple)
                else (instruction.argval,)
            )
            if above < len(names):
                return "", str(names[above])
            above -= len(names)
        elif name == "STORE_ATTR" and above == 1:
            return (owner, str(instruction.argval)) if owner else ("", "")
        elif (moved := _above_after(name, instruction.opcode, argument, above)) >= 0:
            above = moved
        else:
            break
        built = name == "BUILD_TUPLE"
        owner = str(instruction.argval) if name in {"LOAD_FAST", "LOAD_DEREF"} else ""
    return "", ""


_NOTHING = frozenset({"CACHE", "NOP", "EXTENDED_ARG"})
_STORES = frozenset({
    "STORE_FAST", "STORE_GLOBAL", "STORE_NAME", "STORE_DEREF", "STORE_FAST_STORE_FAST",
})  # fmt: skip
_MORE = ("LOAD_", "CALL", "PUSH_NULL", "PRECALL", "KW_NAMES", "COPY", "POP_TOP", "STORE_ATTR")


def _above_after(name: str, opcode: int, argument: int | None, above: int) -> int:
    """Return what lies above the value after an instruction, or -1 where it may have been taken."""
    count = argument or 0
    if name == "SWAP":
        return count - 1 if above == 0 else 0 if above == count - 1 else above
    if name == "BUILD_TUPLE" and above < count:
        return count - 1 - above  # as UNPACK_SEQUENCE, which has to follow, leaves it
    if name == "UNPACK_SEQUENCE":
        return above
    if not name.startswith(_MORE) or (name in {"LOAD_ATTR", "LOAD_METHOD"} and above == 0):
        return -1
    return above + dis.stack_effect(opcode, argument)


def _is_between(opname: str, argument: object) -> bool:
    """Say whether an instruction is the call's own, or part of a hook that stands before the store."""
    if opname == "LOAD_CONST":
        home = getattr(argument, "__module__", None)
        return isinstance(home, str) and home.startswith("verify.")
    return opname in _BETWEEN
