"""`stage3 explore`, `replay`, `merge` and `coverage`; `verify-fix` and `regression` have their own module.

Promises: exit codes 0 (asked and done, nothing found; a budget spent is said as such), 1 (a bug
found), 2 (bad input, one line), 4 (inconclusive: divergence, a task blocked in a call that the check
does not control, nothing explored). Every find is written as a trace file, whole or not at all, and
named with the line that replays it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from traces import artifacts, store
from traces import token as tokens
from traces.errors import InputError
from traces.text import plain, show
from verify import detecting, registry, report
from verify import program as programs
from verify import progress as watchers
from verify.abc import UsageError
from verify.builds import ANY, CHOICES
from verify.certificate import command as certificates
from verify.certificate.writing import Keeping
from verify.config import SHRINK_S, Config, find
from verify.coverage import command as coverage_command
from verify.coverage import save as store_coverage
from verify.detectors import ON_REQUEST
from verify.durable import command as durable
from verify.durable.regression import program_for
from verify.durable.replaying import follow
from verify.durable.text import followed
from verify.explore import Exploration, explains_itself, explore, replay
from verify.goals import Goal, settle
from verify.granularity import MODES
from verify.parallel import command as parallel
from verify.runtime.carriers import BACKENDS, GREENLETS
from verify.strategies import DFS, PCT, STRATEGIES
from verify.strategies.fair import Fair
from verify.worth import CONFIDENCE

if TYPE_CHECKING:
    from traces.schema import Trace
    from verify.coverage import Coverage
    from verify.explore import Group, Progress
    from verify.strategies import NamedStrategy

OK, FOUND, BAD_INPUT, INCONCLUSIVE = 0, 1, 2, 4
DEFAULT_EXECUTIONS = 1000
RUN_TWICE = 20


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands of this module, `verify-fix` and `regression` to those of `stage3`."""
    _explore_parser(
        subparsers.add_parser("explore", help="search the interleavings of a function for bugs")
    )
    _replay_parser(
        subparsers.add_parser("replay", help="run a recorded schedule again, checking every step")
    )
    _shrinking(parallel.add_merge(subparsers))
    coverage_command.add_parser(subparsers)
    durable.add_parsers(subparsers, positive, seconds)


def _explore_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target",
        metavar="MODULE:FUNCTION",
        help="a function without parameters, or ?name=value after it",
    )
    parser.add_argument(
        "--strategy",
        metavar="NAME | MODULE:CLASS",
        help=f"one of {', '.join(STRATEGIES)} (default {registry.DEFAULT}), or one of your own",
    )
    parser.add_argument(
        "--preemptions",
        type=natural,
        metavar="N",
        help="the bound of --strategy dfs: all schedules with at most N preemptions",
    )
    _budget(parser)
    parser.add_argument("--seed", type=int, help="default 0")
    parser.add_argument(
        "--pct",
        type=pct_bounds,
        metavar="N,K,D",
        help="PCT's plain mode: N tasks, K choices, depth D",
    )
    parser.add_argument(
        "--fair",
        action="store_true",
        help="who gives way waits for those it kept waiting, whatever the strategy prefers",
    )
    parser.add_argument(
        "--package",
        action="append",
        default=[],
        metavar="NAME",
        help="also part of the program under test",
    )
    parser.add_argument(
        "--granularity",
        choices=MODES,
        help="where scheduling points lie (default: what the target asks for, else auto)",
    )
    parser.add_argument(
        "--builds",
        choices=CHOICES,
        help="which failures count: of any build of Python (default), or those alone that the running one can show",
    )
    _detect(parser, "watch by these besides")
    parser.add_argument("--first", action="store_true", help="stop at the first find")
    parser.add_argument(
        "--check-determinism",
        type=positive,
        nargs="?",
        const=RUN_TWICE,
        default=0,
        metavar="N",
        help=f"run the first N schedules (default {RUN_TWICE}) twice and name the first operation that differs",
    )
    _shrinking(parser)
    _backend(parser)
    certificates.add_option(parser)
    _output(parser)
    parallel.add_options(parser)


