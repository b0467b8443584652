"""`stage3 reproduce`: from a hang report of real threads to a schedule that replays the hang.

Promises: exit codes 1 (the hang was found under control, and its schedule fails again in the same way, on OS threads,
too), 2 (bad input, one line, before anything runs), 4 (not found, or not certain). What was found is written as a
trace file, whole or not at all, and named with the line that replays it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.files import directory_for
from stress.hang import stored
from stress.reproduce import evidence as evidences
from stress.reproduce import target as targets
from stress.reproduce.text import told
from traces import artifacts, store
from traces.errors import InputError
from verify import program as programs
from verify.abc import UsageError
from verify.cli import BAD_INPUT, FOUND, INCONCLUSIVE, positive, refuse, seconds
from verify.config import find
from verify.steering import CAUSES, steer

if TYPE_CHECKING:
    import argparse

__all__ = ["BAD_INPUT", "add_parser", "run"]

DEFAULT_EXECUTIONS: Final = 1000


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of `stage3 reproduce`."""
    parser = commands.add_parser(
        "reproduce",
        help="turn a hang report into a schedule that replays",
        description="Runs the program of a hang report under control, steered by the order of operations that the "
        "report's recording holds, until an execution ends in the same hang; writes its schedule as a trace.",
        epilog="Exit codes: 1 reproduced, 2 bad input, 4 not reproduced within the budget.",
    )
    add = parser.add_argument
    add("hang", type=Path, metavar="HANG.json", help="a hang-PID.json of stage3 watch or stress")
    add("--target", metavar="MODULE:FUNCTION", help="what hung (default: as the report says)")
    add(
        "--executions",
        type=positive,
        help=f"stop after N executions (default {DEFAULT_EXECUTIONS})",
        metavar="N",
    )
    add("--seconds", type=seconds, help="stop after S seconds", metavar="S")
    add("--seed", type=int, default=0, help="of the deviations from the recorded order (0)")
    add(
        "--package",
        action="append",
        default=[],
        metavar="NAME",
        help="also part of the program under test",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        default=store.DIRECTORY,
        help=f"where the trace goes ({store.DIRECTORY})",
    )


def run(args: argparse.Namespace) -> int:
    """Run `stage3 reproduce` with parsed arguments; return the exit code."""
    here = Path.cwd()
    try:
        directory_for("--output", args.output)
        evidence = evidences.of(stored.read(args.hang), str(args.hang))
        if evidence.report.verdict not in CAUSES:
            return _beyond(evidence.report.verdict)
        chosen = targets.find(evidence, args.target, here)
        packages = args.package or find(here).packages
        program = programs.load(chosen.target, packages).by_default(None)
        changed = evidences.changes(evidence, here)
        state = steer(
            program,
            evidence.course,
            evidence.report.verdict,
            executions=args.executions or (None if args.seconds else DEFAULT_EXECUTIONS),
            seconds=args.seconds,
            seed=args.seed,
            busy=evidence.busy,
            on_hang=_give_up,
        )
        group = state.group
        traced = group is not None and group.trace is not None
        file = ""
        if group is not None and group.trace is not None:
            file = str(artifacts.keep(group.trace, args.output, kind="reproduce"))
    except (UsageError, InputError) as error:
        return refuse("reproduce", error)
    sys.stdout.write(told(state, evidence, chosen, changed, file))
    return FOUND if traced and not state.doubt else INCONCLUSIVE


def _beyond(verdict: str) -> int:
    sys.stdout.write(
        f"not reproduced: a hang of the kind {verdict!r} happens inside one call of C, where no schedule decides; "
        "its report has the stack\n"
    )
    return INCONCLUSIVE


def _give_up(text: str) -> None:
    # From the watchdog's thread: the main thread is in a call that nothing can interrupt.
    sys.stderr.write(f"stage3 reproduce: inconclusive: {text}\n")
    sys.stderr.flush()
    os._exit(INCONCLUSIVE)
