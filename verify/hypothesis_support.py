"""Hypothesis: data and schedule drawn together, so that one shrinker makes both simpler and one database keeps both.

    @given(st.lists(st.integers()), interleavings())
    def test_spool(items, schedule):
        schedule.run(write_and_flush, items)

A schedule is at most so many departures from "go on with the current task": where in the run, and to whom. Zero is to
go on, and no departure a run without preemptions, so that Hypothesis' own passes shrink schedules without knowing
what they are.

Promises: the same data and schedule run the same way in every process, as nothing is learned from one example for the
next; the body gets copies of its arguments, so that several runs of one example begin alike. Failures of different
causes are different failures to Hypothesis, so one does not shrink into another. The time that runs take does not count
towards the deadline.
Assumes that the body makes its own threads and locks, and draws nothing from Hypothesis.
"""

from __future__ import annotations

import functools
import sys
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from verify import _real, report
from verify import program as programs
from verify.abc import CheckFailed, CheckInconclusive, Settings, UsageError
from verify.config import SHRINK_S
from verify.explain.finds import simplify_all
from verify.explore import Group, confirm, record_again, why_not
from verify.lasting import session_for
from verify.leaving import LeftTheTest, passing_on
from verify.runtime import current
from verify.runtime.carriers import GREENLETS
from verify.seeding import SEEDS
from verify.strategies.random_walk import RandomWalk
from verify.strategies.switching import Switching

try:
    from hypothesis import currently_in_test_context
    from hypothesis import strategies as st
    from hypothesis.control import current_build_context
except ImportError as error:
    raise UsageError(
        f"drawing interleavings needs Hypothesis ({error}); type: pip install 'stage3[hypothesis]'"
    ) from None

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from verify.program import Body, Program
    from verify.session import Outcome, Session

DIGIT = 64
MOST_TAKES = 3
SURVEYS = 4
TRIES = 32
MOST_TRIES = 1000
RUNS = "execute:interleavings"
CLOSING = "replay: run this test again; Hypothesis keeps the example, and prints it as it is typed"


@dataclass(frozen=True, slots=True)
class How:
    """What holds for all schedules of one `interleavings()`."""

    granularity: str | None = None
    packages: tuple[str, ...] = ()
    settings: Settings | None = None
    backend: str = GREENLETS
    shrink: float = SHRINK_S
    tries: int = TRIES


