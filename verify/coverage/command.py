"""`stage3 coverage FILE...`: merges coverage files and lists the orders that no run has tried.

Promises: nothing is run; the files given stay as they are, and what `--output` names is written whole or
not at all. A file that cannot be used is named.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from traces.text import plain
from verify.coverage import store
from verify.coverage.form import Coverage, merge

if TYPE_CHECKING:
    import argparse

SHOWN = 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `coverage` to the commands of `stage3`."""
    parser = subparsers.add_parser(
        "coverage", help="merge coverage files; list orders of operations that no run has tried"
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="as written by stage3 explore --coverage",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write them merged")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def run(args: argparse.Namespace) -> str:
    """Merge the files and return what is to be printed; raise `InputError` for one that cannot be used."""
    merged = functools.reduce(merge, map(store.load, args.files), Coverage())
    if args.output is not None:
        merged = store.save(merged, args.output)
    return json.dumps(as_json(merged), indent=1) if args.json else text(merged, most=None)


def as_json(coverage: Coverage) -> dict[str, object]:
    """Return what a program that reads it wants to know."""
    return {
        "executions": sum(seen.executions for seen in coverage.programs.values()),
        "programs": {target: seen.digest for target, seen in coverage.programs.items()},
        "orders": len(coverage.pairs),
        "flipped": coverage.flipped,
        "never_flipped": [[[*a], [*b]] for a, b in coverage.goals],
    }


def text(coverage: Coverage, *, most: int | None = SHOWN) -> str:
    """Return the counts, and up to `most` of the pairs that were never seen the other way round."""
    goals = coverage.goals
    executions = sum(seen.executions for seen in coverage.programs.values())
    head = (
        f"coverage: of pairs of conflicting operations {coverage.flipped:,} were seen in both orders, "
        f"{len(goals):,} in one order only (executions: {executions:,})"
    )
    lines = [head]
    for before, after in goals[:most]:
        lines.append(f"  never flipped: {plain(str(before))}")
        lines.append(f"       always before {plain(str(after))}")
    if most is not None and len(goals) > most:
        lines.append(f"  and {len(goals) - most:,} more: stage3 coverage FILE lists all")
    return "\n".join(lines)
