"""What became of a recorded failure in the text of now: fixed, masked, still failing, or not to be said.

| verdict | when |
|---|---|
| still failing | a schedule fails in the same way (`sameness`) and keeps every needed order that is left |
| masked | it fails in the same way, but only where these orders are not kept, or are gone |
| masked | it fails with the same cause elsewhere: the failure has moved |
| inconclusive | none of that, but no needed order is left, and a thread or function they speak of does not run |
| inconclusive | something outside the schedule decides, or an execution did not end |
| fixed | nothing of the kind was met around the recorded run nor among sampled schedules |

A failure that needs no order, or all of whose orders were never recorded, is still failing wherever it fails in the
same way.

1. Survey: random schedules show which places and threads there are now.
2. The neighbourhood: the recorded order, then schedules that keep the needed orders, and deviations (`following`).
3. Unless that fails in the same way: sampled schedules, as `stage3 explore` draws them.

Promises: what is said to fail was run again step for step, and its token replays it. "Fixed" is as strong as the
executions counted beside it: a budget spent is no proof. A failure of another kind that is met on the way is told, and
does not change the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from verify import _real
from verify.abc import UNFINISHED, UsageError
from verify.durable import reasons
from verify.durable.following import Following
from verify.durable.guide import Guide, Old
from verify.durable.orders import needed
from verify.durable.reasons import Tally
from verify.durable.renaming import translate
from verify.durable.sameness import is_of_its_kind, is_same
from verify.explore import Group, confirm, explore, why_not
from verify.granularity import parse
from verify.session import Session
from verify.strategies.portfolio import Portfolio
from verify.strategies.random_walk import RandomWalk
from verify.strategies.replay import Replay
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traces.anchors import Anchors
    from traces.schema import Failure, Trace
    from verify.abc import Detector, Finding, Strategy
    from verify.program import Program
    from verify.session import Outcome

SURVEY = 8
NEIGHBOURS = 120
LEAST_NEIGHBOURS = 20
"""Of these schedules, those that are run whatever time they take."""
EXECUTIONS = 1000
SECONDS = 30.0
MOST_SAID = 8
ELSEWHERE = "the recorded run does not fail any more, but another fails in the same way, and does not keep its orders"
MOVED = "the failure has moved: the recorded run does not fail any more, but one fails with the same cause elsewhere"


class Verdict(StrEnum):
    """What became of a recorded failure."""

    FIXED = "fixed"
    MASKED = "masked"
    FAILING = "still failing"
    INCONCLUSIVE = "inconclusive"


@dataclass
class Judgement:
    """A verdict and what it rests on.

    `why` is one sentence; `reasons` say which order is forbidden, or gone, and by what. `places` counts the places of
    recorded steps that are still there and all, `orders` the needed orders that are left and all; `gone` names the
    places that vanished. `group` is the failure met, with its token; `other` one of another kind.
    """

    program: Program
    verdict: Verdict = Verdict.FIXED
    why: str = ""
    reasons: tuple[str, ...] = ()
    places: tuple[int, int] = (0, 0)
    orders: tuple[int, int] = (0, 0)
    gone: tuple[str, ...] = ()
    executions: int = 0
    seconds: float = 0.0
    group: Group | None = None
    other: Group | None = None

    @property
    def exit_code(self) -> int:
        """0 fixed, 1 where a failure was met, 4 inconclusive."""
        if self.verdict is Verdict.INCONCLUSIVE:
            return 4
        return int(self.verdict is not Verdict.FIXED or self.other is not None)


def parts_of(trace: Trace) -> tuple[Anchors, Failure]:
    """Return a trace's anchors and failure; raise `UsageError` where it has none."""
    if trace.failure is None:
        raise UsageError("this trace shows no failure; give one that an exploration found")
    if trace.anchors is None:
        raise UsageError(
            "this trace has no anchors: an earlier stage3 wrote it; "
            f"check its text out (digest {trace.program.digest}) and record it again by stage3 explore"
        )
    return trace.anchors, trace.failure