@dataclass(frozen=True)
class Interleaving:
    """Schedules that depart from the default: `switches` are (place, k), at this choice the k-th alternative goes on.

    The first departure is tried at up to `tries` places, evenly spaced, its own among them: so a schedule with one
    departure stands for them all where the run is short, and goes on failing while the data shrink.
    `values` are what the program draws (`verify.draw`, the seed of `random`), 0 beyond them.
    """

    switches: tuple[tuple[int, int], ...] = ()
    values: tuple[int, ...] = ()
    how: How = field(default=How(), repr=False, compare=False)

    def __repr__(self) -> str:
        values = f", {self.values!r}" if any(self.values) else ""
        return f"Interleaving({self.switches!r}{values})"

    def run(self, body: Body, *args: object, **kwargs: object) -> None:
        """Run `body` under control by this schedule; a failure is raised as a `CheckFailed`.

        First come a few runs to learn which accesses matter and how long the run is, as they do for
        every example; they fail, too, if what they run does. The last time, when Hypothesis shows the
        failure, the report says all that `verify.check` says.
        """
        __tracebackhide__ = True
        if current.controlled() is not None:
            raise UsageError(
                "a schedule is run inside another check, which decides already who goes on"
            )
        start = _real.perf_counter()
        program = self._program(body, args, kwargs)
        try:
            with _untraced(), session_for(program, self.how.backend) as session:
                found = self._found(session)
                if found is not None:
                    raise _failure(session, found, self.how.shrink if _is_final() else None)
        except LeftTheTest as left:
            raise left.original from None
        finally:
            _off_the_clock(_real.perf_counter() - start)

    def _program(
        self,
        body: Body,
        args: Sequence[object],
        kwargs: dict[str, object],
    ) -> Program:
        name = f"{getattr(body, '__module__', '?')}:{getattr(body, '__qualname__', type(body).__name__)}"
        program = programs.of_code(body, name, self.how.packages)
        if self.how.settings is not None:
            program = replace(program, settings=self.how.settings, asked=True)

        def run() -> object:
            own_args, own_kwargs = deepcopy((tuple(args), kwargs))
            return body(*own_args, **own_kwargs)

        return replace(program, body=passing_on(run)).by_default(self.how.granularity)

    def _found(self, session: Session) -> Outcome | None:
        """Run the surveys and the schedule; return the first outcome that is a failure of theirs."""
        length = 0
        walk = RandomWalk(0)
        for _ in range(SURVEYS):
            outcome = _run(session, Switching((), 0, self.values))
            if outcome.finding is not None:
                return outcome
            length = len(outcome.choices)
            walk.new_execution()
            session.run(walk, session.program.detectors())  # learns; whether it fails is not asked
            if session.watch.granularity.text == outcome.granularity:
                break
        for switches in self._neighbours(length):
            outcome = _run(session, Switching(switches, length, self.values))
            if outcome.finding is not None:
                return outcome
        return None

    def _neighbours(self, length: int) -> Iterator[tuple[tuple[int, int], ...]]:
        """Yield the schedule with its first departure at evenly spaced places, its own among them."""
        if not self.switches:
            return
        (place, take), *rest = self.switches
        stride = -(-(length + 1) // self.how.tries)
        for at in range(place % stride, length + 1, stride):
            yield ((at, take), *rest)


def interleavings(
    *,
    preemptions: int = 3,
    granularity: str | None = None,
    packages: Sequence[str] = (),
    settings: Settings | None = None,
    backend: str = GREENLETS,
    shrink: float = SHRINK_S,
    tries: int = TRIES,
    values: int = 0,
) -> st.SearchStrategy[Interleaving]:
    """Return the strategy that draws schedules with at most `preemptions` departures from the default.

    The other arguments are those of `verify.check`; `shrink` are the seconds for explaining the failure
    that Hypothesis shows at the end. Each example runs up to `tries` schedules: the one drawn, and others
    that differ in the place of the first departure. `values` are how many values are drawn for the
    program itself (`verify.draw`, the seed of `random`).
    """
    for name, value, least in (
        ("preemptions", preemptions, 0),
        ("tries", tries, 1),
        ("values", values, 0),
    ):
        if isinstance(value, bool) or not least <= value < MOST_TRIES:
            raise UsageError(
                f"{name} is {value!r}; give a whole number from {least} to {MOST_TRIES - 1}"
            )
    how = How(granularity, tuple(packages), settings, backend, shrink, tries)
    digit = st.integers(0, DIGIT - 1)  # small ranges are drawn evenly, large ones not
    place = st.builds(lambda high, low: high * DIGIT + low, digit, digit)
    # A fixed number of draws, so that leaving one out of the data moves none of them.
    switch = st.tuples(place, st.integers(0, MOST_TAKES))
    switches = st.tuples(*[switch] * preemptions).map(_departures)
    drawn = st.tuples(*[st.integers(0, SEEDS - 1)] * values)
    return st.tuples(switches, drawn).map(lambda both: Interleaving(both[0], both[1], how))


def _departures(switches: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple(switch for switch in switches if switch[1])


def _run(session: Session, strategy: Switching) -> Outcome:
    outcome = session.run(strategy, session.program.detectors())
    if outcome.abort is not None:
        raise CheckInconclusive(f"inconclusive: {why_not(outcome.abort)}", why_not(outcome.abort))
    return outcome


def _failure(session: Session, outcome: Outcome, shrink: float | None) -> CheckFailed:
    """Return what to raise: the headline alone, or, with seconds to `shrink`, the whole report."""
    finding = outcome.finding
    assert finding is not None
    headline = f"{finding.cause}: {finding.message}"
    kind = _kind_of((finding.cause, *finding.key))
    if shrink is None:
        return kind(headline, headline)
    group = Group(finding, outcome.choices, 1, 0.0, granularity=outcome.granularity)
    shown = Switching((), 0)
    confirm(session, group, shown)
    simplify_all(session, [group], shrink, lambda again: record_again(session, again, shown))
    return kind(headline, report.failure(group, closing=[CLOSING]).rstrip())


@functools.lru_cache(maxsize=4096)
def _kind_of(key: tuple[str, ...]) -> type[CheckFailed]:
    """Return the exception of one way to fail: Hypothesis tells failures apart by type and line."""
    name = "".join(word.capitalize() for word in key[0].replace("-", " ").split())
    return type(name, (CheckFailed,), {"__doc__": f"A check found: {key[0]}."})


@contextmanager
def _untraced() -> Iterator[None]:
    """Keep Hypothesis from following every line of the runtime when it looks for lines that only failures run."""
    tracer = sys.gettrace()
    if type(getattr(tracer, "__self__", None)).__module__.partition(".")[0] != "hypothesis":
        yield
        return
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def _is_final() -> bool:
    return not currently_in_test_context() or current_build_context().is_final


def _off_the_clock(seconds: float) -> None:
    """Take the time of runs off what Hypothesis holds against the deadline, where it keeps such a time."""
    if currently_in_test_context():
        times = getattr(current_build_context().data, "_stateful_run_times", None)
        if isinstance(times, dict):
            times[RUNS] = times.get(RUNS, 0.0) + seconds
