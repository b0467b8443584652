"""`stage3 lock-order`: the lock order of targets and files, its cycles, and schedules that drive into them.

Promises: exit code 1 where a schedule ends in a cycle or a declared order is broken, 4 where a cycle is neither
confirmed nor excluded, 0 where there is none that counts, 2 for bad input, before anything is written. Files named by
options are written whole; `--into` merges with what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from traces import artifacts, lock_baseline
from traces import store as trace_store
from traces.errors import InputError
from traces.lock_order import Graph, Outcome, Status
from verify import program as programs
from verify import registry
from verify.abc import UsageError
from verify.cli import INCONCLUSIVE, natural, positive, refuse
from verify.config import find
from verify.granularity import MODES
from verify.lock_order import store
from verify.lock_order.collect import Collected, collect, confirmed_monitors
from verify.lock_order.confirm import steer_into_all
from verify.lock_order.exclude import every_schedule
from verify.lock_order.findings import (
    CYCLE,
    MONITOR,
    Found,
    Order,
    Standing,
    accepted_in,
    exit_code,
    findings,
    made_by,
    silent,
)
from verify.lock_order.merge import merged, with_outcome
from verify.lock_order.page import page
from verify.lock_order.pictures import dot, svg
from verify.lock_order.sarif import sarif
from verify.lock_order.text import lines
from verify.record import own_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.explore import Group
    from verify.program import Program

__all__ = ["add_parser", "run"]

EXECUTIONS: Final = 100
STEERED: Final = 200
EXHAUSTED: Final = 2000
MOST_NAME: Final = 60


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of `stage3 lock-order`."""
    parser = commands.add_parser(
        "lock-order",
        help="which locks are taken while which are held, and which cycles can become a deadlock",
        description="Explores targets, merges files, and judges every cycle: a schedule that ends in it, or why it "
        "is none. Files come from --into, from `stage3 watch --lock-order` and `pytest --stage3-lock-order`.",
        epilog="Exit codes: 1 a cycle confirmed or a declared order broken, 4 a cycle neither confirmed nor excluded, "
        "0 none that counts, 2 bad input.",
    )
    add = parser.add_argument
    add("what", nargs="+", metavar="MODULE:FUNCTION | FILE", help="what to explore, or to merge")
    add("--executions", type=positive, default=EXECUTIONS, metavar="N",
        help=f"executions of each target ({EXECUTIONS})")  # fmt: skip
    add("--steer", type=natural, default=STEERED, metavar="N",
        help=f"directed executions for each cycle and target ({STEERED}; 0: none)")  # fmt: skip
    add("--exhaust", type=natural, default=EXHAUSTED, metavar="N",
        help=f"run every schedule of a target, if N suffice, to exclude the rest ({EXHAUSTED})")  # fmt: skip
    add("--strategy", metavar="NAME", default=registry.DEFAULT, help="of the executions to collect")
    add("--seed", type=int, default=0, help="default 0")
    add("--package", action="append", default=[], metavar="NAME", help="as for stage3 explore")
    add("--granularity", choices=MODES, help="default: what the target asks for, else sync")
    add("--order", metavar="NAME,NAME", default="", help="the declared order, outermost first")
    add("--leaf", action="append", default=[], metavar="NAME", help="under which none is taken")
    add("--into", type=Path, metavar="FILE", help="merge the graph into FILE")
    add("--baseline", type=Path, metavar="FILE", help="findings that are accepted")
    add("--write-baseline", type=Path, metavar="FILE", help="accept what is found from now on")
    add("--reason", default="", metavar="TEXT", help="why it is accepted (--write-baseline)")
    add("--expires", type=_day, metavar="YYYY-MM-DD", help="until when (--write-baseline)")
    add("--dot", type=Path, metavar="FILE", help="write the graph in Graphviz' language")
    add("--svg", type=Path, metavar="FILE", help="write it as a picture")
    add("--html", type=Path, metavar="FILE", help="write picture, findings and edges as a page")
    add("--sarif", type=Path, metavar="FILE", help="write the findings for code scanning")
    add("--json", action="store_true", help="print the findings as one JSON object")
    add("--all", action="store_true", help="print every edge")
    add("--output", type=Path, default=trace_store.DIRECTORY, metavar="DIR",
        help=f"where traces go ({trace_store.DIRECTORY})")  # fmt: skip


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a day; say for example 2027-03-31"
        ) from None


