"""Whether a set of schedules is a whole tree: every alternative of every choice taken, up to a bound of preemptions.

Promises: knows nothing of operations, so nothing has to be assumed of them. A schedule is its choices; at each of them
the replay saw how many alternatives there were and what each costs. The set is whole if every alternative within the
bound, at every choice of every schedule, begins a schedule of the set.
Assumes: schedules that begin with the same choices have the same alternatives there, or the program is no function of
its schedule; that is checked, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verify.certificate.runs import Alternatives, Run


@dataclass(slots=True)
class Node:
    """A choice: its alternatives, and what was taken; where execution `ends` stops there is none (0: none stops)."""

    number: int = 0
    ends: int = 0
    alternatives: Alternatives | None = None
    taken: dict[int, Node] = field(default_factory=dict)


class Tree:
    """The schedules of a certificate."""

    def __init__(self, preemptions: int | None) -> None:
        self.preemptions = preemptions
        self.root = Node()
        self.wrong = ""

    def add(self, number: int, run: Run) -> None:
        """Add execution `number`, counted from 1."""
        node = self.root
        cost = 0
        for at, (choice, alternatives) in enumerate(
            zip(run.choices, run.alternatives, strict=True)
        ):
            if node.ends:
                self.wrong = _goes_on(number, node.ends)
                return
            if node.alternatives is None:
                node.number, node.alternatives = number, alternatives
            elif node.alternatives != alternatives:
                self.wrong = (
                    f"choice {at + 1} of executions {node.number} and {number} has other alternatives after the same "
                    "choices"
                )
                return
            cost += alternatives.costs[choice - alternatives.first]
            node = node.taken.setdefault(choice, Node(number))
        node.ends = number
        if node.alternatives is not None:
            self.wrong = _goes_on(node.number, number)
        elif self.preemptions is not None and cost > self.preemptions:
            self.wrong = f"execution {number} has {cost} preemptions, more than {self.preemptions}"

    def missing(self) -> str:
        """Say which alternative is missing; nothing when none is."""
        left: list[tuple[Node, tuple[int, ...], int]] = [(self.root, (), 0)]
        while left and not self.wrong:
            node, choices, spent = left.pop()
            if node.alternatives is None:
                continue
            for choice, costs in enumerate(node.alternatives.costs, node.alternatives.first):
                total = spent + costs
                if self.preemptions is not None and total > self.preemptions:
                    continue
                below = node.taken.get(choice)
                if below is None:
                    return (
                        f"execution {node.number} has {node.alternatives.total} alternatives at choice "
                        f"{len(choices) + 1}; no execution of the certificate takes number {choice} there"
                    )
                left.append((below, (*choices, choice), total))
        return self.wrong


def _goes_on(number: int, other: int) -> str:
    return f"execution {number} goes on where execution {other} ends"
