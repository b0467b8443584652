"""The choice that decided a failure: the last one after which some schedule still ends otherwise.

1. Sample schedules that begin with the first k choices of the failing one and go on at random; bisect for the smallest
   k after which all sampled fail in the same way. The choice before it decided.
2. At that choice let each other enabled task go on instead, and sample what comes of it.

Promises: the numbers returned were counted; a schedule that is stopped at a bound, or diverges, counts as neither
failing nor ending well. Bisection takes for granted that a run once lost stays lost, which holds of prefixes of one
schedule; the shares are estimates, as everything sampled is. Costs at most the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from traces import token as tokens
from traces.errors import TokenError
from traces.schema import MOST_TEXT
from traces.turning import Turning
from verify.abc import Detector
from verify.record import Origin, Recorder, trace_of
from verify.shrink.budget import Budget, SpentError
from verify.shrink.trials import same_way
from verify.strategies.random_walk import RandomWalk
from verify.strategies.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, Finding, T, TaskView
    from verify.session import Outcome, Session

__all__ = ["turning"]

SAMPLES: Final = 24
EXECUTIONS: Final = 1_000


class _Counting(Detector):
    """How many choices were made when each step took effect, and by whom."""

    name = "counting"

    def __init__(self) -> None:
        self.choices: list[int] = []
        self.tasks: list[str] = []

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Note one step."""
        del op, target
        self.choices.append(len(execution.choices))
        self.tasks.append(task.path)


class _Leaving:
    """The first `length` choices of a schedule, then, if `other` is given, that enabled task, then random ones."""

    name = "leaving"

    def __init__(self, choices: Sequence[int], length: int, seed: int, other: int = -1) -> None:
        self.prefix = Replay(choices[:length])
        self.length = length
        self.walk = RandomWalk(seed)
        self.other = other
        self.made = 0
        self.enabled: tuple[str, ...] = ()
        """Who could go on where the prefix ends, the one that the schedule lets go on last."""
        self.choice = choices[length] if length < len(choices) else 0

    def new_execution(self) -> bool:
        """Allow one."""
        self.walk.new_execution()
        return self.prefix.new_execution()

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Take the next of the prefix, then the other, then any."""
        self.made += 1
        if self.made <= self.length:
            return self.prefix.choose(enabled, current)
        if self.made > self.length + 1:
            return self.walk.choose(enabled, current)
        others = [task for task in enabled if task is not current or not current.runnable]
        chosen = others[self.choice - 1] if 0 < self.choice <= len(others) else current
        ranked = [*(task for task in enabled if task is not chosen), chosen]
        self.enabled = tuple(task.path for task in ranked)
        return ranked[self.other] if self.other >= 0 else self.walk.choose(enabled, current)

    def draw(self, bound: int) -> int:
        """Take the next of the prefix, then any."""
        self.made += 1
        return self.prefix.draw(bound) if self.made <= self.length else self.walk.draw(bound)


@dataclass(slots=True)
class _Share:
    """What samples came to."""

    sampled: int = 0
    failing: int = 0
    passing: int = 0
    passed: tuple[int, ...] = ()
    """The choices of the last that ended well."""


class _Search:
    """One failing schedule in a session that stands at its granularity."""

    def __init__(
        self, session: Session, finding: Finding, choices: tuple[int, ...], budget: Budget
    ) -> None:
        self.session = session
        self.key = (finding.cause, *finding.key)
        self.choices = choices
        self.budget = budget
        self.detectors = session.program.detectors()
        self.seed = 0

    def once(self, strategy: _Leaving | Replay, *more: Detector) -> Outcome:
        self.budget.take()
        return self.session.run(strategy, [*more, *self.detectors])

    def sample(self, length: int, other: int = -1, *, all_must_fail: bool = False) -> _Share:
        """Sample after `length` choices; with `all_must_fail` end with the first that does not."""
        share = _Share()
        for _ in range(SAMPLES):
            self.seed += 1
            outcome = self.once(_Leaving(self.choices, length, self.seed, other))
            share.sampled += 1
            share.failing += same_way(outcome, self.key)
            if outcome.abort is None and outcome.finding is None:
                share.passing += 1
                share.passed = outcome.choices
            if all_must_fail and share.failing < share.sampled:
                break
        return share

    def lost(self) -> tuple[int, _Share] | None:
        """Return the smallest number of choices after which all sampled fail, and the share there."""
        low, high, at_high = 0, len(self.choices), _Share()
        if self.lost_after(0).sampled == SAMPLES:
            return None  # it fails whatever is chosen
        while high - low > 1:
            middle = (low + high) // 2
            share = self.lost_after(middle)
            if share.failing == SAMPLES:
                high, at_high = middle, share
            else:
                low = middle
        return high, at_high if at_high.sampled else self.sample(high)

    def lost_after(self, length: int) -> _Share:
        share = self.sample(length, all_must_fail=True)
        return share if share.failing == share.sampled else _Share()

    def token(self, choices: tuple[int, ...]) -> str:
        """Return what replays a run that ended well, or nothing where it is too long or does not end well again."""
        self.budget.take()
        recorder = Recorder()
        outcome = self.session.run(
            Replay(choices),
            [recorder, *self.detectors],
            record_sites=True,
            on_stop=recorder.snapshot,
        )
        if outcome.abort is not None or outcome.finding is not None:
            return ""
        trace = trace_of(self.session.program, recorder, choices, None, Origin(_Leaving.name, 0))
        try:
            token = tokens.encode(tokens.from_trace(trace))
        except TokenError:
            return ""
        return token if len(token) <= MOST_TEXT else ""

    def others(self, place: int) -> tuple[str, str, _Share]:
        """Return who went on at the choice number `place`, who had better gone on, and what came of that."""
        best, name = _Share(), ""
        look = _Leaving(self.choices, place, 0)
        self.once(look)
        for at, task in enumerate(look.enabled[:-1]):
            share = self.sample(place, at)
            if share.passing > best.passing:
                best, name = share, task
        return look.enabled[-1] if look.enabled else "", name, best


def turning(
    session: Session, finding: Finding, choices: tuple[int, ...], seconds: float
) -> Turning | None:
    """Return the choice that decided, None where there is none or it was not found in time."""
    search = _Search(session, finding, choices, Budget(EXECUTIONS, seconds))
    try:
        counting = _Counting()
        if not choices or not same_way(search.once(Replay(choices), counting), search.key):
            return None
        found = search.lost()
        if found is None:
            return None
        length, share = found
        chosen, instead, others = search.others(length - 1)
        token = search.token(others.passed) if others.passing else ""
    except SpentError:
        return None
    later = [at for at, made in enumerate(counting.choices) if made >= length]
    step = next((at for at in later if counting.tasks[at] == chosen), None)
    if step is None or share.failing < share.sampled:
        return None
    return Turning(
        step, chosen, share.sampled, share.failing,
        instead, others.sampled, others.failing, others.passing, token,
    )  # fmt: skip
