"""The search loop: budgets, grouping, statistics, verdicts; and replay.

Promises: after a find the exploration goes on; findings are grouped by (cause class, key), and a
group reports the share of schedules that fail that way. The first schedule of each group is run
again with every listener on, and once more on OS threads if greenlets found it; if one of these runs
does not fail in the same way the group says so and the verdict is inconclusive. A budget that is
spent is a budget, not a proof.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from traces import token as tokens
from verify import _real
from verify.abc import (
    UNFINISHED,
    ScheduleMismatchError,
    is_complete,
    is_thorough,
    name_of,
    remaining,
    restart,
    short_of,
    tell,
)
from verify.builds import ANY, RUNNING, is_for_another, judge
from verify.determinism import Log, second_run
from verify.explain.finds import simplify_all
from verify.record import Origin, Recorder, trace_of
from verify.runtime.carriers import GREENLETS, THREADS
from verify.session import Outcome, Session
from verify.strategies.replay import Replay
from verify.watchdog import Blocked, print_hang

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traces.explanation import Explanation, Shrunk
    from traces.schema import Trace
    from verify.abc import Detector, ExecutionView, Finding, TaskView
    from verify.measure import Measure
    from verify.program import Program
    from verify.strategies import NamedStrategy

    Progress = Callable[["Exploration"], None]

PROGRESS_EVERY_S = 0.5
HELD = "held on OS threads"
MOST_ALONE = 10
"""Executions without a thread, and with nothing else to choose, after which no other kind is expected."""
ALONE = (
    "no execution started a thread, so there is nothing to interleave; "
    "name a function that starts the threads it is about"
)


class Verdict(StrEnum):
    """What an exploration came to; never stronger than its evidence."""

    FOUND = "found"
    EXHAUSTED = "exhausted"
    NOT_FOUND = "not found within the budget"
    INCONCLUSIVE = "inconclusive"


@dataclass
class Group:
    """Findings of one kind: the first schedule that shows it, and how many others do.

    `first` is the number of the execution that found it (from 1) and `first_s` the seconds since
    the start; `wrong` says why its replay is not to be trusted, if so; `held` says whether its
    schedule fails on OS threads too ("" where nothing was run again). `granularity` is part of what
    `choices` mean; `build` says which builds of Python can show it; `shrunk` what became of the schedule
    found, `explanation` which orders make it fail, where that was asked for.
    """

    finding: Finding
    choices: tuple[int, ...]
    first: int
    first_s: float
    count: int = 1
    trace: Trace | None = None
    token: str = ""
    wrong: str = ""
    held: str = ""
    granularity: str = "sync"
    build: str = ""
    shrunk: Shrunk | None = None
    explanation: Explanation | None = None

    @property
    def doubt(self) -> str:
        """Return why this is no certain find, or an empty string."""
        if self.finding.cause == UNFINISHED:
            return self.finding.message
        return self.wrong or ("" if self.held in {"", HELD} else self.held)


@dataclass(frozen=True, slots=True)
class Lost:
    """A part of a divided search that came to nothing: which and why, in one line, and what was left of it."""

    text: str
    report: tuple[str, ...] = ()


@dataclass
class Exploration:
    """The state, and at the end the result, of one exploration.

    `threads` is the most tasks that an execution had; where it is `threaded`, there are to be more than one.
    `short` says what is missing to a confidence asked for, None where none was; `left` what the strategy says is
    left to do; `measure` what was counted on the way.
    """

    program: Program
    strategy: str
    seed: int
    executions: int = 0
    steps: int = 0
    seconds: float = 0.0
    groups: dict[tuple[str, ...], Group] = field(default_factory=dict)
    notes: dict[tuple[str, ...], Group] = field(default_factory=dict)
    warnings: dict[tuple[str, ...], Group] = field(default_factory=dict)
    diverged: str = ""
    exhausted: bool = False
    worth: str = ""
    granularity: str = "sync"
    backend: str = GREENLETS
    parts: str = ""
    """Where the search was divided, into what."""
    lost: list[Lost] = field(default_factory=list)
    hopes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """What was to be reached (`verify.sometimes`): how often it was asked for, and how often reached."""
    threads: int = 0
    threaded: bool = False
    short: str | None = None
    left: str = ""
    measure: Measure | None = None

    @property
    def why(self) -> str:
        """Say why this proves nothing although no execution failed, or an empty string."""
        if self.diverged:
            return self.diverged
        if not self.executions:
            return "nothing was explored"
        return ALONE if self.alone else self.short or "; ".join(self.unmet)

    @property
    def alone(self) -> bool:
        """Whether there was nothing to interleave, although there should have been."""
        return self.threads == 1 and self.threaded

    @property
    def verdict(self) -> Verdict:
        """Return the verdict."""
        if self.diverged or any(group.doubt for group in self.groups.values()):
            return Verdict.INCONCLUSIVE
        if self.groups:
            return Verdict.FOUND
        if self.why:
            return Verdict.INCONCLUSIVE
        if self.exhausted:
            return Verdict.EXHAUSTED
        return Verdict.INCONCLUSIVE if self.lost else Verdict.NOT_FOUND

    @property
    def unmet(self) -> tuple[str, ...]:
        """Return a sentence for each goal that no execution reached."""
        return tuple(
            f"never true in {self.executions:,} executions: sometimes {name!r}, asked {asked:,} times"
            for name, (asked, reached) in self.hopes.items()
            if not reached
        )

    @property
    def explained(self) -> bool:
        """Whether what is inconclusive says its reason itself."""
        said = [self.diverged, *(group.doubt for group in self.groups.values())]
        return all(explains_itself(text) for text in said if text)

    @property
    def failing(self) -> int:
        """Return how many executions failed in any way."""
        return sum(group.count for group in self.groups.values())

    def fails(self, builds: str) -> bool:
        """Whether a failure counts; with `builds` "running" the groups have to be judged already."""
        return any(
            builds != RUNNING or not is_for_another(group.build) for group in self.groups.values()
        )

    @property
    def exit_code(self) -> int:
        """Return 0, 1 or 4 as the command line promises."""
        return {Verdict.FOUND: 1, Verdict.INCONCLUSIVE: 4}.get(self.verdict, 0)


def explains_itself(why: str) -> bool:
    """Whether a difference names its cause: a blocked call, a run-twice check, a need of OS threads."""
    return why.startswith(
        ("blocked outside the check", "two runs of one schedule", "did not hold", "no end after")
    )


def explore(
    program: Program,
    strategy: NamedStrategy,
    *,
    executions: int | None = 1000,
    seconds: float | None = None,
    first_only: bool = False,
    progress: Progress | None = None,
    backend: str = GREENLETS,
    on_hang: Callable[[str], None] = print_hang,
    check_determinism: int = 0,
    builds: str = ANY,
    confirming: bool = True,
    opened: Session | None = None,
    shrink: float = 0.0,
    measure: Measure | None = None,
    threaded: bool = False,
) -> Exploration:
    """Run `program` under `strategy` until the budget (executions, seconds, or both) is spent.

    `backend` is "greenlets" (fast) or "threads" (an OS thread a task: for code that needs its own).
    `on_hang` gets the text about a task that is blocked in a call nothing can interrupt. The first
    `check_determinism` schedules are run twice; the search stops where two runs differ. With `builds`
    "running" a failure that this build of Python cannot show is a warning, not a find. Without `confirming` the
    first schedules of the groups are left to `settle`. `opened` is a session that is open already, for this program and
    backend, and learns: it is used in place of a new one. `shrink` are the seconds in which all finds together are
    shrunk and explained (`verify.explain`), 0 for not at all. `measure` counts what executions show, and may end
    the search. A `threaded` program is expected to start threads: a search none of whose executions does is
    inconclusive, and ends soon.
    """
    state = Exploration(program, strategy.name, strategy.seed, backend=backend)
    state.measure, state.threaded = measure, threaded
    detectors = program.detectors()
    start = told = _real.perf_counter()
    own = (
        Session(program, backend, on_hang=on_hang, learn=True) if opened is None else opened.anew()
    )
    with own as session:
        session.watch.thorough = is_thorough(strategy)
        while executions is None or state.executions < executions:
            if not strategy.new_execution():
                state.exhausted = is_complete(strategy)
                break
            twice = state.executions < check_determinism
            watching = [*measure.listeners(strategy), *detectors] if measure else detectors
            outcome = (_run_twice if twice else _run)(session, strategy, watching, state)
            if state.diverged or _take_in(session, strategy, state, outcome, start):
                break
            if first_only and _found_one(session, state, strategy, builds):
                break
            now = _real.perf_counter()
            state.seconds = now - start
            if seconds is not None and state.seconds >= seconds:
                break
            if progress is not None and now - told >= PROGRESS_EVERY_S:
                told = now
                state.left = remaining(strategy)
                progress(state)
        state.seconds = _real.perf_counter() - start
        state.granularity = session.watch.granularity.text
        if confirming:
            settle(session, state, strategy, builds, shrink=shrink)
    for detector in detectors:
        state.hopes.update(detector.hopes())
    _weigh(state, strategy)
    return state


def settle(
    session: Session,
    state: Exploration,
    strategy: NamedStrategy,
    builds: str,
    *,
    shrink: float = 0.0,
) -> None:
    """Confirm each group once, and make those of other builds warnings where only the running one counts.

    All groups together are shrunk and explained for `shrink` seconds.
    """
    _confirm_all(session, state, strategy)
    simplify_all(
        session,
        list(state.groups.values()),
        shrink,
        lambda group: record_again(session, group, strategy),
    )
    if builds == RUNNING:
        state.warnings = {key: of for key, of in state.groups.items() if is_for_another(of.build)}
        state.groups = {key: of for key, of in state.groups.items() if key not in state.warnings}


def _take_in(
    session: Session, strategy: NamedStrategy, state: Exploration, outcome: Outcome, start: float
) -> bool:
    """Count the execution that is over, tell who learns from it, and say whether there is nothing more to learn."""
    state.executions += 1
    state.steps += outcome.steps
    state.threads = max(state.threads, outcome.tasks)
    news = len(state.groups)
    if outcome.finding is not None or outcome.notes:
        _sort_in(state, outcome, _real.perf_counter() - start)
    measure = state.measure
    if measure is not None:
        measure.ended(outcome.steps)
    _learn(session, strategy, outcome, measure, news=len(state.groups) > news)
    if state.alone and state.executions >= MOST_ALONE and not outcome.choices:
        return True
    return measure is not None and measure.reached


def _weigh(state: Exploration, strategy: NamedStrategy) -> None:
    state.worth = strategy.worth(state.executions)
    if not state.exhausted:
        state.short = short_of(strategy)
        if state.measure is not None and state.measure.unseen is not None:
            state.short = state.measure.short(strategy.name)


def _found_one(session: Session, state: Exploration, strategy: NamedStrategy, builds: str) -> bool:
    """Whether a group fails the check; where that depends on the build, a new one is judged at once."""
    if builds == RUNNING:
        _confirm_all(session, state, strategy)
    return state.fails(builds)


def _confirm_all(session: Session, state: Exploration, strategy: NamedStrategy) -> None:
    for group in state.groups.values():
        if not group.build:
            confirm(session, group, strategy)


def _learn(
    session: Session,
    strategy: NamedStrategy,
    outcome: Outcome,
    measure: Measure | None,
    *,
    news: bool,
) -> None:
    cut = outcome.steps > session.program.settings.max_steps
    tell(strategy, outcome.choices, news=news, cut=cut)
    watch = session.watch
    if watch.surveying and watch.granularity.text != outcome.granularity:
        # Pairs learned on the way change the tree of schedules.
        restart(strategy)
        if measure is not None:
            measure.restart()


def _run(
    session: Session, strategy: NamedStrategy, watching: Sequence[Detector], state: Exploration
) -> Outcome:
    outcome = session.run(strategy, watching)
    if outcome.abort is not None:
        state.diverged = why_not(outcome.abort)
    return outcome


def _run_twice(
    session: Session, strategy: NamedStrategy, watching: Sequence[Detector], state: Exploration
) -> Outcome:
    log = Log()
    outcome = _run(session, strategy, [log, *watching], state)
    if not state.diverged:
        with session.at(outcome.granularity):
            state.diverged = str(second_run(session, outcome, log) or "")
    return outcome


def why_not(abort: BaseException, kind: str = "") -> str:
    """Say what ended an execution that is neither a pass nor a find."""
    if isinstance(abort, Blocked):
        return str(abort)
    return f"{kind or type(abort).__name__}: {abort}"


def _sort_in(state: Exploration, outcome: Outcome, seconds: float) -> None:
    if outcome.finding is not None:
        _count(state.groups, outcome.finding, outcome, state.executions, seconds)
    once = {(note.cause, *note.key): note for note in reversed(outcome.notes)}
    for note in once.values():
        _count(state.notes, note, outcome, state.executions, seconds)


def _count(
    table: dict[tuple[str, ...], Group],
    finding: Finding,
    outcome: Outcome,
    number: int,
    seconds: float,
) -> None:
    key = (finding.cause, *finding.key)
    group = table.get(key)
    if group is None:
        table[key] = Group(
            finding, outcome.choices, number, seconds, granularity=outcome.granularity
        )
    else:
        group.count += 1


def confirm(session: Session, group: Group, strategy: NamedStrategy) -> None:
    """Run the group's schedule again with every listener on, and on OS threads: fills in trace, token and doubts."""
    group.build, group.choices = judge(
        session, group.finding, group.choices, group.granularity, group.first
    )
    with session.at(group.granularity):
        record_again(session, group, strategy)


