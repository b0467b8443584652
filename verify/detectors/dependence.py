"""Does what one line read decide what another line of the same function writes? Read off the source text.

Promises: yes where both are parts of one simple statement (`self.n += 1`); where the read stands in the
test of an `if`, `while` or conditional expression and the write under it, or behind it if its body leaves (`return`,
`raise`, `continue`, `break`); and where a local variable carries the value from one to the other. Everything
else is no: what flows through attributes, containers and calls is not followed.
Assumes the source file is the text that runs. A file that cannot be read or parsed gives no.
"""

from __future__ import annotations

import ast
import linecache
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module
Branch = ast.If | ast.While
LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
SIMPLE = (
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.Delete, ast.Assert, ast.Raise,
)  # fmt: skip


@lru_cache(maxsize=1024)
def decides(file: str, read: int, write: int) -> bool:
    """Say whether what line `read` of `file` reads decides or makes what line `write` writes."""
    function = _function(file, read, write)
    if function is None:
        return False
    statements = list(_statements(function))
    if any(
        isinstance(each, SIMPLE) and _has(each, read) and _has(each, write) for each in statements
    ):
        return True
    if any(
        _governs(branch, block, write)
        for branch, block in _branches(function)
        if _has(branch.test, read)
    ):
        return True
    carried = _carried(statements, read, write)
    if not carried:
        return False
    if any(
        _has(each, write) and _uses(each, carried)
        for each in statements
        if isinstance(each, SIMPLE)
    ):
        return True
    return any(
        _governs(branch, block, write) and _uses(branch.test, carried)
        for branch, block in _branches(function)
        if branch.test.lineno >= read
    )


@lru_cache(maxsize=64)
def _parsed(file: str) -> ast.Module | None:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return None


def _function(file: str, read: int, write: int) -> Function | None:
    """Return the innermost function that has both lines."""
    module = _parsed(file)
    best: Function | None = module
    for node in ast.walk(module) if module is not None else ():
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and _has(node, read)
            and _has(node, write)
            and (best is module or _size(node) < _size(best))
        ):
            best = node
    return best


def _size(node: Function | None) -> int:
    return (getattr(node, "end_lineno", 0) or 0) - getattr(node, "lineno", 0)


def _has(node: ast.AST, line: int) -> bool:
    first: int = getattr(node, "lineno", 0)
    last: int = getattr(node, "end_lineno", 0) or 0
    return first <= line <= last


def _statements(function: Function) -> Iterator[ast.stmt]:
    for node in ast.walk(function):
        if isinstance(node, ast.stmt) and node is not function:
            yield node


def _branches(function: Function) -> Iterator[tuple[Branch, list[ast.stmt]]]:
    """Yield each branch with the statements of the block it stands in that come behind it."""
    for node in ast.walk(function):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                for at, statement in enumerate(block):
                    if isinstance(statement, ast.If | ast.While):
                        yield statement, block[at + 1 :]


def _governs(branch: Branch, behind: list[ast.stmt], write: int) -> bool:
    """Say whether the branch decides that line `write` is reached."""
    if any(_has(each, write) for each in (*branch.body, *branch.orelse)):
        return True
    leaves = isinstance(branch, ast.If) and isinstance(branch.body[-1], LEAVES)
    return leaves and any(_has(each, write) for each in behind)


def _carried(statements: list[ast.stmt], read: int, write: int) -> set[str]:
    """Return the local variables that hold what line `read` read when line `write` is reached."""
    names: set[str] = set()
    for each in sorted(statements, key=lambda statement: statement.lineno):
        if not isinstance(each, ast.Assign | ast.AnnAssign) or each.lineno > max(read, write):
            continue
        targets = each.targets if isinstance(each, ast.Assign) else [each.target]
        if each.value is not None and (_has(each, read) or _uses(each.value, names)):
            names.update(
                node.id
                for target in targets
                for node in ast.walk(target)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
    return names


def _uses(node: ast.AST, names: set[str]) -> bool:
    return any(
        isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id in names
        for each in ast.walk(node)
    )