@dataclass
class _Work:
    """What a command has gathered.

    `new` is what of the graph is not in the file of `--into`, `outcomes` what this command's own searches came to.
    """

    graph: Graph = field(default_factory=Graph)
    new: Graph = field(default_factory=Graph)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    collected: list[Collected] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def take(self, outcome: Outcome) -> None:
        """Keep what a search came to."""
        self.outcomes[outcome.fingerprint] = outcome
        self.graph = with_outcome(self.graph, outcome)


def run(args: argparse.Namespace) -> int:
    """Run `stage3 lock-order` with parsed arguments; return the exit code."""
    today = datetime.now(tz=UTC).date()
    try:
        accepted = store.load_baseline(args.baseline) if args.baseline is not None else ()
        work = _gathered(args)
        order = _order(args)
        _steer(args, work, order)
        _monitors(args, work)
        if args.into is not None:
            outcomes = {**work.new.outcomes, **work.outcomes}
            work.graph = store.merge_into(args.into, replace(work.new, outcomes=outcomes))
        found = accepted_in(findings(work.graph, order), accepted, today)
        _write(args, work.graph, found, [each for each in accepted if each.holds_on(today)])
    except (UsageError, InputError) as error:
        return refuse("lock-order", error)
    work.said += [
        f"accepted until {each.expires}, no longer: {each.title}: {each.reason}"
        for each in accepted
        if not each.holds_on(today)
    ]
    text = _as_json(work, found) if args.json else "\n".join(
        [*lines(work.graph, found, every=args.all), *work.said]
    )  # fmt: skip
    sys.stdout.write(f"{text}\n")
    return exit_code(found)


def _order(args: argparse.Namespace) -> Order:
    names = tuple(name.strip() for name in args.order.split(",") if name.strip())
    return Order(names, tuple(args.leaf))


def _gathered(args: argparse.Namespace) -> _Work:
    """Load and explore; bad input first, before the first execution."""
    files: list[str] = []
    targets: list[str] = []
    for what in args.what:
        (targets if ":" in what and not Path(what).exists() else files).append(what)
    known = [Path(file) for file in files if args.into is not None and _same(file, args.into)]
    old = [store.load(path) for path in known]
    graphs = [store.load(Path(file)) for file in files if Path(file) not in known]
    packages = args.package or find(Path.cwd()).packages
    work = _Work()
    for target in targets:
        program = programs.load(target, packages)
        granularity = args.granularity or (None if program.asked else "sync")
        work.programs.append(program.by_default(granularity))
    for program in work.programs:
        strategy = registry.make(args.strategy, args.seed)
        done = collect(program, strategy, executions=args.executions, on_hang=_give_up)
        if not done.executions:
            raise UsageError(f"{program.target}: {done.stopped or 'nothing ran'}")
        graphs.append(done.graph)
        work.collected.append(done)
        if done.stopped:
            work.said.append(f"{program.target}: {done.stopped}")
        work.said += [
            f"{program.target}: {times} of {done.executions} executions ended in {what}"
            for what, times in done.failures.most_common(5)
        ]
    work.new = merged(graphs)
    work.graph = merged([*old, work.new])
    return work


def _same(file: str, into: Path) -> bool:
    return Path(file).absolute() == into.absolute()


def _steer(args: argparse.Namespace, work: _Work, order: Order) -> None:
    """Drive every target into every cycle that is not confirmed yet."""
    for program in work.programs:
        cycles = [
            each.cycle
            for each in findings(work.graph, order)
            if each.cycle is not None
            and each.standing in {Standing.POTENTIAL, Standing.NOT_REACHED}
        ]
        if not cycles:
            return
        done = steer_into_all(
            program, cycles, runs=args.steer, seed=args.seed, on_hang=_give_up
        ) if args.steer else []  # fmt: skip
        for each in done:
            work.take(_longer(work.outcomes.get(each.outcome.fingerprint), each.outcome))
            if each.group is not None:
                _save(args, work, each.group)
    _exclude(args, work, order)


