"""Where hooks go: the pass that puts accesses, polls and ticks into one code object.

Promises: a hook stands directly before the access it speaks of, arguments already evaluated, so
nothing of the task lies between them; `x.n += 1` is a read, then a write. Asynchronous code gets
ticks alone. What is accessed is read off the instruction and a copy of a stack item; which call
belongs to a loaded method, and which variable held a container, off the stack's depth along the code.

A call of a container method is loaded as a bound method, so that its receiver can be told on every
version. Seen as accesses to a container: items, slices, `in`, truth, the start of iteration, `+=`, its
methods, and builtins that walk their first argument. A cell is one if a variable in it is; a global if
some function of its file rebinds it.
"""

from __future__ import annotations

import dis
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bytecode import Bytecode, Instr

from verify import accesses
from verify.abc import VALUE, WHOLE
from verify.accesses import Global, Site
from verify.accesses_stack import Stack, attribute_of, call_shape, is_method_load, number
from verify.instrument import ACCESS, GIL, LABEL, call, is_backward
from verify.runtime.loops import tick

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType

    from verify.instrument import Hook

READS = frozenset({
    "get", "keys", "values", "items", "copy", "count", "index", "union", "intersection", "difference",
    "symmetric_difference", "issubset", "issuperset", "isdisjoint", "most_common", "elements", "total",
    "__contains__", "__len__", "__getitem__", "__iter__",
})  # fmt: skip
WRITES = frozenset({
    "append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "popitem", "setdefault", "update",
    "add", "discard", "appendleft", "extendleft", "popleft", "rotate", "move_to_end", "subtract",
    "intersection_update", "difference_update", "symmetric_difference_update", "__setitem__", "__delitem__",
})  # fmt: skip
KEYED = frozenset({"get", "pop", "setdefault", "add", "discard", "remove"})
"""Methods whose first argument is the member of a dict or set that they are about."""
READERS = frozenset({
    "len", "list", "tuple", "sorted", "sum", "min", "max", "set", "frozenset", "dict", "any", "all", "iter",
    "enumerate", "reversed",
})  # fmt: skip
WRITERS = frozenset({
    "heappush", "heappop", "heapify", "heappushpop", "heapreplace", "insort", "insort_left", "insort_right",
})  # fmt: skip

ASYNCHRONOUS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE

# instruction -> (place of the object on the stack from the top, operation)
ATTRIBUTES = {"LOAD_ATTR": "read", "LOAD_METHOD": "read", "STORE_ATTR": "write", "DELETE_ATTR": "write"}  # fmt: skip
ITEMS = {
    "BINARY_SUBSCR": (2, "read"), "STORE_SUBSCR": (2, "write"), "DELETE_SUBSCR": (2, "write"),
    "BINARY_SLICE": (3, "read"), "STORE_SLICE": (3, "write"), "CONTAINS_OP": (1, "read"),
}  # fmt: skip
WALKS = frozenset({"GET_ITER", "TO_BOOL"})
FIRST_IN_PLACE = 13  # of BINARY_OP's operators
CELLS = {"LOAD_DEREF": "read", "STORE_DEREF": "write", "DELETE_DEREF": "write"}
GLOBALS = {"LOAD_GLOBAL": "read", "STORE_GLOBAL": "write", "DELETE_GLOBAL": "write"}
TESTS = frozenset({"COMPARE_OP", "CONTAINS_OP", "IS_OP", "UNARY_NOT", "TO_BOOL"})

_OPCODES = frozenset({dis.opmap["STORE_GLOBAL"], dis.opmap["DELETE_GLOBAL"]})
_rebound: dict[str, set[str]] = {}
_modules: dict[str, Global] = {}


