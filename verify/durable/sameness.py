"""Whether a failure of the new text is the recorded one, or one of its kind.

| it is | if |
|---|---|
| the same | same cause, and the places its key names are the recorded ones |
| of its kind | any other with the same cause, or both leave threads hanging |
| another one | all else |

An exception is at the same place if it is the same one and the line is alike; a wait, if it is of the same kind and the
line is alike or the function has the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.durable.matching import family, same_function, same_line
from verify.durable.places import shown_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traces.anchors import Place
    from verify.abc import Finding

HANGS = frozenset({
    "deadlock", "self-deadlock", "blocked for ever", "lost wake-up", "lock held by a dead thread", "livelock", "spin",
})  # fmt: skip
RAISED = "uncaught exception"


def is_same(cause: str, shown: Sequence[Place], finding: Finding) -> bool:
    """Say whether `finding` is the failure with this cause that showed at these places."""
    new = list(shown_at(finding.key))
    if finding.cause != cause or len(new) != len(shown):
        return False
    for old in shown:
        match = next((place for place in new if _alike(cause, old, place)), None)
        if match is None:
            return False
        new.remove(match)
    return True


def is_of_its_kind(cause: str, finding: Finding) -> bool:
    """Say whether `finding` is of the kind of failures with this cause."""
    return finding.cause == cause or {cause, finding.cause} <= HANGS


def _alike(cause: str, old: Place, new: Place) -> bool:
    if family(old.op) != family(new.op):
        return False
    if not old.line and not old.function:
        return not new.line and not new.function
    if same_line(old.line, new.line) > 0:
        return True
    return cause != RAISED and same_function(old.function, new.function) > 0
