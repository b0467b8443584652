"""`stage3 trace show | ls | check`: looks at trace files.

Promises: bad input of any kind gives one line on standard error and exit code 2, no traceback;
`show` and `check` write nothing anywhere.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from traces.errors import InputError, TraceError
from traces.store import DIRECTORY, list_files, load
from traces.text import plain, show

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["add_parser", "run"]

OK = 0
BAD_INPUT = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `trace` to the commands of `stage3`; its parsed arguments are for `run`."""
    parser = subparsers.add_parser("trace", help="show, list or check recorded runs")
    actions = parser.add_subparsers(dest="trace_action", required=True, metavar="show|ls|check")
    shower = actions.add_parser("show", help="print a trace, a column per thread")
    shower.add_argument("file", type=Path, metavar="FILE")
    shower.add_argument(
        "--steps",
        type=window,
        default=(None, None),
        metavar="A:B",
        help="show steps A to B, both included; either may be left out (default: the last 200)",
    )
    shower.add_argument("--no-stacks", action="store_true", help="leave the backtraces out")
    lister = actions.add_parser("ls", help="list the traces of a directory with their verdicts")
    lister.add_argument("directory", type=Path, nargs="?", default=DIRECTORY, metavar="DIR")
    checker = actions.add_parser("check", help="say whether a file is a whole and valid trace")
    checker.add_argument("file", type=Path, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Do what `add_parser`'s arguments say; return the exit code: 0, or 2 for bad input."""
    actions = {"show": _show, "ls": _ls, "check": _check}
    try:
        for line in actions[args.trace_action](args):
            print(line)
    except InputError as error:
        print(f"stage3 trace: {plain(str(error))}", file=sys.stderr)
        return BAD_INPUT
    return OK


def window(text: str) -> tuple[int | None, int | None]:
    """Return `A:B` as two step indices, None where one is left out; a lone `A` is `A:A`."""
    first, colon, last = text.partition(":")
    low, high = _index(first), _index(last if colon else first)
    if low is not None and high is not None and low > high:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins: say {high}:{low}")
    return low, high


def _index(text: str) -> int | None:
    if text and not (text.isdecimal() and text.isascii() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a step number: say for example 10:20")
    return int(text) if text else None


def _show(args: argparse.Namespace) -> Iterator[str]:
    trace = load(args.file)
    first, last = args.steps
    width = shutil.get_terminal_size((120, 24)).columns
    yield show(
        trace,
        first=first,
        last=last,
        stacks=not args.no_stacks,
        width=width,
        file=str(args.file),
    ).rstrip("\n")


def _ls(args: argparse.Namespace) -> Iterator[str]:
    """Yield a line for each file; one that cannot be read is listed with the reason."""
    files = list_files(args.directory)
    if not files:
        yield f"no trace in {plain(str(args.directory))}"
    for path in files:
        try:
            trace = load(path)
        except TraceError as error:
            yield f"{plain(path.name)}  unreadable: {plain(error.problem)}"
            continue
        verdict = trace.failure.cause if trace.failure else "no failure"
        yield f"{plain(path.name)}  {plain(verdict)}  {len(trace.steps)} steps"


def _check(args: argparse.Namespace) -> Iterator[str]:
    """Yield one line: reading the file is the check."""
    trace = load(args.file)
    verdict = trace.failure.cause if trace.failure else "no failure"
    yield f"{plain(str(args.file))}: a valid trace of {len(trace.steps)} steps, {plain(verdict)}"
