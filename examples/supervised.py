"""What a worker of `verify.supervise` runs: `make` once with the options, what it returns with each task."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from verify.supervise import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verify.supervise import Json, Task


def make(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    sides = options["sides"]
    assert isinstance(sides, int)

    def throw(task: Task) -> Result:
        draw = random.Random(task.seed)
        eyes = [draw.randint(1, sides) for _ in range(3)]
        return Result(
            failed=len(set(eyes)) == 1, message=f"three of a kind: {eyes}", value=sum(eyes)
        )

    return throw