def record_again(session: Session, group: Group, strategy: NamedStrategy) -> None:
    """Run the group's choices, where the session stands, with every listener on: fills in trace, token and doubts."""
    program = session.program
    recorder = Recorder()
    replay = Replay(group.choices)
    replay.new_execution()
    watching = [recorder, *program.detectors()]
    outcome = session.run(replay, watching, record_sites=True, on_stop=recorder.snapshot)
    group.wrong = _difference(group, outcome)
    if group.wrong or outcome.finding is None:
        return
    details = (*outcome.finding.details, f"build: {group.build}")
    group.finding = replace(outcome.finding, details=details)
    origin = Origin(strategy.name, strategy.seed)
    group.trace = trace_of(program, recorder, group.choices, group.finding, origin)
    group.token = tokens.encode(tokens.from_trace(group.trace))
    group.held = _on_threads(session, group, group.trace)


def _on_threads(session: Session, group: Group, trace: Trace) -> str:
    if session.backend == THREADS:
        return HELD
    replayer = Replayer(session.program, tokens.decode(group.token), trace=trace)
    difference = replayer.once(session, backend=THREADS).difference
    if not difference:
        return HELD
    return (
        f"did not hold on OS threads: {difference}; "
        "if the program needs threads of its own, explore with backend threads"
    )