def _monitors(args: argparse.Namespace, work: _Work) -> None:
    """Give the nested monitors that executions ended in a schedule that shows it."""
    names = [each.fingerprint for each in findings(work.graph) if each.kind == MONITOR]
    for done in work.collected:
        strategy = registry.make(args.strategy, args.seed)
        for outcome, group in confirmed_monitors(done, names, strategy):
            work.take(outcome)
            _save(args, work, group)


def _save(args: argparse.Namespace, work: _Work, group: Group) -> None:
    if group.trace is not None:
        file = artifacts.keep(group.trace, args.output, kind="lock-order")
        work.said += artifacts.where(str(file))


def _longer(before: Outcome | None, outcome: Outcome) -> Outcome:
    """Add the executions of this command's earlier targets, which did not reach the cycle either."""
    if before is None or outcome.status is not Status.NOT_REACHED:
        return outcome
    return Outcome(
        outcome.fingerprint, outcome.status, before.runs + outcome.runs,
        f"{before.target} and {outcome.target}", "", outcome.note,
    )  # fmt: skip


def _exclude(args: argparse.Namespace, work: _Work, order: Order) -> None:
    """Say of what was not reached that no schedule of its target ends in it, where that can be shown.

    Only where that target alone makes the edges of the cycle: of others nothing is shown.
    """
    left = [
        each
        for each in findings(work.graph, order)
        if each.kind == CYCLE and each.standing in {Standing.POTENTIAL, Standing.NOT_REACHED}
    ]
    for done in work.collected if args.exhaust else []:
        mine = {
            each.fingerprint: each.cycle.classes
            for each in findings(done.graph)
            if each.cycle is not None
        }
        alone = [
            each
            for each in left
            if each.fingerprint in mine
            and made_by(work.graph, mine[each.fingerprint]) == {done.source}
        ]
        if not alone:
            continue
        name = re.sub(r"[^A-Za-z0-9._]+", "-", done.program.target).strip("-.")[:MOST_NAME]
        certificate = args.output / f"lock-order-{name}.cert"
        proof = every_schedule(
            done.program, certificate, executions=args.exhaust, seed=args.seed, on_hang=_give_up
        )
        for each in alone if proof else []:
            outcome = Outcome(
                each.fingerprint, Status.EXCLUDED, 0, done.program.target, "", proof,
                done.source,
            )  # fmt: skip
            work.take(outcome)


def _write(
    args: argparse.Namespace,
    graph: Graph,
    found: Sequence[Found],
    accepted: Sequence[lock_baseline.Accepted],
) -> None:
    if args.dot is not None:
        store.write(args.dot, dot(graph, found))
    if args.svg is not None:
        store.write(args.svg, svg(graph, found))
    if args.html is not None:
        store.write(args.html, page(graph, found))
    if args.sarif is not None:
        store.write(args.sarif, sarif(graph, found, own_version()))
    if args.write_baseline is not None:
        reason = args.reason or f"known on {datetime.now(tz=UTC).date()}"
        kept = {each.fingerprint: each for each in accepted}
        for each in found:
            if each.counts:
                kept[each.fingerprint] = lock_baseline.Accepted(
                    each.fingerprint, each.title, reason, args.expires
                )
        store.write(args.write_baseline, lock_baseline.to_json(tuple(kept.values())))


def _as_json(work: _Work, found: Sequence[Found]) -> str:
    return json.dumps(
        {
            "runs": work.graph.runs,
            "findings": [_found_json(each) for each in found],
            "silent": [
                {"classes": list(cycle.classes), "reason": cycle.reason, "detail": cycle.detail}
                for cycle in silent(work.graph, found)
            ],
            "incomplete": list(work.graph.notes),
            "said": work.said,
        },
        indent=1,
    )


def _found_json(each: Found) -> dict[str, object]:
    outcome = each.outcome
    return {
        "fingerprint": each.fingerprint,
        "kind": each.kind,
        "locks": list(each.names),
        "standing": each.standing.value,
        "text": each.text,
        "links": [asdict(link) for link in each.links],
        "accepted": each.accepted,
        "target": outcome.target if outcome is not None else "",
        "token": outcome.token if outcome is not None else "",
    }


def _give_up(text: str) -> None:
    # From the watchdog's thread: the main thread is in a call that nothing can interrupt.
    sys.stderr.write(f"stage3 lock-order: inconclusive: {text}\n")
    sys.stderr.flush()
    os._exit(INCONCLUSIVE)
