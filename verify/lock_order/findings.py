"""What a graph comes to: its cycles, broken orders and nested monitors, each with its standing.

Promises: a finding has a name (16 digits) that stays the same over runs, machines and edits that move lines; cycles of
the same classes are one finding. `exit_code` is 1 where a schedule shows a deadlock or a declared order is broken, 4
where a cycle is neither confirmed nor excluded, else 0; what is accepted does not count.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from traces.lock_order import POTENTIAL, Link, Mode, Status, fingerprint
from verify.lock_order.judge import link_of
from verify.lock_order.merge import across

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from traces.lock_baseline import Accepted
    from traces.lock_order import Cycle, Graph, LockClass, Outcome

__all__ = [
    "CYCLE",
    "DECLARED_ORDER",
    "KEYS",
    "MONITOR",
    "Found",
    "Order",
    "Standing",
    "accepted_in",
    "exit_code",
    "findings",
    "made_by",
    "nestings",
    "silent",
]  # fmt: skip

CYCLE, KEYS, DECLARED_ORDER, MONITOR = (
    "lock-order cycle", "keys out of order", "declared order broken", "nested monitor",
)  # fmt: skip
UNKNOWN: Final = "unknown"


class Standing(StrEnum):
    """How far a finding is proved."""

    CONFIRMED = "confirmed"
    BROKEN = "broken"
    POTENTIAL = "potential"
    NOT_REACHED = "not reached"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: `names` are the locks as people call them; `accepted` is the reason it does not count, or ""."""

    fingerprint: str
    kind: str
    names: tuple[str, ...]
    standing: Standing
    text: str
    links: tuple[Link, ...]
    cycle: Cycle | None = None
    outcome: Outcome | None = None
    accepted: str = ""

    @property
    def title(self) -> str:
        """Return the locks in their circle, or in the order they were taken."""
        row = (*self.names, self.names[0]) if self.kind == CYCLE else self.names
        return f"{self.kind}: {' -> '.join(row)}"

    @property
    def counts(self) -> bool:
        """Whether it makes a command fail."""
        return not self.accepted and self.standing is not Standing.EXCLUDED


@dataclass(frozen=True, slots=True)
class Order:
    """A declared order: locks by name, outermost first, and leaves under which no declared lock is taken."""

    names: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()

    def breaks(self, before: str, after: str) -> str:
        """Say what is wrong with taking `after` while `before` is held, or nothing."""
        ranks = {name: at for at, name in enumerate(self.names)}
        if before in self.leaves and (after in ranks or after in self.leaves):
            return f"{before} is declared a leaf, under which no other lock is taken"
        if before in ranks and after in ranks and ranks[before] > ranks[after]:
            return f"declared order: {' > '.join(self.names)}"
        return ""


def findings(graph: Graph, order: Order | None = None) -> list[Found]:
    """Return all findings of a graph, the best proved first."""
    called = names_of(graph)
    found = [*_cycles(graph, called), *_keys(graph, called), *_monitors(graph, called)]
    if order is not None:
        found += _against(graph, called, order)
    ranks = list(Standing)
    return sorted(found, key=lambda each: (ranks.index(each.standing), each.title))


def names_of(graph: Graph) -> Mapping[str, str]:
    """Return what people call each class: its name, with its place where another class has the same name."""
    titles = {key: _title(each) for key, each in graph.classes.items()}
    counts = Counter(titles.values())
    return {
        key: title if counts[title] == 1 else _placed(title, graph.classes[key])
        for key, title in titles.items()
    }


def _title(each: LockClass) -> str:
    return each.name or f"{each.kind} made at {each.place or 'an unknown place'}"


def _placed(title: str, each: LockClass) -> str:
    return f"{title} of {each.file} {each.function}" if each.file and each.name else title


def _cycles(graph: Graph, called: Mapping[str, str]) -> Iterable[Found]:
    best: dict[str, Cycle] = {}
    for cycle in (*graph.cycles.values(), *across(graph)):
        name = fingerprint(cycle.classes)
        if cycle.verdict == POTENTIAL and not (name in best and best[name].objects):
            best[name] = cycle
    for name, cycle in best.items():
        outcome = graph.outcomes.get(name)
        if outcome is not None and _is_stale(graph, cycle, outcome):
            outcome = None
        names = tuple(called[key] for key in cycle.classes)
        said = _said(cycle, outcome)
        yield Found(name, CYCLE, names, _standing(outcome), said, cycle.links, cycle, outcome)


