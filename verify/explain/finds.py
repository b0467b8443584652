"""Shrinking and explaining what an exploration found.

Promises: a find is only ever replaced by one that was recorded again and is no more doubtful; the token of the schedule
as it was found is kept beside it. The seconds are dealt out evenly to the finds that are left.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from traces.explanation import Shrunk
from traces.schema import MOST_TEXT
from verify import _real
from verify.builds import EVERY
from verify.explain.simplifying import Simplified, simplify
from verify.explain.turning import turning
from verify.granularity import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.explore import Group
    from verify.session import Session

    Record = Callable[[Group], None]

MOST_SIMPLIFYING = 0.7
"""The share of a find's seconds that shrinking has; the rest is for the choice that decided, where no order does."""


def simplify_all(session: Session, groups: Sequence[Group], seconds: float, record: Record) -> None:
    """Shrink and explain all groups within `seconds`; `record` runs a group's choices with every listener on."""
    sure = [group for group in groups if group.trace is not None and not group.wrong]
    end = _real.perf_counter() + seconds
    for at, group in enumerate(sure):
        share = (end - _real.perf_counter()) / (len(sure) - at)
        if share > 0:
            _simplify(session, group, share, record)


def _simplify(session: Session, group: Group, seconds: float, record: Record) -> None:
    end = _real.perf_counter() + seconds
    _simpler(session, group, seconds * MOST_SIMPLIFYING, record)
    found = group.explanation
    if group.trace is not None and (found is None or found.critical is None):
        with session.at(group.granularity):
            left = end - _real.perf_counter()
            turned = turning(session, group.finding, group.choices, left)
        group.trace = replace(group.trace, turning=turned)


def _simpler(session: Session, group: Group, seconds: float, record: Record) -> None:
    stock = group.build == EVERY and bool(parse(group.granularity).pairs)
    with session.at(group.granularity, labelling=stock):
        simple = simplify(session, group.finding, group.choices, seconds=seconds, stock=stock)
    if simple is None:
        return
    shown = replace(group, choices=simple.choices)
    if simple.choices != group.choices:
        with session.at(group.granularity):
            record(shown)
        if shown.wrong or (shown.doubt and not group.doubt):
            return
    _take_over(group, shown, simple)


def _take_over(group: Group, shown: Group, simple: Simplified) -> None:
    assert shown.trace is not None
    group.shrunk = Shrunk(
        group.token if len(group.token) <= MOST_TEXT else "",
        simple.found.preemptions,
        simple.found.steps,
        simple.best.preemptions,
        simple.executions,
        simple.fewest,
    )
    group.explanation = simple.explanation
    group.choices, group.finding = shown.choices, shown.finding
    group.token, group.held, group.wrong = shown.token, shown.held, shown.wrong
    group.trace = replace(shown.trace, shrunk=group.shrunk, explanation=group.explanation)
