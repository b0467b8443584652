"""`stage3 explore --workers ...` and `stage3 merge`: a divided search on the command line.

Promises: exit codes are those of `stage3 explore`; a search that was interrupted says the line that goes on with it.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verify import detecting
from verify.abc import UsageError
from verify.explore import Lost
from verify.parallel import exploring, journals
from verify.parallel.merging import merged
from verify.parallel.search import BATCH, MOST_BATCH, Search
from verify.supervise import Journal, Shard, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.explore import Exploration, Progress
    from verify.program import Program

MOST_WORKERS: Final = 256
MOST_JOURNALS: Final = 10_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what divides a search to the options of `stage3 explore`."""
    group = parser.add_argument_group(
        "several cores and machines",
        "any of these divides the search into batches, each with a seed of its own; the result is the same for any "
        "number of workers and shards",
    )
    group.add_argument("--workers", type=workers, metavar="N", help="run batches in N processes")
    group.add_argument(
        "--batch", type=batch, metavar="N", help=f"executions of a batch (default {BATCH})"
    )
    group.add_argument("--shard", metavar="i/n", help="run this part of the batches alone")
    files = group.add_mutually_exclusive_group()
    files.add_argument(
        "--journal", type=Path, metavar="FILE", help="keep what ends in this new file"
    )
    files.add_argument(
        "--resume", type=Path, metavar="FILE", help="go on with the search of this journal"
    )
    group.add_argument(
        "--dask", metavar="ADDRESS", help="run batches on the workers of this Dask scheduler"
    )


def add_merge(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add `merge` to the commands of `stage3`; return its parser."""
    parser = subparsers.add_parser(
        "merge", help="put the journals of the shards of one search together"
    )
    parser.add_argument(
        "journals", nargs="+", type=Path, metavar="FILE", help="journals of stage3 explore --shard"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="where traces go")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


def workers(text: str) -> int:
    """Return a number of worker processes."""
    return _whole(text, "a number of workers", MOST_WORKERS)


def batch(text: str) -> int:
    """Return a number of executions."""
    return _whole(text, "a number of executions", MOST_BATCH)


def _whole(text: str, what: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:12]) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from 1 to {most:,}")
    return int(text)


def divides(args: argparse.Namespace) -> bool:
    """Whether the arguments of `stage3 explore` ask for a divided search."""
    given = (args.workers, args.batch, args.shard, args.journal, args.resume, args.dask)
    return any(value is not None for value in given)


def explored(
    args: argparse.Namespace,
    program: Program,
    *,
    executions: int | None,
    progress: Progress | None,
    on_hang: Callable[[str], None],
) -> Exploration:
    """Run the divided search that `args` ask for."""
    if args.workers is not None and args.dask is not None:
        raise UsageError(
            "--workers are processes here, and --dask names others; give one of the two"
        )
    search = replace(
        Search.of(program, tuple(args.package)),
        strategy=args.strategy,
        pct=args.pct,
        fair=args.fair,
        seed=args.seed,
        executions=executions,
        batch=args.batch or BATCH,
        shard=Shard.parse(args.shard) if args.shard is not None else Shard(),
        first_only=args.first,
        twice=args.check_determinism,
        backend=args.backend,
        builds=args.builds,
        detect=detecting.unique(args.detect),
    )
    with ExitStack() as stack:
        journal = None
        if args.journal is not None:
            journal = stack.enter_context(Journal.create(args.journal, search.header()))
        elif args.resume is not None:
            journal = stack.enter_context(Journal.resume(args.resume, search.header()))
        try:
            return exploring.explore(
                program,
                search,
                workers=args.workers or 1,
                seconds=args.seconds,
                journal=journal,
                cluster=args.dask or "",
                progress=progress,
                on_hang=on_hang,
                shrink=args.shrink,
            )
        except KeyboardInterrupt:
            if journal is not None:
                print(f"go on:  {_going_on(args, search, journal)}", file=sys.stderr)  # noqa: T201 - a command prints
            raise
        except WorkerError as error:
            raise UsageError(f"no worker could be started: {error}") from None


def _going_on(args: argparse.Namespace, search: Search, journal: Journal) -> str:
    words = ["--resume", str(journal.path)]
    if args.workers is not None:
        words += ["--workers", str(args.workers)]
    if args.dask is not None:
        words += ["--dask", args.dask]
    if args.seconds is not None:
        words += ["--seconds", f"{args.seconds:g}"]
    return search.line(*words)


def together(
    paths: list[Path], *, on_hang: Callable[[str], None], shrink: float = 0.0
) -> Exploration:
    """Return what the journals at `paths` come to together; the program is loaded here to confirm their finds.

    What was found is shrunk and explained for `shrink` seconds.
    """
    batches, missing = journals.gather(paths[:MOST_JOURNALS])
    program = batches.search.program()
    state = merged(program, batches, exploring.spent(batches))
    exploring.confirm(state, batches.search, on_hang=on_hang, shrink=shrink)
    state.lost += map(Lost, missing)
    return state
