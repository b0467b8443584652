"""The lock-order graph of a target: executions under control, each one a run that is judged on its own.

Promises: a graph of all executions, and the failures they ended in, which nobody looked for. The executions are those
of an ordinary search; only where locks are made is recorded besides.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from traces.lock_order import Graph, Status, fingerprint
from traces.lock_order import Outcome as Confirmed
from verify.abc import name_of
from verify.explore import Group, confirm, why_not
from verify.lock_order.confirm import HANGS
from verify.lock_order.findings import MONITOR
from verify.lock_order.listener import LockOrderGraph
from verify.lock_order.merge import merged
from verify.session import Session
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from verify.abc import Finding, Strategy
    from verify.program import Program
    from verify.runtime.execution import Execution
    from verify.session import Outcome
    from verify.strategies import NamedStrategy

__all__ = ["Collected", "collect", "confirmed_monitors"]


@dataclass(slots=True)
class Collected:
    """What `executions` left.

    `failures` counts what they ended in; `asleep` has the first one that ended in a hang in which a thread held a lock
    (a class) and waited for a condition; `stopped` says why there are no more executions.
    """

    program: Program
    graph: Graph = field(default_factory=Graph)
    executions: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    asleep: dict[tuple[str, str], Group] = field(default_factory=dict)
    stopped: str = ""

    @property
    def source(self) -> str:
        """What the graph's edges say of where they come from: the target, and the digest of its text."""
        return f"{self.program.target}@{self.program.digest}"


class _Ends:
    """Looks, while the stacks of a failed execution still stand, who waits for a notification holding what."""

    def __init__(self, listener: LockOrderGraph) -> None:
        self.listener = listener
        self.asleep: set[tuple[str, str]] = set()

    def look(self, execution: Execution) -> None:
        """Called where an execution ends with a finding."""
        for task in execution.tasks:
            if task.op != "Condition.wait" or execution.waits_for(task) is None:
                continue
            condition = self.listener.condition(name_of(task.target))
            held = self.listener.held(task)
            self.asleep.update((self.listener.lock(key).id, condition) for key in held)


def collect(
    program: Program,
    strategy: Strategy,
    *,
    executions: int = 100,
    on_hang: Callable[[str], None] = print_hang,
) -> Collected:
    """Run `program` under `strategy` and return the lock order of all executions."""
    state = Collected(program)
    listener = LockOrderGraph()
    graphs: list[Graph] = []
    with Session(program, on_hang=on_hang, learn=True) as session:
        while state.executions < executions and strategy.new_execution():
            watching = [listener, *program.detectors()]
            ends = _Ends(listener)
            outcome = session.run(strategy, watching, record_sites=True, on_stop=ends.look)
            if outcome.abort is not None:
                state.stopped = why_not(outcome.abort)
                break
            state.executions += 1
            graphs.append(listener.finish(state.source))
            if outcome.finding is not None:
                state.failures[f"{outcome.finding.cause}: {outcome.finding.message}"] += 1
                _keep(state, outcome, outcome.finding, ends.asleep)
    state.graph = merged(graphs)
    return state


def _keep(
    state: Collected, outcome: Outcome, finding: Finding, asleep: set[tuple[str, str]]
) -> None:
    if finding.cause not in HANGS:
        return
    for pair in asleep - state.asleep.keys():
        state.asleep[pair] = Group(
            finding, outcome.choices, state.executions, 0.0, granularity=outcome.granularity
        )


def confirmed_monitors(
    collected: Collected, fingerprints: Iterable[str], strategy: NamedStrategy
) -> list[tuple[Confirmed, Group]]:
    """Run again the hangs that nested monitors named by `fingerprints` explain; return those that held."""
    known = {fingerprint((MONITOR, *pair)): group for pair, group in collected.asleep.items()}
    out = []
    for name in [name for name in fingerprints if name in known]:
        group = known[name]
        with Session(collected.program) as session:
            confirm(session, group, strategy)
        if not group.doubt:
            target = collected.program.target
            outcome = Confirmed(name, Status.CONFIRMED, group.first, target, group.token, "")
            out.append((outcome, group))
    return out
