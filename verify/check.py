"""`verify.check(fn)` and `@verify.interleavings(...)`: a check as a function call, a failure as an exception.

Promises: each execution calls the body afresh inside the controlled runtime. What is found is
raised as `CheckFailed`, whose text is the whole report: verdict first, replay line last. An outcome
that proves nothing either way is `CheckInconclusive`, never a pass. What a test framework raises to
leave a test (skip, imperative xfail) leaves the check as well and is no finding.
Assumes that the body makes its own threads and locks and starts from the same state every time.
"""

from __future__ import annotations

import functools
import os
import warnings
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, ParamSpec

from traces import token as tokens
from traces.text import show
from verify import detecting, registry, report
from verify import granularity as granularities
from verify import program as programs
from verify._real import perf_counter
from verify.abc import CheckFailed, CheckInconclusive, ForeignBuild, UsageError
from verify.builds import ANY, CHOICES
from verify.caller import CHECKED, caller
from verify.config import SHRINK_S
from verify.explore import Exploration, Replayed, Verdict, explains_itself, explore
from verify.explore import replay as run_again
from verify.goals import NO_GOAL, Goal
from verify.leaving import LeftTheTest, passing_on
from verify.runtime import current
from verify.runtime.carriers import BACKENDS, GREENLETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traces.schema import Trace
    from verify.abc import Settings
    from verify.program import Body, Program
    from verify.strategies import NamedStrategy

    Closing = Callable[[Trace], Sequence[str]]

P = ParamSpec("P")
DEFAULT_EXECUTIONS = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """How to search: budgets (a spent one ends the search), strategy by name, seed, who carries the tasks.

    `goal` is what a pass is to be worth. A body that starts no thread passes only
    where it need not be `threaded`.
    `granularity`, one of `verify.granularity.MODES`, says where scheduling points lie; None stands
    for what the body asks for, else `auto`. `shrink` are the seconds for shrinking and explaining. `detect` are
    names of detectors to watch besides (`verify.detecting`).
    """

    executions: int | None = None
    seconds: float | None = None
    strategy: str | None = None
    seed: int = 0
    backend: str = GREENLETS
    granularity: str | None = None
    builds: str = ANY
    shrink: float = SHRINK_S
    goal: Goal = NO_GOAL
    threaded: bool = True
    detect: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("executions", self.executions), ("seconds", self.seconds)):
            if value is not None and (isinstance(value, bool) or not value > 0):
                raise UsageError(f"{name} is {value!r}; give a number above zero")
        if self.strategy is not None:
            registry.check(self.strategy)
        if self.backend not in BACKENDS:
            raise UsageError(f"no backend {self.backend!r}; there are: {', '.join(BACKENDS)}")
        if self.builds not in CHOICES:
            raise UsageError(f"builds is {self.builds!r}; give one of: {', '.join(CHOICES)}")
        if self.granularity is not None:
            granularities.parse(self.granularity)
        if isinstance(self.shrink, bool) or not 0 <= self.shrink < inf:
            raise UsageError(f"shrink is {self.shrink!r}; give seconds, 0 for not at all")
        detecting.check(self.detect)

    def searcher(self) -> NamedStrategy:
        """Return a fresh strategy."""
        return self.goal.searcher(self.strategy, self.seed)

    @property
    def budget(self) -> int | None:
        """Executions until the search ends; 1,000 when no budget at all is given, and nothing asked for."""
        return self.goal.executions(self.executions, self.seconds, DEFAULT_EXECUTIONS)


