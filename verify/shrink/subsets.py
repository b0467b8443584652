"""Delta debugging: a smaller list that still passes a test, by leaving out ever smaller parts.

After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (IEEE TSE 2002), with complements
alone: a schedule's parts seldom fail by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from verify.shrink.budget import SpentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")


def smallest(items: Sequence[Item], holds: Callable[[list[Item]], bool]) -> tuple[list[Item], bool]:
    """Return a part of `items`, in order, for which `holds` is true, and whether no single item can be left out.

    `holds(items)` is taken for granted. `holds` may raise `SpentError`: what was reached by then is
    returned, with False.
    """
    kept = list(items)
    try:
        if not kept or holds([]):
            return [], True
        size = -(-len(kept) // 2)
        while len(kept) > 1:
            smaller = _without_part(kept, size, holds)
            if smaller is not None:
                kept = smaller
                size = min(size, -(-len(kept) // 2))
            elif size == 1:
                break
            else:
                size = -(-size // 2)
    except SpentError:
        return kept, False
    return kept, True


def _without_part(
    items: list[Item], size: int, holds: Callable[[list[Item]], bool]
) -> list[Item] | None:
    """Return `items` without one part of `size` for which `holds` is true; the last parts first."""
    for end in range(len(items), 0, -size):
        rest = items[: max(end - size, 0)] + items[end:]
        if rest and holds(rest):
            return rest
    return None
