"""`stage3 hunt`: the tour. A real migration, the search of the July 2012 design, replays, and the corrected design.

Promises: the search is given scenarios and budgets and no hint where the faults are; `KNOWN` only
names, afterwards, what was found, and decides whether everything came out as this demonstration
claims (exit code 0) or not (1). Every number printed was counted in this run. Same seed, same
finds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress import hunt_jobs as jobs
from stress import hunt_text as text
from stress import samples
from stress.migrate import MigrateOptions, migrate
from stress.migration import scenarios
from traces import store
from verify.abc import UsageError
from verify.cli import refuse
from verify.explore import Verdict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from stress.hunt_jobs import Find, Job, Result

OK, DIFFERENT = 0, 1
CLOSED_EXECUTIONS: Final = 1500
WHOLE_EXECUTIONS: Final = 500
AUDIT_EXECUTIONS: Final = 100
VCPU_EXECUTIONS: Final = 400
VCPU_COUNTS: Final = (1, 2, 4, 10)
STRATEGIES: Final = ("random", "pct")
AUDITED: Final = (
    ("lock order", "locks taken against the declared order"),
    ("shared state without its lock", "shared state that no lock protects"),
    ("blocking under a lock", "operations that may block while a lock is held that others need"),
)
MOSTLY: Final = 0.99
REPLAYS: Final = (100, 1, 1, 1, 1, 1)
"""Replays of each find: so many in one fresh process, then once in each of five others."""


@dataclass(frozen=True)
class Known:
    """A fault of the list in docs/july-2012.md, recognised by its cause class and a word of its key or message."""

    name: str
    cause: str
    word: str

    def matches(self, find: Find) -> bool:
        """Say whether `find` is this fault."""
        return find.cause == self.cause and any(
            self.word in part for part in (*find.key, find.message)
        )


KNOWN: Final = (
    Known("(a) spurious full re-dirty", "broken invariant", "dirty at sync"),
    Known("(b) H1 drain without refill", "spin", "drain"),
    Known("(b) H6 ramlist mutex left locked", "self-deadlock", "RamList.mutex"),
    Known("(b) H8 blocking write under the big lock", "deadlock", "socket.send"),
    Known("(c) H2 stop acknowledged too early", "broken invariant", "guest stands still"),
    Known("(c) H5 lost wake-up on the pause condition", "lost wake-up", "pause condition"),
)


@dataclass
class Merged:
    """One kind of failure over all scenarios and strategies: where it showed, and how often."""

    find: Find
    shares: dict[str, list[int]] = field(default_factory=dict)
    """Scenario -> failing executions, all executions."""
    first: int = 0
    first_in: str = ""
    passed: dict[str, int] = field(default_factory=dict)
    """Scenario -> executions that did not fail at all."""

    @property
    def always(self) -> list[str]:
        """Scenarios in which every schedule fails this way, but for a few that another fault ends first."""
        return [
            name
            for name, (failing, executions) in self.shares.items()
            if self.passed.get(name) == 0 and failing >= MOSTLY * executions
        ]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `hunt` to the commands of `stage3`."""
    parser = subparsers.add_parser(
        "hunt", help="find the faults of July 2012, replay them, migrate a real guest"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--output", type=Path, default=store.DIRECTORY, metavar="DIR", help="where traces go"
    )


def run(args: argparse.Namespace) -> int:
    """Do the tour; return 0 if everything came out as claimed, else 1."""
    start = time.monotonic()
    say = text.say
    try:
        wrong = _migrate_a_guest(args.output)
    except UsageError as error:
        return refuse("hunt", error)
    found = jobs.run_all(_jobs("rfc_v1", args))
    merged = merge(found)
    wrong += _report_finds(found, merged)
    wrong += _replay(merged)
    wrong += _audit(args)
    wrong += _fewer_vcpus(args)
    wrong += _corrected(args)
    text.where(merged, args.output)
    say(f"\n{time.monotonic() - start:.0f} s in all. " + text.outcome(wrong))
    return DIFFERENT if wrong else OK