def learn_globals(codes: Iterable[CodeType]) -> None:
    """Remember which globals the functions of a file rebind; to be called with all of them before `hooked`."""
    for code in codes:
        if not _OPCODES.isdisjoint(code.co_code[::2]):
            _rebound.setdefault(code.co_filename, set()).update(
                str(item.argval) for item in dis.get_instructions(code) if item.opcode in _OPCODES
            )
        learn_globals(const for const in code.co_consts if inspect.iscode(const))


def hooked(code: CodeType, mode: str) -> tuple[CodeType, tuple[Site, ...]]:
    """Return `code` with the hooks of `mode` (nested functions not included), and its accesses."""
    body = Bytecode.from_code(code)
    try:
        hooks = _Pass(code, body, mode)
        body[:] = hooks.run()
        return body.to_code(), tuple(hooks.sites)
    except (ValueError, RuntimeError, IndexError, TypeError):
        return code, ()  # what `bytecode` cannot put together again stays as it is


class _Pass:
    """One code object on its way through."""

    def __init__(self, code: CodeType, body: Bytecode, mode: str) -> None:
        self.items: list[object] = list(body)
        self.where = code.co_qualname
        self.file = code.co_filename
        threaded = not code.co_flags & ASYNCHRONOUS
        self.accesses = mode in {ACCESS, LABEL} and threaded
        self.polls = mode in {GIL, LABEL} and threaded
        self.poll, self.poll_unless_quiet = (
            (accesses.poll, accesses.poll_unless_quiet)
            if mode == GIL
            else (accesses.note_poll, accesses.note_poll_unless_quiet)
        )
        self.sites: list[Site] = []
        named = READS | WRITES if self.accesses else {"append"}
        self.stack = Stack(self.items, named, READERS | WRITERS)

    def run(self) -> list[object]:
        """Return the items with hooks between them."""
        out: list[object] = []
        for at, item in enumerate(self.items):
            if not isinstance(item, Instr):
                out.append(item)
                continue
            if self.accesses:
                out += self._access(at, item)
            out += self._call_head(at, item)
            if is_backward(item):
                out += call(tick, item.location)
                if self.polls:
                    out += call(self.poll, item.location, self.where)
            out += self._itself(at, item)
            if self.polls:
                out += self._poll_behind(at, item)
        return out

    def _itself(self, at: int, item: Instr) -> list[Instr]:
        if at not in self.stack.calls or not is_method_load(item):
            return [item]
        name, place = attribute_of(item), item.location
        if name not in READS | WRITES:
            return [item]
        plain = name if sys.version_info < (3, 12) else (False, name)
        out = [Instr("LOAD_ATTR", plain, location=place), Instr("PUSH_NULL", location=place)]
        if sys.version_info < (3, 13):
            out.append(Instr("SWAP", 2, location=place))
        return out

    def _access(self, at: int, item: Instr) -> list[Instr]:
        name = item.name
        if name in ATTRIBUTES:
            return self._attribute(at, item)
        if name in CELLS:
            return self._cell(item, CELLS[name])
        if name in GLOBALS:
            return self._global(item, GLOBALS[name])
        if name in ITEMS:
            return self._item(at, item)
        walked = self._walked(at, item)
        if walked is None:
            return []
        place, op = walked
        field = self._held(at, place)
        return self._hook(accesses.touch_container, item, place, op, field, whole=True)

    def _item(self, at: int, item: Instr) -> list[Instr]:
        place, op = ITEMS[item.name]
        field = self._held(at, place)
        if item.name == "CONTAINS_OP":
            return self._hook(accesses.touch_member, item, 1, op, field, second=2, whole=True)
        if place > 2:  # a slice
            return self._hook(accesses.touch, item, place, op, field, whole=True)
        return self._hook(accesses.touch_item, item, place, op, field, second=1)

    def _attribute(self, at: int, item: Instr) -> list[Instr]:
        attribute = attribute_of(item)
        if at in self.stack.calls and attribute in READS | WRITES:
            return []
        return self._hook(accesses.touch, item, 1, ATTRIBUTES[item.name], attribute)

    def _walked(self, at: int, item: Instr) -> tuple[int, str] | None:
        name = item.name
        if name in WALKS or self._tests(at, name):
            return 1, "read"
        if name == "BINARY_OP" and number(item) >= FIRST_IN_PLACE:
            return 2, "write"
        return None

    def _tests(self, at: int, name: str) -> bool:
        # From 3.13 on the compiler says TO_BOOL.
        if sys.version_info >= (3, 13) or not (
            name == "UNARY_NOT"
            or ("JUMP" in name and name.endswith(("_TRUE", "_FALSE", "_OR_POP")))
        ):
            return False
        before = self.items[at - 1]
        return isinstance(before, Instr) and before.name not in TESTS

    def _held(self, at: int, place: int) -> str:
        return f"{self.stack.held_by(at, place)}[]"

    def _cell(self, item: Instr, op: str) -> list[Instr]:
        variable = getattr(item.arg, "name", "")
        if variable == "__class__":
            return []
        site = self._site(op, variable, "cell")
        load = "LOAD_CLOSURE" if sys.version_info < (3, 13) else "LOAD_FAST"
        cell = Instr(load, item.arg, location=item.location)
        drop = Instr("POP_TOP", location=item.location)
        return [cell, *call(accesses.touch, item.location, site, copy=1), drop]

    def _global(self, item: Instr, op: str) -> list[Instr]:
        name = item.arg[1] if isinstance(item.arg, tuple) else item.arg
        if name not in _rebound.get(self.file, ()):
            return []
        module = _modules.get(self.file)
        if module is None:
            path = Path(self.file)
            stem = path.parent.name if path.stem == "__init__" else path.stem
            module = _modules[self.file] = Global(stem)
        return call(accesses.touch, item.location, module, self._site(op, str(name), module.kind))

    def _call_head(self, at: int, item: Instr) -> list[Instr]:
        load = self.stack.heads.get(at)
        shape = call_shape(self.items, at)
        if load is None or shape is None:
            return []
        name = self.stack.names[load]
        out: list[Instr] = []
        if self.polls and name in {"len", "append"}:
            out += call(accesses.note_callable, item.location, copy=shape.function)
        if not self.accesses:
            return out
        if is_method_load(self.items[load]) and name in READS | WRITES:
            op = "write" if name in WRITES else "read"
            field = self._held(load, 1)
            if name in KEYED and shape.first is not None:
                return out + self._hook(
                    accesses.touch_receiver_item, item, shape.function, op, field,
                    second=shape.first, whole=True,
                )  # fmt: skip
            return out + self._hook(
                accesses.touch_receiver, item, shape.function, op, field, whole=True
            )
        if shape.first is not None and name in READERS | WRITERS:
            op = "write" if name in WRITERS else "read"
            field = self._held(at, shape.first)
            return out + self._hook(
                accesses.touch_container, item, shape.first, op, field, whole=True
            )
        return out

    def _poll_behind(self, at: int, item: Instr) -> list[Instr]:
        if item.name == "RESUME" and number(item) & 3 < 2:  # 0: entry, 1: after a yield
            return call(self.poll, item.location, self.where)
        if item.name not in {"CALL", "CALL_KW", "CALL_FUNCTION_EX"}:
            return []
        load = self.stack.loads_of(at)
        quiet = load is not None and self.stack.names[load] in {"len", "append"}
        return call(self.poll_unless_quiet if quiet else self.poll, item.location, self.where)

    def _hook(
        self, hook: Hook, item: Instr, place: int, op: str, field: str,
        *, second: int | None = None, whole: bool = False,
    ) -> list[Instr]:  # fmt: skip
        site = self._site(op, field, how=WHOLE if whole else VALUE)
        return call(hook, item.location, site, copy=place, second=second)

    def _site(self, op: str, field: str, kind: str = "", how: str = VALUE) -> Site:
        site = Site(op, field, kind, how)
        self.sites.append(site)
        return site
