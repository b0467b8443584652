"""The stack's depth along a code object: which call a loaded method belongs to, and what held an item.

Promises: depths are relative and follow the code in order, with what is known of a label's depth
from the jumps to it; where that is not enough a call is not matched and a holder is "". Pure: reads
instructions, changes nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from bytecode import Instr, Label

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

HEADS = frozenset({"KW_NAMES", "PRECALL", "CALL", "CALL_KW"})
VARIABLES = frozenset({"LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST_CHECK"})
MOST_COPIES = 4


class Shape(NamedTuple):
    """Where the parts of a call lie on the stack, from the top: the function, its first argument if it has one."""

    function: int
    first: int | None
    base: int


def attribute_of(item: Instr) -> str:
    """Return the name that an attribute or global instruction is about."""
    return str(item.arg[-1]) if isinstance(item.arg, tuple) and item.arg else str(item.arg)


def number(item: Instr) -> int:
    """Return the argument of an instruction that has a number."""
    return item.arg if isinstance(item.arg, int) else 0


def is_method_load(item: object) -> bool:
    """Say whether an instruction loads a method to be called."""
    return isinstance(item, Instr) and (
        item.name == "LOAD_METHOD"
        or (item.name == "LOAD_ATTR" and isinstance(item.arg, tuple) and item.arg[0] is True)
    )


def _is_callee(item: Instr) -> bool:
    return item.name == "LOAD_GLOBAL" and isinstance(item.arg, tuple) and item.arg[0] is True


def call_shape(items: Sequence[object], head: int) -> Shape | None:
    """Return the shape of the call whose first instruction stands at `head`, or None if none does."""
    for item in items[head : head + 3]:
        if not isinstance(item, Instr) or item.name not in HEADS:
            return None
        if item.name in {"CALL", "CALL_KW"}:
            count = number(item)
            extra = item.name == "CALL_KW"  # the names lie on top
            pair = count + extra + 2
            function = pair if sys.version_info >= (3, 13) else pair - 1
            return Shape(function, count + extra if count else None, pair)
    return None


class Stack:
    """Depths before each item, and the calls matched with the loads of what they call.

    `calls` maps the place of a load to that of its call's first instruction, `heads` the other way;
    `names` has what each load loads. Looked for are methods called `methods` and globals called
    `functions`, `functions` of modules among them.
    """

    def __init__(
        self, items: Sequence[object], methods: Collection[str], functions: Collection[str]
    ) -> None:
        self.items = items
        self.depths: list[int] = []
        self.calls: dict[int, int] = {}
        self.heads: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.ends: dict[int, int] = {}
        self._follow(methods, functions)

    def _follow(self, methods: Collection[str], functions: Collection[str]) -> None:
        depth = 0
        labels: dict[int, int] = {}
        pending: list[tuple[int, int]] = []
        head = -1
        for at, item in enumerate(self.items):
            if isinstance(item, Label):
                depth = labels.get(id(item), depth)
            self.depths.append(depth)
            if not isinstance(item, Instr):
                continue
            if item.name in HEADS and head < 0:
                head = at
                self._match(at, depth, pending)
            if item.name in {"CALL", "CALL_KW"}:
                if head in self.heads:
                    self.ends[at] = self.heads[head]
                head = -1
            if isinstance(item.arg, Label):
                labels.setdefault(id(item.arg), depth + item.stack_effect(jump=True))
            depth += item.stack_effect(jump=False)
            name = attribute_of(item)
            if (is_method_load(item) and (name in methods or name in functions)) or (
                _is_callee(item) and name in functions
            ):
                self.names[at] = name
                pending.append((depth - 2, at))

    def _match(self, head: int, depth: int, pending: list[tuple[int, int]]) -> None:
        shape = call_shape(self.items, head)
        if shape is None:
            return
        base = depth - shape.base
        while pending and pending[-1][0] > base:
            pending.pop()
        if pending and pending[-1][0] == base:
            _, load = pending.pop()
            self.calls[load] = head
            self.heads[head] = load

    def loads_of(self, call: int) -> int | None:
        """Return the place of the load that the CALL at `call` belongs to."""
        return self.ends.get(call)

    def held_by(self, at: int, place: int) -> str:
        """Return the variable or attribute that the `place`-th stack item before item `at` came from, or ""."""
        for _ in range(MOST_COPIES):
            want = self.depths[at] - place + 1
            at -= 1
            while at > 0 and self.depths[at + 1] != want:
                at -= 1
            item = self.items[at] if at >= 0 else None
            if not isinstance(item, Instr):
                return ""
            if item.name == "COPY":
                place = number(item)
                continue
            if item.name in VARIABLES:
                return getattr(item.arg, "name", "") or attribute_of(item)
            return attribute_of(item) if item.name in {"LOAD_ATTR", "LOAD_METHOD"} else ""
        return ""
