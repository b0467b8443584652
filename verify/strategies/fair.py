"""The fair scheduler of CHESS around any strategy (Musuvathi, Qadeer, PLDI 2008).

The strategy chooses among the tasks that need not wait for one that they kept waiting (`verify.fairness`), so a loop
that polls and gives way cannot starve those it polls for, whatever the strategy prefers. An execution that runs into
the step bound all the same does so because of the program, which is then judged (`verify.detectors.livelock`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from verify.abc import drawn_by, is_complete, is_thorough, listener_of, remaining, restart, tell
from verify.fairness import Relation
from verify.strategies.yields import gave_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import Detector, T, TaskView
    from verify.strategies import NamedStrategy


class Resting:
    """A task that must wait, as its strategy sees it: what it is, but not able to go on."""

    runnable = False

    def __init__(self, task: TaskView) -> None:
        self.task = task

    def __getattr__(self, name: str) -> object:
        return getattr(self.task, name)


class Fair:
    """Lets `inner` choose among those whose turn it can be."""

    def __init__(self, inner: NamedStrategy) -> None:
        self.inner = inner
        self.name = f"fair {inner.name}"
        self.seed = inner.seed
        self.relation = Relation()
        self.given_way: dict[int, int] = {}

    @property
    def listener(self) -> Detector | None:
        """What the strategy listens with."""
        return listener_of(self.inner)

    @property
    def complete(self) -> bool:
        """Whether the strategy left nothing out; one that goes by races does, where who races has to wait."""
        return is_complete(self.inner) and not is_thorough(self.inner)

    @property
    def independent(self) -> str:
        """What the strategy draws its runs from, made fair."""
        source = drawn_by(self.inner)
        return f"fair {source}" if source else ""

    def remaining(self) -> str:
        """What the strategy says is left."""
        return remaining(self.inner)

    def new_execution(self) -> bool:
        """Nobody waits for anybody."""
        self.relation = Relation()
        self.given_way = {}
        return self.inner.new_execution()

    def restart(self) -> None:
        """Pass it on."""
        restart(self.inner)

    def ended(self, choices: tuple[int, ...], *, news: bool, cut: bool) -> None:
        """Pass it on."""
        tell(self.inner, choices, news=news, cut=cut)

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Choose among those that need not wait."""
        relation = self.relation
        way = gave_way(current, self.given_way)
        relation.step(current.index, [task.index for task in enabled], gave_way=way)
        allowed = relation.allowed(enabled)
        if len(allowed) == 1:
            return allowed[0]
        if current in allowed or not current.runnable:
            return self.inner.choose(allowed, current)
        chosen = self.inner.choose(allowed, cast("T", Resting(current)))
        return chosen if chosen in allowed else allowed[0]

    def draw(self, bound: int) -> int:
        """Let the strategy draw."""
        return self.inner.draw(bound)

    def worth(self, executions: int) -> str:
        """Say what the strategy says, of fair schedules."""
        return f"of the fair schedules alone: {self.inner.worth(executions)}"