def _shrinking(parser: argparse.ArgumentParser) -> None:
    shrink = parser.add_mutually_exclusive_group()
    shrink.add_argument(
        "--shrink",
        type=seconds,
        metavar="SECONDS",
        help=f"how long to shrink and explain what was found (default {SHRINK_S:g}, all finds together)",
    )
    shrink.add_argument(
        "--no-shrink", action="store_true", help="show the schedules as they were found"
    )


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help=f"where traces go (default {store.DIRECTORY})"
    )
    parser.add_argument(
        "--coverage",
        type=Path,
        metavar="FILE",
        help="add the orders of conflicting operations that were run to FILE, and list those that were not",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--executions",
        type=positive,
        help=f"stop after N executions (default {DEFAULT_EXECUTIONS})",
    )
    parser.add_argument("--seconds", type=seconds, help="stop after S seconds")
    parser.add_argument(
        "--bug-depth",
        type=positive,
        metavar="D",
        help="run PCT as often as its bound asks for, so that a bug of depth D would have shown",
    )
    parser.add_argument(
        "--unseen",
        type=share,
        metavar="P",
        help="run until the next run shows something new with a chance of at most P, like 0.01",
    )
    parser.add_argument(
        "--confidence",
        type=share,
        metavar="C",
        help=f"in what --bug-depth or --unseen ask for (default {CONFIDENCE})",
    )


def _replay_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        metavar="FILE | MODULE:FUNCTION",
        help="a trace file, or the target a token belongs to",
    )
    parser.add_argument(
        "token",
        nargs="?",
        metavar="TOKEN | FILE",
        help="s3:1:... as printed by a report, or a trace file: on another text it is followed by its anchors",
    )
    parser.add_argument("--times", type=positive, default=1, help="replay N times and compare all")
    parser.add_argument(
        "--package", action="append", default=[], metavar="NAME", help="as given to explore"
    )
    _detect(parser, "as given to explore")
    parser.add_argument("--no-stacks", action="store_true", help="leave the backtraces out")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the run's trace, with its page, in DIR"
    )
    _backend(parser)


def _detect(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--detect",
        action="extend",
        type=detecting.split,
        default=[],
        metavar="NAME,...",
        help=f"{what}: {', '.join(ON_REQUEST)}, or module:Class",
    )


def _backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help=f"who carries the tasks; threads: an OS thread each (default {GREENLETS})",
    )