def _migrate_a_guest(output: Path) -> list[str]:
    text.title(1, "a real guest, migrated by design `thread` over TCP while its vCPUs write")
    sample = samples.sample()
    result = migrate(
        MigrateOptions(
            image=sample.path, vcpus=2, max_bandwidth=8 << 20, dirty_rate=500, output=output
        )
    )
    text.say(f"  {sample.name}: 16 MiB of RAM as QEMU wrote it, two processes, two vCPU threads")
    for line in result.lines():
        text.say(f"  {line}")
    return [] if result.equal else ["the migrated guest is not equal to its source"]


def _jobs(design: str, args: argparse.Namespace) -> list[Job]:
    budgets = [(name, CLOSED_EXECUTIONS) for name in scenarios.CLOSED]
    budgets += [(name, WHOLE_EXECUTIONS) for name in scenarios.WHOLE]
    return [
        jobs.Job(target(name, design), strategy, executions, args.seed, str(args.output))
        for name, executions in budgets
        for strategy in STRATEGIES
    ]


def target(name: str, design: str, vcpus: int | None = None) -> str:
    """Return the target of a scenario."""
    more = f"&vcpus={vcpus}" if vcpus is not None else ""
    return f"stress.migration.scenarios:{name}?design={design}{more}"


def scenario_of(job: Job) -> str:
    """Return the scenario of a job."""
    return job.target.partition(":")[2].partition("?")[0]


def merge(results: Sequence[Result]) -> list[Merged]:
    """Put the same failures of different jobs together; the shortest trace stands for all."""
    totals: dict[str, int] = {}
    passed: dict[str, int] = {}
    for result in results:
        name = scenario_of(result.job)
        totals[name] = totals.get(name, 0) + result.executions
        passed[name] = passed.get(name, 0) + result.executions - result.failing
    table: dict[tuple[str, ...], Merged] = {}
    for result in results:
        name = scenario_of(result.job)
        for find in result.finds:
            merged = table.setdefault(
                find.key, Merged(find, first=find.first, first_in=name, passed=passed)
            )
            merged.shares.setdefault(name, [0, totals[name]])[0] += find.count
            if find.file and text.steps_of(find.file) < text.steps_of(merged.find.file):
                merged.find = find
            if find.first < merged.first:
                merged.first, merged.first_in = find.first, name
    return sorted(
        table.values(),
        key=lambda merged: (_rank(merged.find), -sum(s[0] for s in merged.shares.values())),
    )


def _rank(find: Find) -> int:
    return next((at for at, known in enumerate(KNOWN) if known.matches(find)), len(KNOWN))


def label(find: Find) -> str:
    """Return the name of the known fault that `find` is, or nothing."""
    return next((known.name for known in KNOWN if known.matches(find)), "")


def _report_finds(results: Sequence[Result], merged: Iterable[Merged]) -> list[str]:
    executions = sum(result.executions for result in results)
    seconds = sum(result.seconds for result in results)
    text.title(
        2,
        f"design `rfc_v1` explored: {executions:,} executions of {len(scenarios.CLOSED + scenarios.WHOLE)} scenarios "
        f"({seconds:.0f} s of one core), no hint given",
    )
    kinds = list(merged)
    always = [each for each in kinds if each.always]
    text.say(
        "\n  In every schedule of a scenario, but for those another fault ended first (set-up or size decide):"
    )
    for each in always:
        text.find(each, label(each.find))
    text.say("\n  In some schedules only:")
    for each in kinds:
        if not each.always:
            text.find(each, label(each.find))
    wrong = [f"{result.job.target}: {result.trouble}" for result in results if result.trouble]
    names = {label(each.find) for each in kinds}
    return wrong + [f"not found: {known.name}" for known in KNOWN if known.name not in names]


