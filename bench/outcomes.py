"""What a program can come to, by one strategy or another: the comparison that keeps exhausted searches honest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verify.happens_before import Classes
from verify.strategies.dpor import DPOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.session import Session
    from verify.strategies import NamedStrategy


@dataclass
class Outcomes:
    """The outcomes of the executions of a search, and whether it came to its end having left nothing out."""

    whole: bool = False
    executions: int = 0
    steps: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    classes: set[int] = field(default_factory=set)


class Box:
    """Holds what the last execution of a body returned."""

    def __init__(self, body: Callable[[], object]) -> None:
        """Hold nothing yet."""
        self.body = body
        self.value: object = None

    def __call__(self) -> None:
        """Run the body and keep what it returns."""
        self.value = None
        self.value = self.body()


def outcomes(
    session: Session, box: Box, strategy: NamedStrategy, most: int, *, classes: bool = False
) -> Outcomes:
    """Run up to `most` executions of the session's program, whose body is `box`.

    Executions that DPOR began in vain do not count: what it claims rests on the others.
    """
    found = Outcomes()
    names = [Classes()] if classes else []
    watching = session.program.detectors()
    while strategy.new_execution():
        if found.executions >= most:
            return found
        found.executions += 1
        outcome = session.run(strategy, [*names, *watching])
        if outcome.abort is not None:
            raise outcome.abort
        found.steps += outcome.steps
        if isinstance(strategy, DPOR) and strategy.in_vain:
            continue
        finding = outcome.finding
        text = f"{finding.cause} {finding.key} " if finding is not None else ""
        text += str(box.value)
        found.seen[text] = found.seen.get(text, 0) + 1
        found.classes.update(each.fingerprint for each in names)
    found.whole = bool(getattr(strategy, "complete", True))
    return found