def positive(text: str) -> int:
    """Return a whole number above zero."""
    if not (text.isascii() and text.isdecimal() and int(text[:12]) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def seconds(text: str) -> float:
    """Return a number of seconds above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return value


def share(text: str) -> float:
    """Return a number between 0 and 1, both left out."""
    value = seconds(text) if text else 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} does not lie between 0 and 1")
    return value


def natural(text: str) -> int:
    """Return a whole number, zero included."""
    return 0 if text == "0" else positive(text)


def pct_bounds(text: str) -> tuple[int, int, int]:
    """Return PCT's n, k and d."""
    parts = text.split(",")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not N,K,D: say for example 3,20,2")
    n, k, d = (positive(part.strip()) for part in parts)
    return n, k, d


def run_explore(args: argparse.Namespace) -> int:
    """Explore, report, and return the exit code."""
    try:
        defaults = find(Path.cwd())
        certificates.fill_in(args, divided=parallel.divides(args))
        fill_in(args, defaults)
        program = programs.load(args.target, args.package).watched(args.detect)
        wanted = args.granularity or (None if program.asked else defaults.granularity)
        program = program.by_default(wanted)
        goal: Goal = args.goal
        strategy = _strategy(args, goal)
        keeping = Keeping(strategy) if args.certificate else None
        executions = goal.executions(args.executions, args.seconds, DEFAULT_EXECUTIONS)
        with nullcontext() if args.json else watchers.choose() as progress:
            if parallel.divides(args):
                _refuse_undivided(args)
                state = parallel.explored(
                    args, program, executions=executions, progress=progress, on_hang=_give_up
                )
            else:
                state = _explored(args, program, keeping or strategy, executions, progress)
        coverage = _cover(state, args.coverage)
        files = _files(state, args.output)
        said = certificates.write(state, keeping, args.certificate) if keeping else ""
    except (UsageError, InputError) as error:
        return refuse("explore", error)
    code = _told(state, files, coverage, as_json=args.json)
    if said:
        print(said, file=sys.stderr if args.json else sys.stdout)
    return code


def _explored(
    args: argparse.Namespace,
    program: programs.Program,
    strategy: NamedStrategy,
    executions: int | None,
    progress: Progress | None,
) -> Exploration:
    goal: Goal = args.goal
    return explore(
        program,
        Fair(strategy) if args.fair else strategy,
        executions=executions,
        seconds=args.seconds,
        first_only=args.first,
        progress=progress,
        backend=args.backend,
        on_hang=_give_up,
        check_determinism=args.check_determinism,
        builds=args.builds,
        shrink=args.shrink,
        measure=goal.measure(whole=args.coverage is not None),
        threaded=True,
    )


def _refuse_undivided(args: argparse.Namespace) -> None:
    if args.goal.asked or args.coverage is not None:
        name = "--coverage" if args.coverage is not None else "what a pass is to be worth"
        raise UsageError(
            f"{name} is counted over one search, and this one is divided; leave --workers and its like away"
        )


def run_merge(args: argparse.Namespace) -> int:
    """Put journals together, report as `run_explore` does, and return the exit code."""
    try:
        _fill_in_last(args, find(Path.cwd()))
        state = parallel.together(args.journals, on_hang=_give_up, shrink=args.shrink)
        files = _files(state, args.output)
    except (UsageError, InputError) as error:
        return refuse("merge", error)
    return _told(state, files, None, as_json=args.json)


def _files(state: Exploration, output: Path) -> dict[tuple[str, ...], str]:
    shown = {**state.groups, **state.warnings}
    return {key: _store(group, output) for key, group in shown.items()}


def _told(
    state: Exploration,
    files: dict[tuple[str, ...], str],
    coverage: Coverage | None,
    *,
    as_json: bool,
) -> int:
    if as_json:
        print(json.dumps(_as_json(state, files), indent=1))
        return state.exit_code
    print(report.summary(state))
    if coverage is not None:
        print(coverage_command.text(coverage))
    for key, group in {**state.groups, **state.warnings}.items():
        print(f"\n{'-' * 80}\n{report.failure(group, files[key])}", end="")
        if files[key]:
            print(*artifacts.where(files[key]), sep="\n")
    for lost in state.lost[: report.MOST_LOST]:
        if lost.report:
            print(f"\n{'-' * 80}\n{report.loss(lost)}")
    return state.exit_code


def fill_in(args: argparse.Namespace, defaults: Config) -> None:
    """Put the defaults of pyproject.toml, then our own, where the command line gives nothing."""
    given = Config(
        executions=args.executions,
        seconds=args.seconds,
        strategy=args.strategy,
        confidence=args.confidence,
        bug_depth=args.bug_depth,
        unseen=args.unseen,
    )
    budget = settle(given, defaults)
    args.executions, args.seconds, args.goal = budget.executions, budget.seconds, budget.goal
    args.strategy = budget.strategy or (None if budget.goal.asked else registry.DEFAULT)
    if args.seed is None:
        args.seed = defaults.seed or 0
    args.backend = args.backend or defaults.backend or GREENLETS
    args.builds = args.builds or defaults.builds or ANY
    args.package = args.package or list(defaults.packages)
    args.detect = args.detect or list(defaults.detect)
    _fill_in_last(args, defaults)


def _fill_in_last(args: argparse.Namespace, defaults: Config) -> None:
    """Put the defaults of what is done with finds."""
    if args.shrink is None:
        args.shrink = SHRINK_S if defaults.shrink is None else defaults.shrink
    if args.no_shrink:
        args.shrink = 0.0
    args.output = args.output or defaults.output or store.DIRECTORY


def _strategy(args: argparse.Namespace, goal: Goal) -> NamedStrategy:
    if goal.bug_depth is not None and args.fair:
        raise UsageError(
            "--fair makes other schedules than PCT's bound is about; leave it away with --bug-depth"
        )
    if goal.bug_depth is not None and args.pct is not None:
        raise UsageError("--pct gives the bounds that --bug-depth measures; say one of them")
    if args.pct is not None:
        if args.strategy != "pct":
            raise UsageError("--pct sets PCT's plain mode; say --strategy pct with it")
        n, k, d = args.pct
        return PCT(args.seed, tasks=n, choices=k, depth=d)
    if args.preemptions is not None:
        if args.strategy != "dfs":
            raise UsageError("--preemptions bounds depth-first search; say --strategy dfs with it")
        return DFS(args.seed, preemptions=args.preemptions)
    return goal.searcher(args.strategy, args.seed)


def _give_up(text: str) -> None:
    # From the watchdog's thread: the main thread is in a call that nothing can interrupt.
    watchers.give_back_terminal(sys.stderr)
    print(f"stage3: inconclusive: {text}", file=sys.stderr, flush=True)
    os._exit(INCONCLUSIVE)


def _cover(state: Exploration, file: Path | None) -> Coverage | None:
    """Add what was run to the coverage in `file`; return what is there then."""
    if file is None or state.measure is None:
        return None
    program = state.program
    return store_coverage(state.measure.pairs.coverage(program.target, program.digest), file)


def _store(group: Group, directory: Path) -> str:
    return str(artifacts.keep(group.trace, directory)) if group.trace is not None else ""


def _as_json(state: Exploration, files: dict[tuple[str, ...], str]) -> dict[str, object]:
    return {
        "verdict": str(state.verdict),
        "target": state.program.target,
        "digest": state.program.digest,
        "strategy": state.strategy,
        "seed": state.seed,
        "backend": state.backend,
        "executions": state.executions,
        "steps": state.steps,
        "seconds": round(state.seconds, 3),
        "worth": state.worth,
        "short": state.short,
        "measured": state.measure.as_json() if state.measure is not None else None,
        "granularity": state.granularity,
        "diverged": state.diverged,
        "parts": state.parts,
        "lost": [lost.text for lost in state.lost],
        "sometimes": {name: list(counts) for name, counts in state.hopes.items()},
        "groups": [_group_json(group, files[key]) for key, group in state.groups.items()],
        "warnings": [_group_json(group, files[key]) for key, group in state.warnings.items()],
        "notes": [_group_json(group, "") for group in state.notes.values()],
    }


def _group_json(group: Group, file: str) -> dict[str, object]:
    turning = group.trace.turning if group.trace is not None else None
    return {
        "cause": group.finding.cause,
        "message": group.finding.message,
        "details": list(group.finding.details),
        "key": list(group.finding.key),
        "count": group.count,
        "first": group.first,
        "token": group.token,
        "trace": file,
        "page": str(artifacts.page_of(Path(file))) if file else "",
        "not_reproduced": group.wrong,
        "held": group.held,
        "granularity": group.granularity,
        "build": group.build,
        "shrunk": asdict(group.shrunk) if group.shrunk is not None else None,
        "explanation": asdict(group.explanation) if group.explanation is not None else None,
        "turning": asdict(turning) if turning is not None else None,
    }


def run_replay(args: argparse.Namespace) -> int:
    """Replay a trace file or a token, and return the exit code."""
    try:
        program, token, trace = _what(args)
        if trace is not None and trace.anchors and program.digest != token.program_digest:
            return _followed(args, program, trace)
        programs.refuse_other(program, token)
        runs = replay(
            program,
            token,
            trace=trace,
            times=args.times,
            backend=args.backend or GREENLETS,
            on_hang=_give_up,
        )
        kept = _kept(args, runs[0].trace)
    except (UsageError, InputError) as error:
        return refuse("replay", error)
    identical = sum(run.identical for run in runs)
    first = runs[0]
    if first.trace is not None:
        print(show(first.trace, stacks=not args.no_stacks), end="")
        print(*kept, sep="\n", end="\n" if kept else "")
    print(
        f"\nreplayed {len(runs)} times: {identical} identical step for step ({token.steps} steps)"
    )
    if identical < len(runs):
        different = next(run for run in runs if not run.identical)
        print(different.difference)
        if not explains_itself(different.difference):
            print("likely cause: something outside the schedule decides (wall clock, files, hash order, state kept "
                  "between runs); stage3 explore --check-determinism looks for it")  # fmt: skip
        return INCONCLUSIVE
    return FOUND if first.finding is not None else OK


def _kept(args: argparse.Namespace, trace: Trace | None) -> tuple[str, ...]:
    """Keep the run where that is asked for, and return the lines that name it."""
    if args.keep is None or trace is None:
        return ()
    return artifacts.where(str(artifacts.keep(trace, args.keep, kind="replay")))


def _followed(args: argparse.Namespace, program: programs.Program, trace: Trace) -> int:
    if args.times > 1 or args.backend or args.keep:
        raise UsageError(
            f"{program.target} is another text than the one recorded: it is followed once, on greenlets; "
            "leave --times, --backend and --keep away"
        )
    run = follow(program, trace, on_hang=_give_up)
    print(followed(run))
    return run.exit_code


def _what(args: argparse.Namespace) -> tuple[programs.Program, tokens.Token, Trace | None]:
    if args.token is not None and (args.token.endswith(".json") or Path(args.token).is_file()):
        trace = store.load(Path(args.token))
        program = program_for(trace, args.what, args.package, args.detect)
        return program, tokens.from_trace(trace), trace
    if args.token is not None:
        token = tokens.decode(args.token)
        defaults = find(Path.cwd())
        program = programs.load(args.what, args.package or defaults.packages)
        return program.watched(args.detect or defaults.detect), token, None
    if ":" in args.what and not Path(args.what).exists():
        raise UsageError(
            f"{args.what!r} needs a token behind it: stage3 replay {args.what} s3:1:..."
        )
    trace = store.load(Path(args.what))
    packages = args.package or trace.program.options.get("packages", "").split()
    detect = args.detect or trace.program.options.get(detecting.OPTION, "").split()
    program = programs.load(trace.program.target, packages).watched(detect)
    return program, tokens.from_trace(trace), trace


def run_coverage(args: argparse.Namespace) -> int:
    """Merge coverage files and list what was never tried; return the exit code."""
    try:
        print(coverage_command.run(args))
    except InputError as error:
        return refuse("coverage", error)
    return OK


def refuse(command: str, error: Exception) -> int:
    """Print one line about bad input; return exit code 2."""
    print(f"stage3 {command}: {plain(str(error))}", file=sys.stderr)
    return BAD_INPUT
