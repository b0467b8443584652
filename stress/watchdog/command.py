"""`stage3 watch`: run a command, or look at a process that runs, and report it when it hangs.

Promises: exit code 5 after a hang, with a report; the command's own code otherwise; 2 for bad input, before
anything runs. The command and its children record what their threads wait for and hold.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import tempfile
from pathlib import Path

from stress.files import directory_for
from stress.watchdog import processes
from stress.watchdog.flights import flights_of
from stress.watchdog.sidecar import StartError, Watchdog
from traces.errors import InputError
from verify.abc import UsageError
from verify.cli import refuse, seconds
from verify.lock_order import store as orders
from verify.observe import launch

__all__ = ["add_parser", "run"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of `stage3 watch`."""
    parser = commands.add_parser(
        "watch",
        help="run a command; when it hangs, say who waits for whom, and end it",
        description="Runs COMMAND (or looks at process PID) from a process of its own. When nothing moves for the "
        "limit, writes hang-PID.txt, .json and .html with verdict, cause and every thread, and ends it.",
        epilog="Exit codes: 5 after a hang with a report, otherwise those of COMMAND (128 + signal when one ended it).",
    )
    add = parser.add_argument
    add("--limit", type=seconds, default=5.0, help="seconds without progress (5)", metavar="S")
    add("--time-limit", type=seconds, help="report and end it after S seconds anyway", metavar="S")
    add(
        "--output",
        type=Path,
        default=Path("stage3-out"),
        metavar="DIR",
        help="for reports (stage3-out)",
    )
    add(
        "--kill",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="end what hangs after the report (default: COMMAND yes, --pid no)",
    )
    add("--no-record", action="store_true", help="stacks alone: do not record in COMMAND")
    add(
        "--lock-order",
        type=Path,
        metavar="FILE",
        help="also merge the order in which its processes take locks into FILE",
    )
    add("--pid", type=int, help="look at a process that runs already")
    add("words", nargs="*", metavar="COMMAND", help="behind --")


def run(args: argparse.Namespace) -> int:
    """Run `stage3 watch` with parsed arguments; return the exit code."""
    try:
        _check(args)
        return _watched(args)
    except (UsageError, InputError) as error:
        return refuse("watch", error)


def _check(args: argparse.Namespace) -> None:
    pid: int | None = args.pid
    if (pid is None) == (not _command(args)):
        raise UsageError("give either a command (stage3 watch -- COMMAND ...) or --pid PID")
    if pid is not None and (pid <= 0 or processes.one(pid) is None):
        raise UsageError(f"--pid {pid}: no such process; `ps -e` lists those that run")
    if pid == os.getpid():
        raise UsageError(f"--pid {pid} is this command itself; give another process")
    directory_for("--output", args.output)
    if args.lock_order is not None:
        _check_order(args)


def _check_order(args: argparse.Namespace) -> None:
    """Refuse before the command runs what its processes could not do when they end."""
    file: Path = args.lock_order
    if args.pid is not None or args.no_record:
        raise UsageError(
            "--lock-order records a command from its first line: leave --pid and --no-record out"
        )
    directory_for("--lock-order", file.absolute().parent)
    if file.exists():
        orders.load(file)


def _command(args: argparse.Namespace) -> list[str]:
    """Return the command's words, also where nothing stood behind `--`."""
    return [*args.words, *args.behind]


def _watched(args: argparse.Namespace) -> int:
    words = _command(args)
    pid: int | None = args.pid
    with contextlib.ExitStack() as stack:
        flights = flights_of(pid) if pid is not None else None
        environment = None
        if pid is None and not args.no_record:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="stage3-flight-"))
            flights = Path(made)
            environment = launch.environment(flights, order=args.lock_order)
        watchdog = Watchdog(
            words if pid is None else pid,
            args.limit,
            args.output,
            kill=args.kill,
            time_limit_s=args.time_limit,
            flights=flights,
            environment=environment,
        )
        before = signal.signal(signal.SIGTERM, _ended)
        stack.callback(signal.signal, signal.SIGTERM, before)
        try:
            return watchdog.run().code
        except StartError as error:
            raise UsageError(
                f"{words[0]}: {error.strerror}; give a command that PATH finds"
            ) from None


def _ended(_number: int, _frame: object) -> None:
    """Leave by way of the clean-up: the command must not outlive its watch."""
    raise SystemExit(128 + signal.SIGTERM)
