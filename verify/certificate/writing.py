"""Making a certificate of a search that was exhausted.

Promises: a certificate is made of nothing but what was run: the choices of each execution since the scheduling points
last changed. A strategy that reduces keeps the executions that count itself (attribute `explored`); of any other all
are kept, up to the bounds of the format, and each once however often it was run (a depth-first search's descents, and
the members of a portfolio, run what the search runs in its turn).
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from traces.certificate import CLASSES, MOST_CHOICES, MOST_EXECUTIONS, TREE, Certificate
from traces.schema import Program as Told
from verify.abc import is_complete, listener_of, restart, tell
from verify.explore import Verdict
from verify.record import own_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import Detector, T
    from verify.explore import Exploration
    from verify.strategies import NamedStrategy


class Keeping:
    """A strategy that keeps the choices of each execution, and is otherwise the one it is made of."""

    def __init__(self, strategy: NamedStrategy) -> None:
        self.strategy = strategy
        self.name = strategy.name
        self.seed = strategy.seed
        self.kept: set[tuple[int, ...]] = set()
        self.total = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.strategy, name)

    @property
    def listener(self) -> Detector | None:
        """As the strategy's, which may differ from one execution to the next."""
        return listener_of(self.strategy)

    @property
    def complete(self) -> bool:
        """As the strategy."""
        return is_complete(self.strategy)

    @property
    def too_many(self) -> bool:
        """Whether not all executions could be kept."""
        return self.total > MOST_CHOICES or len(self.kept) >= MOST_EXECUTIONS

    def new_execution(self) -> bool:
        """As the strategy."""
        return self.strategy.new_execution()

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """As the strategy."""
        return self.strategy.choose(enabled, current)

    def draw(self, bound: int) -> int:
        """As the strategy."""
        return self.strategy.draw(bound)

    def worth(self, executions: int) -> str:
        """As the strategy."""
        return self.strategy.worth(executions)

    def restart(self) -> None:
        """As the strategy; what was run before belongs to other scheduling points."""
        self.kept, self.total = set(), 0
        restart(self.strategy)

    def ended(self, choices: tuple[int, ...], *, news: bool, cut: bool) -> None:
        """Keep the choices, unless they are there or the strategy keeps those that count."""
        tell(self.strategy, choices, news=news, cut=cut)
        if choices in self.kept:
            return
        self.total += len(choices)
        if not self.too_many and explored(self.strategy) is None:
            self.kept.add(choices)


def explored(strategy: NamedStrategy) -> Sequence[tuple[int, ...]] | None:
    """Return the executions that a reducing strategy keeps; None for one that keeps none."""
    found: Sequence[tuple[int, ...]] | None = getattr(strategy, "explored", None)
    return found


def certificate_of(state: Exploration, keeping: Keeping) -> Certificate | str:
    """Return the certificate of an exploration, or why there is none."""
    if state.verdict is not Verdict.EXHAUSTED:
        return f"the search was not exhausted: {state.worth}"
    reduced = explored(keeping.strategy)
    executions = keeping.kept if reduced is None else reduced
    if keeping.too_many or not executions:
        return f"{state.executions:,} executions are more than are kept for a certificate"
    program = state.program
    told = Told(
        target=program.target,
        digest=program.digest,
        python=platform.python_version(),
        stage3=own_version(),
        granularity=state.granularity,
        options=dict(program.options),
    )
    return Certificate(
        program=told,
        strategy=keeping.name,
        seed=keeping.seed,
        method=TREE if reduced is None else CLASSES,
        preemptions=getattr(keeping.strategy, "most", None),
        classes=getattr(keeping.strategy, "classes", None),
        races=getattr(keeping.strategy, "races", None),
        executions=tuple(sorted(executions)),
    )