def _replay(merged: Sequence[Merged]) -> list[str]:
    text.title(3, "each find replayed 100 times in one fresh process, and once in each of 5 others")
    files = [each.find.file for each in merged]
    wrong = []
    for each, row in zip(merged, jobs.replay_all(files, REPLAYS), strict=True):
        identical = sum(count for count, _ in row)
        text.say(
            f"  {identical} of {sum(REPLAYS)} identical step for step: {each.find.cause}, {Path(each.find.file).name}"
        )
        wrong += [f"{each.find.file}: {difference}" for _, difference in row if difference]
    return wrong


def _audit(args: argparse.Namespace) -> list[str]:
    text.title(4, '"which locking issues have I missed?" - the audit of `rfc_v1`')
    targets = [target(name, "rfc_v1") for name in ("locking", "locking_on_error")]
    results = jobs.run_all(
        [
            jobs.Job(each, "random", AUDIT_EXECUTIONS, args.seed, str(args.output))
            for each in targets
        ]
    )
    notes = {note.key: note for result in results for note in result.notes}
    for cause, words in AUDITED:
        mine = sorted(
            (note for note in notes.values() if note.cause == cause), key=lambda note: note.key
        )
        text.say(f"  {words}: {len(mine) or 'none'}")
        for note in mine:
            text.note(note)
    healthy = jobs.run_all(
        [
            jobs.Job(each.replace("rfc_v1", "thread"), "random", AUDIT_EXECUTIONS, args.seed, "")
            for each in targets
        ]
    )
    left = [note for result in healthy for note in result.notes]
    text.say(f"  the same audit of `thread`: {len(left)} notes")
    return [f"the audit of `thread` notes: {note.message}" for note in left]


def _fewer_vcpus(args: argparse.Namespace) -> list[str]:
    text.title(
        5, '"try less vcpus, same ram": failing schedules of the stop hand-shake of `rfc_v1`'
    )
    wanted = [
        jobs.Job(
            target("stop_handshake", "rfc_v1", count),
            strategy,
            VCPU_EXECUTIONS,
            args.seed,
            str(args.output),
        )
        for count in VCPU_COUNTS
        for strategy in STRATEGIES
    ]
    results = jobs.run_all(wanted)
    for count in VCPU_COUNTS:
        mine = [result for result in results if result.job.target.endswith(f"vcpus={count}")]
        failing, executions = sum(r.failing for r in mine), sum(r.executions for r in mine)
        text.say(
            f"  {count:2} vCPUs: {failing:4} of {executions} executions fail ({100 * failing / executions:.0f} %)"
        )
    return [result.trouble for result in results if result.trouble]


def _corrected(args: argparse.Namespace) -> list[str]:
    results = jobs.run_all(_jobs("thread", args))
    bounded = jobs.run_all([_bounded(result) for result in results if _is_closed_pct(result)])
    executions = sum(result.executions for result in (*results, *bounded))
    text.title(
        6,
        f"design `thread`, same scenarios and budget, plus PCT's plain mode on the closed: {executions:,} executions",
    )
    wrong = []
    for result in (*results, *bounded):
        if result.verdict is not Verdict.NOT_FOUND:
            wrong += [
                f"`thread`, {scenario_of(result.job)}: {find.message}" for find in result.finds
            ]
            wrong += [result.trouble] if result.trouble else []
    for line in wrong:
        text.say(f"  FOUND {line}")
    if not wrong:
        text.say("  nothing found. What that is worth:")
        for result in (*bounded, *(result for result in results if result.job.strategy == "pct")):
            text.say(f"    {scenario_of(result.job)}: {result.worth}")
        text.say("    and as many random executions of each scenario; no bound holds for them")
    return wrong


def _is_closed_pct(result: Result) -> bool:
    return result.job.strategy == "pct" and scenario_of(result.job) in scenarios.CLOSED


def _bounded(learnt: Result) -> Job:
    """Return the job again in PCT's plain mode, for depth 2 and the sizes that the learning run saw, with a margin."""
    tasks, choices = learnt.size
    return replace(learnt.job, bounds=(tasks, choices + choices // 4, 2))
