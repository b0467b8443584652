"""Edits of the programs of `bench.edited`: four kinds by a seeded generator, real fixes and masking changes by hand.

Promises: the same seed makes the same text; an edit of the four kinds changes no behaviour but where operations lie.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verify.durable.judging import Verdict

if TYPE_CHECKING:
    from random import Random

HERE: Final = Path(__file__).parent / "edited"
RENAME, MOVE, LINES, POINT = "rename", "move", "lines", "point"
KINDS: Final = (RENAME, MOVE, LINES, POINT)
SYLLABLES: Final = ("ka", "lo", "mi", "ru", "sen", "tor", "ve", "zul")
STATEMENTS: Final = (
    "# nothing to see here",
    "noted = [1, 2, 3]",
    "unused = len('unused')",
    'remark = "a line more"',
)
POINTS: Final = (
    "threading.Event().set()",
    "threading.Lock().acquire(timeout=1)",
    "threading.Event().is_set()",
)


@dataclass(frozen=True)
class Hand:
    """A change by hand: each `old` text becomes `new`; `expected` is the verdict that is right."""

    changes: tuple[tuple[str, str], ...]
    expected: Verdict


@dataclass(frozen=True)
class Entry:
    """A program: the names that may be changed, its fix and a change that only hides the fault."""

    name: str
    names: tuple[str, ...]
    fix: Hand
    mask: Hand


def _fix(*changes: tuple[str, str]) -> Hand:
    return Hand(changes, Verdict.FIXED)


def _mask(*changes: tuple[str, str]) -> Hand:
    return Hand(changes, Verdict.MASKED)


ENTRIES: Final = (
    Entry(
        "crossed",
        ("move", "savings", "current", "first", "second"),
        _fix(("args=(current, savings)", "args=(savings, current)")),
        _mask(
            ("args=(current, savings)", "args=(savings, two)"),
            ("args=(savings, current)", "args=(current, savings)"),
            ("args=(savings, two)", "args=(savings, current)"),
        ),
    ),
    Entry(
        "lost",
        ("State", "count", "add", "adders", "seen"),
        _fix((
            "    seen = state.count\n    state.count = seen + 1\n",
            "    with state.lock:\n        seen = state.count\n        state.count = seen + 1\n",
        )),
        _mask((
            "    assert state.count == 2\n",
            '    if state.count < 2:\n        raise ValueError("too few")\n',
        )),
    ),
    Entry(
        "overdrawn",
        ("Account", "balance", "withdraw", "charge", "people"),
        _fix(
            (
                "    if account.balance >= amount:\n        account.balance = account.balance - amount\n",
                ("    with account.lock:\n        if account.balance >= amount:\n"
                "            account.balance = account.balance - amount\n"),
            ),
            (
                "    if account.balance >= 8:\n        account.balance = account.balance - 8\n",
                ("    with account.lock:\n        if account.balance >= 8:\n"
                "            account.balance = account.balance - 8\n"),
            ),
        ),
        _mask((
            "    if account.balance >= amount:\n        account.balance = account.balance - amount\n",
            ("    with account.lock:\n        if account.balance >= amount:\n"
            "            account.balance = account.balance - amount\n"),
        )),
    ),
    Entry(
        "missed",
        ("Box", "changed", "produce", "consume", "consumer"),
        _fix((
            "        box.changed.wait()\n",
            "        while not box.full:\n            box.changed.wait()\n",
        )),
        _mask(
            (
                "    with box.changed:\n        box.changed.wait()\n",
                "    box.waiting = True\n    box.permits.acquire()\n",
            ),
            (
                "    with box.changed:\n        box.full = True\n        box.changed.notify()\n",
                "    box.full = True\n    if box.waiting:\n        box.permits.release()\n",
            ),
        ),
    ),
    Entry(
        "early",
        ("Service", "address", "serve", "server", "service"),
        _fix((
            "    assert service.address\n",
            "    service.ready.wait()\n    assert service.address\n",
        )),
        _mask((
            "    assert service.address\n",
            '    if not service.address:\n        raise RuntimeError("no address")\n',
        )),
    ),
    Entry(
        "torn",
        ("Bank", "left", "transfer", "audit", "total"),
        _fix((
            "    with bank.lock:\n        total = total + bank.right\n",
            "        total = total + bank.right\n",
        )),
        _mask(
            (
                "    with bank.lock:\n        total = total + bank.right\n",
                "        total = total + bank.right\n",
            ),
            (
                "        bank.right = bank.right + 3\n",
                "    with bank.lock:\n        bank.right = bank.right + 3\n",
            ),
        ),
    ),
    Entry(
        "dinner",
        ("eat", "left", "right", "forks", "guests"),
        _fix(("(2, 0)", "(0, 2)")),
        _mask(("(1, 2), (2, 0)", "(1, 0), (1, 2)")),
    ),
    Entry(
        "empty",
        ("take", "items", "takers"),
        _fix(
            (
                "    if not items.empty():\n        items.get()\n",
                "    try:\n        items.get_nowait()\n    except queue.Empty:\n        pass\n",
            )
        ),
        _mask(("if not items.empty():", "if items.qsize() > 0:")),
    ),
    Entry(
        "asleep",
        ("Work", "over", "bell", "toil", "worker"),
        _fix((
            "        if work.over:\n            return\n        work.bell.clear()\n",
            "        work.bell.clear()\n        if work.over:\n            return\n",
        )),
        _mask(
            (
                ("    while True:\n        work.bell.wait()\n        if work.over:\n            return\n"
                "        work.bell.clear()\n"),
                "    while not work.over:\n        work.calls.acquire()\n",
            ),
            ("    work.bell.set()\n    work.over = True\n    work.bell.set()\n",
             "    work.calls.release()\n    work.over = True\n"),
        ),
    ),
    Entry(
        "twice",
        ("Registry", "connection", "made", "connect", "users"),
        _fix((
            ("    if registry.connection is None:\n        registry.connection = object()\n"
            "        registry.made.append(1)\n"),
            ("    with registry.lock:\n        if registry.connection is None:\n"
            "            registry.connection = object()\n            registry.made.append(1)\n"),
        )),
        Hand(
            (
                (
                    "        registry.connection = object()\n        registry.made.append(1)\n",
                    ("        with registry.lock:\n            registry.connection = object()\n"
                    "            registry.made.append(1)\n"),
                ),
            ),
            Verdict.FAILING,  # a lock around the act alone: the recorded orders hold as before
        ),
    ),
)  # fmt: skip


def source(name: str) -> str:
    """Return the text of a program."""
    return (HERE / f"{name}.py").read_text()


def by_hand(text: str, hand: Hand) -> str:
    """Make the changes; each text to be changed has to be there."""
    for old, new in hand.changes:
        if old not in text:
            raise ValueError(f"{old!r} is not in the program")
        text = text.replace(old, new)
    return text


def generated(entry: Entry, kind: str, rng: Random) -> str:
    """Return the program's text after an edit of one of the four kinds."""
    text = source(entry.name)
    if kind == RENAME:
        return _renamed(text, entry.names, rng)
    if kind == MOVE:
        return _moved(text, rng)
    lines = STATEMENTS if kind == LINES else POINTS
    return _with_lines(text, lines, 5 if kind == LINES else 1, rng)