def _difference(group: Group, outcome: Outcome) -> str:
    if isinstance(outcome.abort, Blocked):
        return str(outcome.abort)
    if outcome.abort is not None:
        return f"its schedule does not fit a second run ({outcome.abort}): something outside the schedule decides"
    if outcome.finding is None:
        return "the second run of its schedule did not fail: something outside the schedule decides"
    if (outcome.finding.cause, outcome.finding.key) != (group.finding.cause, group.finding.key):
        return f"the second run of its schedule failed otherwise: {outcome.finding.message}"
    return ""


class _StepCheck(Recorder):
    """Compares each step with the recorded one and stops at the first that differs."""

    def __init__(
        self, token: tokens.Token, steps: Sequence[tuple[str, str, str]] | None, *, full: bool
    ) -> None:
        super().__init__()
        self.token = token
        self.expected = steps
        self.full = full
        self.digest = tokens.RunDigest()
        self.at = 0

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Check one step."""
        at = self.at
        name = name_of(target)
        check = self.digest.fold(task.path, op, name)
        checks = self.token.checks
        if at >= len(checks) or checks[at] != check:
            wanted = ""
            if self.expected is not None and at < len(self.expected):
                wanted = f"; recorded: {' '.join(self.expected[at])}"
            elif at >= len(checks):
                wanted = f"; the recorded run ended after {len(checks)} steps"
            raise ScheduleMismatchError(f"step {at} is {task.path} {op} {name}{wanted}")
        self.at = at + 1
        if self.full:
            super().operation(execution, task, op, target)


@dataclass(frozen=True)
class Replayed:
    """One replay: `identical` says that every step and the end were as recorded, `difference` what was not."""

    identical: bool
    difference: str
    finding: Finding | None
    steps: int
    trace: Trace | None = None


class Replayer:
    """Replays one token (or trace) in a session, as often as wanted."""

    def __init__(
        self,
        program: Program,
        token: tokens.Token,
        *,
        trace: Trace | None = None,
    ) -> None:
        self.program = program
        self.token = token
        self.trace = trace
        self.steps = (
            [(step.task, step.op, step.object) for step in trace.steps]
            if trace is not None
            else None
        )

    def once(self, session: Session, *, record: bool = False, backend: str = "") -> Replayed:
        """Replay once; `record` keeps steps, sites and stacks; `backend` if other than the session's."""
        check = _StepCheck(self.token, self.steps, full=record)
        replay = Replay(self.token.choices)
        replay.new_execution()
        outcome = session.run(
            replay,
            [check, *self.program.detectors()],
            record_sites=record,
            on_stop=check.snapshot if record else None,
            backend=backend,
        )
        difference = self._judge(check, outcome)
        trace = None
        if record and not difference:
            origin = Origin("replay", 0)
            trace = trace_of(self.program, check, self.token.choices, outcome.finding, origin)
        return Replayed(not difference, difference, outcome.finding, outcome.steps, trace)

    def _judge(self, check: _StepCheck, outcome: Outcome) -> str:
        if outcome.abort is not None:
            return why_not(outcome.abort, "divergence")
        if check.at != self.token.steps:
            return f"divergence: the run ended after {check.at} steps, the recorded one after {self.token.steps}"
        if check.digest.digest() != self.token.final:
            return "divergence: every step's check byte agreed, but the digest of the run does not"
        if outcome.choices != self.token.choices:
            return "divergence: the run used fewer choices than recorded"
        if self.trace is not None and self.trace.failure is not None:
            found = outcome.finding
            key = (found.cause, *found.key) if found is not None else ()
            if key != self.trace.failure.key:
                return f"divergence: the run ended with {key}, the recorded one with {self.trace.failure.key}"
        return ""


def replay(
    program: Program,
    token: tokens.Token,
    *,
    trace: Trace | None = None,
    times: int = 1,
    backend: str = GREENLETS,
    on_hang: Callable[[str], None] = print_hang,
) -> list[Replayed]:
    """Replay `token` on `program` `times` times, the first of them recorded in full; on either backend."""
    program = program.at(token.granularity)
    replayer = Replayer(program, token, trace=trace)
    with Session(program, backend, on_hang=on_hang) as session:
        return [replayer.once(session, record=not at) for at in range(times)]
