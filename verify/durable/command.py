"""`stage3 verify-fix`, `stage3 regression`, and `stage3 replay` of a trace on another text.

Promises: exit codes 0 (fixed; written), 1 (masked or still failing), 2 (bad input), 4 (inconclusive). A test file and
its trace are written whole or not at all, and never over others.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from traces import artifacts, store
from traces.errors import InputError
from traces.schema import to_json
from traces.text import PYTEST, plain
from verify.abc import UsageError
from verify.durable import text
from verify.durable.judging import EXECUTIONS, SECONDS, judge, parts_of
from verify.durable.regression import program_for

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from verify.durable.judging import Judgement

BAD_INPUT = 2
_NOT_A_NAME = re.compile(r"\W+", re.ASCII)
_PLAIN_TARGET = re.compile(r"[\w.]+:\w+(\?[\w.=&-]*)?", re.ASCII)

TEST = '''"""A schedule that failed once must not fail again; written by `stage3 regression`."""

from __future__ import annotations

from pathlib import Path

import verify

TRACE = Path(__file__).with_name({trace})


def test_{name}() -> None:
    """{cause} in {target}."""
    verify.regression(TRACE, target="{target}")
'''


def add_parsers(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    positive: Callable[[str], int],
    seconds: Callable[[str], float],
) -> None:
    """Add `verify-fix` and `regression` to the commands of `stage3`."""
    fix = subparsers.add_parser(
        "verify-fix", help="say whether a recorded failure is fixed, masked or still there"
    )
    _what(fix)
    fix.add_argument(
        "--executions", type=positive, default=EXECUTIONS, help=f"sampled (default {EXECUTIONS})"
    )
    fix.add_argument(
        "--seconds", type=seconds, default=SECONDS, help=f"for them at most (default {SECONDS:g})"
    )
    fix.add_argument("--seed", type=int, default=0, help="default 0")
    fix.add_argument(
        "--package", action="append", default=[], metavar="NAME", help="as given to explore"
    )
    fix.add_argument(
        "--output", type=Path, default=store.DIRECTORY, metavar="DIR", help="where a new trace goes"
    )
    fix.add_argument("--no-stacks", action="store_true", help="leave the backtraces out")
    test = subparsers.add_parser(
        "regression", help="make a test of a recorded failure, to be committed with its trace"
    )
    _what(test)
    test.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the test to write, tests/test_x.py",
    )


def _what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a trace file of the failure")
    parser.add_argument(
        "target", nargs="?", metavar="MODULE:FUNCTION", help="if it is not where it was recorded"
    )


def run_verify_fix(args: argparse.Namespace) -> int:
    """Judge, report, and return the exit code."""
    try:
        trace = store.load(args.trace)
        program = program_for(trace, args.target, args.package)
        found = judge(
            program, trace, executions=args.executions, seconds=args.seconds, seed=args.seed
        )
        file = _store(found, args.output)
    except (UsageError, InputError) as error:
        return _refuse("verify-fix", error)
    print(text.whole(found, stacks=not args.no_stacks))
    if file:
        print(*artifacts.where(file), sep="\n")
    return found.exit_code


def _store(found: Judgement, directory: Path) -> str:
    group = found.group or found.other
    if group is None or group.trace is None:
        return ""
    return str(artifacts.keep(group.trace, directory, kind="verify-fix"))


def run_regression(args: argparse.Namespace) -> int:
    """Write the test and its trace; return the exit code."""
    try:
        trace = store.load(args.trace)
        _, failure = parts_of(trace)
        target = _writable(args.target or trace.program.target)
        program_for(trace, target)
        test: Path = args.output
        beside = test.with_suffix(".json")
        _refuse_to_overwrite(test, beside)
        cause = _NOT_A_NAME.sub(" ", failure.cause).strip()
        name = _NOT_A_NAME.sub("_", f"{target.rpartition(':')[2]} {cause}").strip("_")
        body = TEST.format(
            trace=json.dumps(beside.name), name=name, cause=cause.capitalize(), target=target
        )
        store.write_whole(beside, to_json(trace))
        store.write_whole(test, body, "a test")
    except (UsageError, InputError) as error:
        return _refuse("regression", error)
    print(f"written: {test} and {beside}; commit both\nrun: pytest {test}")
    return 0


def _writable(target: str) -> str:
    if PYTEST in target:
        raise UsageError(
            f"{target!r} is a test of pytest's; call verify.regression(TRACE, target=FUNCTION) in a test beside it"
        )
    if not _PLAIN_TARGET.fullmatch(target):
        raise UsageError(f"target {target!r} cannot be written into a test; write it by hand")
    return target


def _refuse_to_overwrite(test: Path, beside: Path) -> None:
    if test.suffix != ".py" or not test.name.isascii():
        raise UsageError(f"{str(test)!r} is no test file; give a name in ASCII that ends in .py")
    for file in (test, beside):
        if file.exists():
            raise UsageError(f"{str(file)!r} exists; give another name, or delete it first")


def _refuse(command: str, error: Exception) -> int:
    print(f"stage3 {command}: {plain(str(error))}", file=sys.stderr)
    return BAD_INPUT