def _renamed(text: str, names: tuple[str, ...], rng: Random) -> str:
    for name in rng.sample(names, rng.randint(2, len(names))):
        new = "".join(rng.choice(SYLLABLES) for _ in range(3))
        new = new.capitalize() if name[0].isupper() else new
        text = re.sub(rf"\b{name}\b", new, text)
    return text


def _moved(text: str, rng: Random) -> str:
    """Put the functions in another order, and one of them into a class."""
    tree = ast.parse(text)
    lines = text.splitlines()
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    rest = [line for at, line in enumerate(lines, 1) if not any(_within(at, f) for f in functions)]
    pieces = [lines[f.lineno - 1 : f.end_lineno] for f in functions]
    name = rng.choice([f.name for f in functions if f.name != "main"])
    at = next(at for at, f in enumerate(functions) if f.name == name)
    pieces[at] = ["class Moved:", "    @staticmethod", *(f"    {line}" for line in pieces[at])]
    rng.shuffle(pieces)
    body = "\n\n\n".join("\n".join(piece) for piece in pieces)
    return (
        "\n".join(rest) + "\n\n" + re.sub(rf"target={name}\b", f"target=Moved.{name}", body) + "\n"
    )


def _within(line: int, function: ast.FunctionDef) -> bool:
    return function.lineno <= line <= (function.end_lineno or function.lineno)


def _with_lines(text: str, new: tuple[str, ...], count: int, rng: Random) -> str:
    """Put statements before some of those in functions."""
    places = [
        (node.lineno, node.col_offset)
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef) and function.name != "__init__"
        for node in ast.walk(function)
        if isinstance(node, ast.stmt) and node is not function and not _is_docstring(node)
    ]
    lines = text.splitlines()
    for line, column in sorted(rng.sample(places, min(count, len(places))), reverse=True):
        lines.insert(line - 1, " " * column + rng.choice(new))
    return "\n".join(lines) + "\n"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