def check(
    fn: Callable[[], object],
    *,
    executions: int | None = None,
    seconds: float | None = None,
    confidence: float | None = None,
    bug_depth: int | None = None,
    unseen: float | None = None,
    strategy: str | None = None,
    seed: int = 0,
    packages: Sequence[str] = (),
    granularity: str | None = None,
    settings: Settings | None = None,
    replay: str | None = None,
    backend: str = GREENLETS,
    builds: str = ANY,
    shrink: float = SHRINK_S,
    detect: Sequence[str] = (),
) -> Exploration:
    """Run `fn` under many interleavings; return what was explored, or raise `CheckFailed` with the report.

    `strategy` is a name (`verify.registry`) or `module:Class`; None is the portfolio, or what a goal needs.
    The search ends after `executions` runs or `seconds` seconds (1,000 runs when neither is given). A goal
    (`verify.goals.Goal`) ends it when enough is known: `bug_depth`, when a bug of that depth would have
    shown with probability `confidence` (0.95); `unseen`, when with this confidence the next run is of a
    class not seen before with a chance of at most that. A goal that is not reached is `CheckInconclusive`.
    `packages` are names of packages that are also under test: their loops are counted, and a
    schedule recorded on one text of them is refused by another. `granularity` says where scheduling
    points lie (`verify.granularity`; `auto` unless `settings` or a `scenario` ask otherwise).
    `replay` is a token from a report: that schedule alone is run. `backend` is "greenlets", or
    "threads" for code that needs an OS thread for each task (asyncio loops, extensions bound to a
    thread). With `builds` "running" a failure that this build of Python cannot show is a `ForeignBuild`
    warning. `detect` are names of detectors to use besides the default ones: `race`, `atomicity`,
    `starvation`, `leaks`, `undrained`, `lockset`, or `module:Class`. What is found is shrunk and
    explained for at most `shrink` seconds, all finds together (0: not at all). Raises
    `CheckInconclusive` when something outside the schedule decides or no thread is started,
    `UsageError` for arguments that cannot be used.
    """
    __tracebackhide__ = True
    goal = Goal(confidence, bug_depth, unseen)
    plan = Plan(
        executions, seconds, strategy, seed, backend, granularity, builds, shrink, goal,
        detect=tuple(detect),
    )  # fmt: skip
    programs.refuse_uncallable(_name(fn), fn)
    program = _program(fn, _name(fn), packages, settings)
    return _check(program, plan, replay)


def interleavings(
    *,
    executions: int | None = None,
    seconds: float | None = None,
    confidence: float | None = None,
    bug_depth: int | None = None,
    unseen: float | None = None,
    strategy: str | None = None,
    seed: int = 0,
    packages: Sequence[str] = (),
    granularity: str | None = None,
    settings: Settings | None = None,
    replay: str | None = None,
    backend: str = GREENLETS,
    builds: str = ANY,
    shrink: float = SHRINK_S,
    detect: Sequence[str] = (),
) -> Callable[[Callable[P, object]], Callable[P, None]]:
    """Make a test function check its body under many interleavings; the arguments are those of `check`.

    The test keeps its signature, so that fixtures and parameters reach it; every execution gets the
    same values.
    """
    goal = Goal(confidence, bug_depth, unseen)
    plan = Plan(
        executions, seconds, strategy, seed, backend, granularity, builds, shrink, goal,
        detect=tuple(detect),
    )  # fmt: skip

    def decorate(test: Callable[P, object]) -> Callable[P, None]:
        programs.refuse_lazy(_name(test), test)

        @functools.wraps(test)
        def checked(*args: P.args, **kwargs: P.kwargs) -> None:
            __tracebackhide__ = True
            body = functools.partial(test, *args, **kwargs)
            _check(_program(body, _name(test), packages, settings), plan, replay)

        setattr(checked, CHECKED, True)
        return checked

    return decorate


def _name(fn: Body) -> str:
    return (
        f"{getattr(fn, '__module__', None) or '?'}:{getattr(fn, '__qualname__', type(fn).__name__)}"
    )


def _program(fn: Body, target: str, packages: Sequence[str], settings: Settings | None) -> Program:
    program = programs.of_code(fn, target, packages)
    return program if settings is None else replace(program, settings=settings, asked=True)