class Judge:
    """One judgement under way."""

    def __init__(self, program: Program, trace: Trace, seed: int, seconds: float = SECONDS) -> None:
        self.anchors, self.failure = parts_of(trace)
        self.program = _at_mode(program, trace)
        self.pairs = parse(trace.program.granularity).pairs
        self.old = Old(self.anchors, needed(trace, self.anchors))
        self.seed = seed
        self.seconds = seconds
        self.state = Judgement(self.program)
        self.tally = Tally()
        self.following = Following(self.old, seed)
        self.granularity = ""
        self.unfinished = ""
        self.away: Group | None = None
        self.others: dict[tuple[str, ...], Group] = {}
        self.start = _real.perf_counter()

    # --- running

    def run(self, session: Session, strategy: Strategy, watching: Sequence[Detector]) -> Outcome:
        """Run once; `why` is set where nothing can be said."""
        strategy.new_execution()
        listeners = [*watching, *self.program.detectors()]
        outcome = session.run(strategy, listeners, record_sites=True)
        self.state.executions += 1
        if outcome.abort is not None:
            self.state.verdict = Verdict.INCONCLUSIVE
            self.state.why = why_not(outcome.abort)
        elif outcome.finding is not None and outcome.finding.cause == UNFINISHED:
            self.unfinished = outcome.finding.message
        return outcome

    @property
    def stopped(self) -> bool:
        """Whether something ended the search that is neither a pass nor a find."""
        return self.state.verdict is Verdict.INCONCLUSIVE

    def survey(self, session: Session) -> None:
        """Learn which places, threads and accesses there are."""
        walk, guide = RandomWalk(self.seed), Guide(self.old)
        for _ in range(SURVEY):
            if not self.stopped:
                self.run(session, walk, [guide])
        self.granularity = session.watch.granularity.grown(self.pairs).text
        guide.flush()
        self.old.places.met.clear()
        self.old.places.order.clear()
        self.old.places.visits.clear()
        with session.at(self.granularity):
            for again in range(2 * SURVEY):
                if again == SURVEY:
                    guide.flush()
                    self._settle()
                if not self.stopped:
                    self.run(session, walk, [guide])

    def _settle(self) -> None:
        self.old.places.settle()
        self.old.threads.claimed.clear()
        self.old.seen.clear()

    def neighbourhood(self, session: Session) -> None:
        """Go through schedules like the recorded one until one fails in the same way, keeping the orders."""
        for number in range(NEIGHBOURS):
            if number >= LEAST_NEIGHBOURS and _real.perf_counter() - self.start > self.seconds:
                return
            outcome = self.run(session, self.following, ())
            if self.stopped:
                return
            guide = self.following.listener
            self.tally.count(guide)
            if outcome.finding is None or outcome.finding.cause == UNFINISHED:
                continue
            found = self._group(outcome, outcome.finding)
            if not self.is_same(outcome.finding):
                self.others.setdefault((found.finding.cause, *found.finding.key), found)
            elif guide.met and (guide.orders or not self.old.orders):
                self.state.group, self.state.verdict = found, Verdict.FAILING
                return
            elif self.away is None:
                self.away = found

    def _group(self, outcome: Outcome, finding: Finding) -> Group:
        spent = _real.perf_counter() - self.start
        return Group(
            finding,
            outcome.choices,
            self.state.executions,
            spent,
            granularity=outcome.granularity,
        )

    def is_same(self, finding: Finding) -> bool:
        """Say whether a finding is the recorded failure."""
        names = self.old.places.names
        shown = [translate(place, names) for place in self.anchors.shown]
        return is_same(self.failure.cause, shown, finding)

    def keeps_orders(self, session: Session, group: Group) -> bool:
        """Run a group's schedule again; say whether it keeps the orders that are left."""
        guide = Guide(self.old)
        with session.at(group.granularity):
            self.run(session, Replay(group.choices, strict=False), [guide])
        return guide.met and bool(guide.orders or not self.old.orders)

    # --- judging

    def take(self, groups: Sequence[Group]) -> None:
        """Choose, among failures that do not keep the orders, the one to show."""
        same = [group for group in groups if self.is_same(group.finding)]
        kind = [group for group in groups if is_of_its_kind(self.failure.cause, group.finding)]
        for group in (*same, *kind)[:1]:
            self.state.group, self.state.verdict = group, Verdict.MASKED
            self.state.why = ELSEWHERE if same else MOVED
        if self.state.group is None and groups:
            self.state.other = groups[0]

    def conclude(self) -> None:
        """Put the reasons together."""
        state, old = self.state, self.old
        living = old.living()
        wanted = sorted(
            {place for _, place in self.anchors.steps}.union(
                mark.place for order in old.orders for mark in order
            )
        )
        gone = [old.places.old[at] for at in wanted if at not in old.places.taken]
        state.places = len(wanted) - len(gone), len(wanted)
        state.orders = len(living), len(old.orders)
        state.gone = tuple(
            f"{place.op} {place.object} in {place.function}: {place.line}" for place in gone
        )
        if state.verdict is Verdict.FIXED and self.unfinished:
            state.verdict, state.why = Verdict.INCONCLUSIVE, self.unfinished
        lost = [] if living else reasons.unexplained(old)
        if state.verdict is Verdict.FIXED and old.orders and lost:
            state.verdict = Verdict.INCONCLUSIVE
            state.why = f"the anchors are gone: {'; '.join(lost[:MOST_SAID])}"
        state.reasons = tuple(reasons.why(old, self.tally, self.following)[:MOST_SAID])
        state.seconds = _real.perf_counter() - self.start


