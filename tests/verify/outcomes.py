"""Results of searches as values that can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces import token as tokens
from verify.explore import Verdict, explore, replay

if TYPE_CHECKING:
    from verify.explore import Exploration
    from verify.program import Program
    from verify.strategies import NamedStrategy


def told(state: Exploration) -> dict[str, object]:
    """Return all of a result but its times."""
    return {
        "verdict": state.verdict,
        "sums": (state.executions, state.steps, state.granularity, state.worth, state.parts),
        "groups": [
            (key, of.count, of.first, of.choices, of.token, of.held, of.build)
            for key, of in state.groups.items()
        ],
        "notes": [(key, of.count, of.first) for key, of in state.notes.items()],
        "measured": state.measure.as_json() if state.measure is not None else None,
        "lost": [lost.text for lost in state.lost],
    }


def assert_found(program: Program, strategy: NamedStrategy, executions: int) -> None:
    """Search for the first failure, and see its schedule run into it again."""
    state = explore(program, strategy, executions=executions, first_only=True)

    assert Verdict.FOUND == state.verdict
    (group,) = state.groups.values()
    (run,) = replay(program, tokens.decode(group.token))
    assert ("", group.finding.key) == (run.difference, run.finding and run.finding.key)