def _check(program: Program, plan: Plan, given: str | None) -> Exploration:
    __tracebackhide__ = True
    program = program.watched(plan.detect)
    asked = caller.get()
    token = tokens.decode(given) if given is not None else None
    if token is None and asked is not None and asked.takes(program.digest):
        token = asked.replay

    def closing(trace: Trace) -> list[str]:
        text = tokens.encode(tokens.from_trace(trace))
        if asked is not None:
            return [f"replay: {asked.command()} {text}"]
        name = program.target.rpartition(":")[2].rpartition(".")[2]
        packages = program.options.get("packages", "").split()
        scope = f", packages={packages!r}" if packages else ""
        if plan.detect:
            scope += f", detect={list(detecting.unique(plan.detect))!r}"
        return [f"replay: verify.check({name}{scope}, replay={text!r})"]

    return conduct(program, plan, closing, token)


def conduct(
    program: Program, plan: Plan, closing: Closing, token: tokens.Token | None = None
) -> Exploration:
    """Explore `program`, or replay `token` on it; raise `CheckFailed` or `CheckInconclusive` with the report.

    `closing` gives the last lines of a failure's report.
    """
    __tracebackhide__ = True
    if current.controlled() is not None:
        raise UsageError(
            f"{program.target} is called inside another check, which decides already who goes on; "
            "call the body itself there, or take the outer check away"
        )
    program = replace(program, body=passing_on(program.body))
    try:
        if token is not None:
            programs.refuse_other(program, token)
            return _replay(program, token, closing, plan.backend)
        state = explore(
            program.by_default(plan.granularity),
            plan.searcher(),
            executions=plan.budget,
            seconds=plan.seconds,
            backend=plan.backend,
            builds=plan.builds,
            shrink=plan.shrink,
            measure=plan.goal.measure(),
            threaded=plan.threaded,
        )
    except LeftTheTest as left:
        raise left.original from None
    if state.verdict is Verdict.FOUND:
        raise CheckFailed(report.in_one_line(state), report.whole(state, closing))
    if state.verdict is Verdict.INCONCLUSIVE:
        text = report.whole(state, closing)
        if not state.explained:
            text = f"{text}\n\n{likely_cause()}"
        raise CheckInconclusive(report.in_one_line(state), text)
    for group in state.warnings.values():
        shown = report.failure(group, closing=closing(group.trace) if group.trace else ())
        warnings.warn(
            f"{report.headline(group, state.executions)}\n{shown}", ForeignBuild, stacklevel=3
        )
    return state


def _replay(program: Program, token: tokens.Token, closing: Closing, backend: str) -> Exploration:
    __tracebackhide__ = True
    start = perf_counter()
    run: Replayed = run_again(program, token, backend=backend)[0]
    if not run.identical:
        headline = f"inconclusive: {program.target} did not follow its schedule: {run.difference}"
        text = headline if explains_itself(run.difference) else f"{headline}\n{likely_cause()}"
        raise CheckInconclusive(headline, text)
    if run.finding is not None and run.trace is not None:
        headline = f"replayed: {run.finding.cause}: {run.finding.message}"
        body = show(run.trace, closing=closing(run.trace)).rstrip()
        raise CheckFailed(headline, f"{headline}\n  every step as recorded\n\n{body}")
    seconds = perf_counter() - start
    return Exploration(program, "replay", 0, executions=1, steps=run.steps, seconds=seconds)


def likely_cause() -> str:
    """Say what usually decides outside the schedule, and whether the hash seed may be it."""
    text = "likely cause: something outside the schedule decides (wall clock, files, state kept between runs"
    if hash_seed_is_random():
        return (
            f"{text}, or the order of sets of strings: PYTHONHASHSEED is not set here; set it to 0)"
        )
    return f"{text})"


def hash_seed_is_random() -> bool:
    """Say whether sets of strings have another order in each process; it cannot be set in one that runs."""
    return os.environ.get("PYTHONHASHSEED", "random") in {"", "random"}
