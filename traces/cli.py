"""`stage3 trace`: looks at trace files, makes pages of them, compares them, exports them.

Promises: bad input of any kind gives one line on standard error and exit code 2, no traceback;
`show`, `check`, `ls` and `diff` write nothing anywhere; what the others write is there whole or not at all.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from traces import artifacts, diff
from traces.errors import InputError, TraceError
from traces.html.beside import beside
from traces.html.page import page, verdict
from traces.perfetto import to_perfetto
from traces.store import DIRECTORY, list_files, load, write_bytes, write_whole
from traces.text import plain, show

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["add_parser", "run"]

OK = 0
BAD_INPUT = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `trace` to the commands of `stage3`; its parsed arguments are for `run`."""
    parser = subparsers.add_parser(
        "trace", help="show, draw, compare, export, list or check recorded runs"
    )
    actions = parser.add_subparsers(
        dest="trace_action", required=True, metavar="show|html|diff|export|ls|check"
    )
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
    lister.add_argument(
        "--html", action="store_true", help="write the directory's index.html anew, and name it"
    )
    checker = actions.add_parser("check", help="say whether a file is a whole and valid trace")
    checker.add_argument("file", type=Path, metavar="FILE")
    _add_pictures(actions)


def _add_pictures(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    drawer = actions.add_parser(
        "html", help="write a timeline as a page of its own, or two traces side by side"
    )
    drawer.add_argument("file", type=Path, metavar="FILE")
    drawer.add_argument("other", type=Path, nargs="?", metavar="OTHER", help="to compare it with")
    drawer.add_argument(
        "-o", "--output", type=Path, metavar="PAGE", help="default: beside FILE, as .html"
    )
    differ = actions.add_parser("diff", help="compare two traces, aligned by operation")
    differ.add_argument("file", type=Path, metavar="FILE")
    differ.add_argument("other", type=Path, metavar="OTHER")
    exporter = actions.add_parser("export", help="write a trace in another program's format")
    exporter.add_argument("file", type=Path, metavar="FILE")
    exporter.add_argument(
        "--perfetto", action="store_true", required=True, help="for ui.perfetto.dev"
    )
    exporter.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="default: beside FILE, as .pftrace"
    )


def run(args: argparse.Namespace) -> int:
    """Do what `add_parser`'s arguments say; return the exit code: 0, or 2 for bad input."""
    actions = {
        "show": _show, "ls": _ls, "check": _check, "html": _html, "diff": _diff, "export": _export,
    }  # fmt: skip
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


def _width() -> int:
    return shutil.get_terminal_size((120, 24)).columns


def _show(args: argparse.Namespace) -> Iterator[str]:
    trace = load(args.file)
    first, last = args.steps
    yield show(
        trace,
        first=first,
        last=last,
        stacks=not args.no_stacks,
        width=_width(),
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
        yield f"{plain(path.name)}  {plain(verdict(trace))}  {len(trace.steps)} steps"
    if args.html:
        yield plain(str(artifacts.write_index(args.directory)))


def _check(args: argparse.Namespace) -> Iterator[str]:
    """Yield one line: reading the file is the check."""
    trace = load(args.file)
    steps = len(trace.steps)
    yield f"{plain(str(args.file))}: a valid trace of {steps} steps, {plain(verdict(trace))}"


def _html(args: argparse.Namespace) -> Iterator[str]:
    """Write the page, and yield its name."""
    trace = load(args.file)
    if args.other is None:
        made = page(trace, str(args.file))
        path = args.output or artifacts.page_of(args.file)
    else:
        made = beside(trace, load(args.other), (args.file.name, args.other.name))
        path = args.output or args.file.with_name(f"{args.file.stem}-beside-{args.other.stem}.html")
    _unless_input(path, args.file, args.other)
    write_whole(path, made, "the page")
    yield plain(str(path))


def _diff(args: argparse.Namespace) -> Iterator[str]:
    names = (str(args.file), str(args.other))
    yield from diff.text(load(args.file), load(args.other), names, _width())


def _export(args: argparse.Namespace) -> Iterator[str]:
    path = args.output or args.file.with_suffix(".pftrace")
    _unless_input(path, args.file)
    write_bytes(path, to_perfetto(load(args.file)), "the export")
    yield plain(str(path))


def _unless_input(path: Path, *inputs: Path | None) -> None:
    """Refuse to write over a trace that is read."""
    for each in inputs:
        if each is not None and path.exists() and each.exists() and path.samefile(each):
            raise TraceError(str(path), "is the trace itself", "name another file with -o")
