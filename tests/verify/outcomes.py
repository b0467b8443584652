"""Results of searches as values that can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verify.explore import Exploration


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
