"""One replay of a recorded run on another text, by its anchors.

Promises: says how many recorded steps were made and orders held, and which places are gone; it is one schedule, after a
survey of the text: that it does not fail says nothing of others (`judging` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verify.durable.judging import Judge
from verify.session import Session
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable

    from traces.schema import Trace
    from verify.abc import Finding
    from verify.program import Program


@dataclass(frozen=True, slots=True)
class Followed:
    """What a replay came to: pairs are how many of how many; `kept` counts orders, `same` says how it failed."""

    target: str
    steps: tuple[int, int]
    places: tuple[int, int]
    orders: tuple[int, int]
    kept: int
    gone: tuple[str, ...]
    stuck: str
    finding: Finding | None
    same: bool
    difference: str

    @property
    def exit_code(self) -> int:
        """1 where it failed; 0 where it did not and every anchor is left; else 4."""
        if self.finding is not None:
            return 1
        whole = self.places[0] == self.places[1] and not self.difference
        return 0 if whole else 4


def follow(
    program: Program,
    trace: Trace,
    *,
    seed: int = 0,
    on_hang: Callable[[str], None] = print_hang,
) -> Followed:
    """Follow a recorded run once; raise `UsageError` for a trace without anchors."""
    at_work = Judge(program, trace, seed)
    finding, steps, kept = None, 0, 0
    with Session(at_work.program, on_hang=on_hang, learn=True) as session:
        at_work.survey(session)
        if not at_work.stopped:
            with session.at(at_work.granularity):
                finding = at_work.run(session, at_work.following, ()).finding
            steps, kept = at_work.following.listener.made(), at_work.following.listener.kept
    at_work.conclude()
    state = at_work.state
    return Followed(
        at_work.program.target,
        (min(steps, len(at_work.anchors.steps)), len(at_work.anchors.steps)),
        state.places,
        state.orders,
        kept,
        state.gone,
        at_work.following.stuck,
        finding,
        finding is not None and at_work.is_same(finding),
        state.why if at_work.stopped else "",
    )
