"""The umbrella command `stage3`.

Promises: every command has one parser and one function; exit codes are those of the README; a fault
of our own prints its traceback behind the words "internal error in stage3" and exits with 3.
Commands that run controlled executions start over with a fixed hash seed, since it cannot be set in
a process that is already running.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from typing import TYPE_CHECKING

from stress import hunt, migrate, museum, vm
from stress.jobs import command as stress_command
from stress.migration import guestperf, vinod
from stress.reproduce import command as reproduce
from stress.watchdog import command as watch
from traces import cli as trace_cli
from verify import cli as verify_cli
from verify.certificate import command as certificates
from verify.durable import command as durable
from verify.lock_order import command as lock_order
from verify.record import own_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Commands = dict[str, Callable[[argparse.Namespace], int]]

INTERNAL = 3
CONTROLLED = frozenset(
    {
        "certificate",
        "explore",
        "replay",
        "merge",
        "reproduce",
        "hunt",
        "museum",
        "lock-order",
        "regression",
        "verify-fix",
    }
)


def _parser() -> tuple[argparse.ArgumentParser, Commands]:
    parser = argparse.ArgumentParser(
        prog="stage3",
        description="Finds the thread interleaving that breaks Python code, replays it, says what hung.",
    )
    parser.add_argument("--version", action="version", version=f"stage3 {own_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    verify_cli.add_parsers(commands)
    certificates.add_parser(commands)
    trace_cli.add_parser(commands)
    migrate.add_parser(commands)
    vm.add_parser(commands)
    hunt.add_parser(commands)
    museum.add_parser(commands)
    guestperf.add_parser(commands)
    vinod.add_parser(commands)
    watch.add_parser(commands)
    stress_command.add_parser(commands)
    reproduce.add_parser(commands)
    lock_order.add_parser(commands)
    table: Commands = {
        "explore": verify_cli.run_explore,
        "replay": verify_cli.run_replay,
        "merge": verify_cli.run_merge,
        "coverage": verify_cli.run_coverage,
        "certificate": certificates.run,
        "verify-fix": durable.run_verify_fix,
        "regression": durable.run_regression,
        "trace": trace_cli.run,
        "migrate": migrate.run,
        "vm": vm.run,
        "hunt": hunt.run,
        "museum": museum.run,
        "guestperf": guestperf.run,
        "vinod-2012": vinod.run,
        "watch": watch.run,
        "stress": stress_command.run,
        "reproduce": reproduce.run,
        "lock-order": lock_order.run,
    }
    return parser, table


def parse(given: Sequence[str]) -> tuple[argparse.Namespace, Commands]:
    """Return the parsed arguments, with `behind`, the words of a command behind `--`, and the table of commands."""
    words, behind = list(given), []
    if words[:1] in (["stress"], ["watch"]) and "--" in words:
        at = words.index("--")
        words, behind = words[:at], words[at + 1 :]
    parser, table = _parser()
    args = parser.parse_args(words)
    args.behind = behind
    return args, table


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    args, table = parse(given)
    if args.command in CONTROLLED and argv is None:
        fix_hash_seed(given)
    try:
        return table[args.command](args)
    except KeyboardInterrupt:
        print("stage3: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001 - the last resort: say whose fault it is
        print("internal error in stage3; please report it with what follows", file=sys.stderr)
        traceback.print_exc()
        return INTERNAL


def fix_hash_seed(argv: Sequence[str]) -> None:
    """Start this command over with PYTHONHASHSEED=0 unless set: sets of strings then have one order."""
    if os.environ.get("PYTHONHASHSEED") in {None, "random"}:
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        os.execve(sys.executable, [sys.executable, "-m", "stress.cli", *argv], environment)  # noqa: S606 - no shell


if __name__ == "__main__":
    sys.exit(main())