def _standing(outcome: Outcome | None) -> Standing:
    return Standing.POTENTIAL if outcome is None else Standing(outcome.status.value)


def _is_stale(graph: Graph, cycle: Cycle, outcome: Outcome) -> bool:
    """Say whether edges were seen elsewhere, or in another text of the program, than an exclusion speaks of."""
    return outcome.status is Status.EXCLUDED and made_by(graph, cycle.classes) != {outcome.scope}


def made_by(graph: Graph, classes: Sequence[str]) -> frozenset[str]:
    """Return the programs in which edges were seen that a circle of classes can be made of."""
    arcs = set(zip(classes, (*classes[1:], classes[0]), strict=True))
    return frozenset(
        source
        for key, edge in graph.edges.items()
        if (key.before, key.after) in arcs
        for source in (edge.sources or (UNKNOWN,))
    )


def _said(cycle: Cycle, outcome: Outcome | None) -> str:
    if outcome is None:
        return cycle.detail or "each thread could stand at its last acquisition at the same time"
    if outcome.status is Status.CONFIRMED:
        return f"a schedule ends in this deadlock, found in execution {outcome.runs} of the directed search"
    note = f" ({outcome.note})" if outcome.note else ""
    if outcome.status is Status.EXCLUDED:
        return f"every schedule of {outcome.target} was run and none ends in it{note}"
    return f"not reached in {outcome.runs} directed executions of {outcome.target}{note}"


def _keys(graph: Graph, called: Mapping[str, str]) -> Iterable[Found]:
    for key, edge in graph.edges.items():
        if key.mode is Mode.AGAINST_ORDER:
            name = fingerprint((KEYS, key.before))
            text = "a lock is taken while one of its class with the same or a higher key is held"
            yield Found(name, KEYS, (called[key.before],), Standing.BROKEN, text, (link_of(edge),))


def _monitors(graph: Graph, called: Mapping[str, str]) -> Iterable[Found]:
    for wait in graph.waits.values():
        notified = graph.notified.get(wait.condition)
        if notified is not None and wait.held in notified.held:
            text = (
                f"waits for {wait.condition} while it holds {called[wait.held]}, and every notification seen was made "
                "by a thread that held that, too"
            )
            link = Link(wait.thread, wait.held, "", wait.condition, wait.site)
            names = (called[wait.held], wait.condition)
            name = fingerprint((MONITOR, wait.held, wait.condition))
            outcome = graph.outcomes.get(name)
            yield Found(name, MONITOR, names, _standing(outcome), text, (link,), None, outcome)


def _against(graph: Graph, called: Mapping[str, str], order: Order) -> Iterable[Found]:
    seen: dict[str, Found] = {}
    for key, edge in graph.edges.items():
        if key.mode in {Mode.AGAIN, Mode.TRIES}:
            continue
        why = order.breaks(graph.classes[key.before].name, graph.classes[key.after].name)
        name = fingerprint((DECLARED_ORDER, key.before, key.after))
        if why and name not in seen:
            names = (called[key.before], called[key.after])
            seen[name] = Found(name, DECLARED_ORDER, names, Standing.BROKEN, why, (link_of(edge),))
    return seen.values()


def silent(graph: Graph, found: Iterable[Found]) -> list[Cycle]:
    """Return the cycles that are no deadlock, one for each circle of classes and reason, that no finding is about."""
    told = {each.fingerprint for each in found}
    out: dict[tuple[str, str], Cycle] = {}
    for cycle in graph.cycles.values():
        name = fingerprint(cycle.classes)
        if cycle.verdict != POTENTIAL and name not in told:
            out.setdefault((name, cycle.reason), cycle)
    return list(out.values())


def nestings(graph: Graph) -> list[str]:
    """Return the classes of which one lock is taken under another, with no order of keys declared."""
    return sorted(
        {key.before for key in graph.edges if key.before == key.after and key.mode is Mode.WAITS}
    )


def accepted_in(found: Iterable[Found], accepted: Sequence[Accepted], today: date) -> list[Found]:
    """Return the findings with the reasons for which they are accepted; an entry whose last day is over is none."""
    reasons = {each.fingerprint: each.reason for each in accepted if each.holds_on(today)}
    return [replace(each, accepted=reasons.get(each.fingerprint, "")) for each in found]


def exit_code(found: Iterable[Found]) -> int:
    """Return 1, 4 or 0."""
    standings = {each.standing for each in found if each.counts}
    if standings & {Standing.CONFIRMED, Standing.BROKEN}:
        return 1
    return 4 if standings else 0