def _at_mode(program: Program, trace: Trace) -> Program:
    mode = parse(trace.program.granularity).mode
    return program.by_default() if mode == "sync" else program.at(mode)


def judge(
    program: Program,
    trace: Trace,
    *,
    executions: int = EXECUTIONS,
    seconds: float = SECONDS,
    seed: int = 0,
    on_hang: Callable[[str], None] = print_hang,
) -> Judgement:
    """Say what became of the failure that `trace` shows, in `program` as it is now.

    `executions` bounds the sampled schedules of step 3, `seconds` each of steps 2 and 3. Raises `UsageError` for a
    trace without anchors or without a failure.
    """
    at_work = Judge(program, trace, seed, seconds)
    state = at_work.state
    with Session(at_work.program, on_hang=on_hang, learn=True) as session:
        at_work.survey(session)
        if not at_work.stopped:
            with session.at(at_work.granularity):
                at_work.neighbourhood(session)
        if state.verdict is Verdict.FIXED:
            _sample(at_work, session, executions, seconds)
        for group in (state.group, state.other):
            if group is not None and not group.token:
                confirm(session, group, at_work.following)
    at_work.conclude()
    if state.group is not None and state.group.doubt:
        state.verdict, state.why = Verdict.INCONCLUSIVE, state.group.doubt
    return state


def _sample(at_work: Judge, session: Session, executions: int, seconds: float) -> None:
    state = at_work.state
    groups = [*at_work.others.values()]
    if at_work.away is not None:
        at_work.take([at_work.away])
        return
    searched = explore(
        at_work.program,
        Portfolio(at_work.seed),
        executions=executions,
        seconds=seconds,
        opened=session,
        confirming=False,
    )
    state.executions += searched.executions
    if searched.diverged:
        state.verdict, state.why = Verdict.INCONCLUSIVE, searched.diverged
        return
    for group in searched.groups.values():
        if group.finding.cause == UNFINISHED:
            at_work.unfinished = group.finding.message
        else:
            groups.append(group)
    for group in groups:
        if at_work.is_same(group.finding) and at_work.keeps_orders(session, group):
            state.group, state.verdict = group, Verdict.FAILING
            return
    at_work.take(groups)
