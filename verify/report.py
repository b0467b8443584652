"""What an exploration and its failures say: verdict first, then the cause in one sentence, the replay line last.

Pure formatting: values in, text out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.text import show
from verify.detectors.livelock import SAMARITAN
from verify.runtime.carriers import THREADS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traces.schema import Trace
    from verify.explore import Exploration, Group, Lost

MOST_LOST = 20


def summary(state: Exploration) -> str:
    """Return the verdict and what it rests on, in a few lines."""
    rate = state.executions / state.seconds if state.seconds else 0.0
    budget = f"{state.executions:,} executions, {state.steps:,} steps in {state.seconds:.1f} s"
    lines = [
        f"{state.verdict}: {state.program.target}",
        f"  {budget} ({rate:,.0f} executions/s), strategy {state.strategy}, seed {state.seed}"
        + (", on OS threads" if state.backend == THREADS else ""),
    ]
    if state.granularity != "sync":
        lines.append(f"  scheduling points: {points(state.granularity)}")
    if state.parts:
        lines.append(f"  {state.parts}")
    lines += [f"  LOST: {lost.text}" for lost in state.lost[:MOST_LOST]]
    if len(state.lost) > MOST_LOST:
        lines.append(f"  LOST: {len(state.lost) - MOST_LOST:,} more")
    if state.diverged:
        lines.append(f"  stopped: {state.diverged}")
    elif state.why and not state.groups:
        lines.append(f"  {state.why}")
    lines += [f"  {headline(group, state.executions)}" for group in state.groups.values()]
    if state.warnings:
        lines.append("  warnings (this build of Python cannot show these):")
        lines += [f"    {headline(group, state.executions)}" for group in state.warnings.values()]
    if state.notes:
        lines.append("  noted on the way (no execution ends with these):")
        for group in state.notes.values():
            lines += note(group, state.executions)
    if state.groups:
        lines += [f"  {sentence}" for sentence in state.unmet]
    lines += worth(state)
    return "\n".join(lines)


def worth(state: Exploration) -> list[str]:
    """Return what the executions are worth if none failed, in lines; where they are worth nothing, none."""
    if state.exhausted:
        return [f"  {state.worth}"]
    if state.groups or not state.executions or state.alone or state.diverged:
        return []
    ended = "what was asked for is reached" if state.short == "" else "the budget is spent"
    seen = state.measure.worth(state.strategy) if state.measure is not None else []
    return [f"  {ended}; that is no proof. {state.worth}", *(f"  {part}" for part in seen)]


def note(group: Group, executions: int) -> list[str]:
    """Return the lines on what was noted on the way: of a circle, the circle."""
    shown = group.finding.details if group.finding.cause == SAMARITAN else ()
    return [f"    {headline(group, executions)}", *(f"      {line}" for line in shown)]


def points(granularity: str) -> str:
    """Return where scheduling points lay, in words."""
    mode, _, pairs = granularity.partition("+")
    if not pairs:
        return f"granularity {mode}" + (", no shared accesses found" if mode == "access" else "")
    return f"granularity {mode}: operations, and accesses to {pairs.replace(',', ', ')}"


def headline(group: Group, executions: int) -> str:
    """Return one line on a group of findings."""
    share = 100.0 * group.count / executions if executions else 0.0
    text = (
        f"{group.finding.cause}: {group.finding.message} [first in execution {group.first:,}, "
        f"{group.count:,} of {executions:,} executions, {share:.3g} %]"
    )
    if group.wrong:
        return f"{text} NOT REPRODUCED: {group.wrong}"
    return "; ".join(part for part in (f"{text} {group.held}".rstrip(), group.build) if part)


def failure(group: Group, file: str = "", closing: Sequence[str] = ()) -> str:
    """Return the whole report of one group: steps by thread, backtraces, replay line (or the `closing` lines)."""
    if group.trace is None:
        lines = [f"{group.finding.cause}: {group.finding.message}", *group.finding.details]
        return "\n  ".join([*lines, f"no trace: {group.wrong or 'not recorded'}\n"])
    text = show(group.trace, file=file, closing=closing)
    return f"NO CERTAIN FIND: {group.doubt}\n{text}" if group.doubt else text


def loss(lost: Lost) -> str:
    """Return what was left of a part of a search that came to nothing."""
    return "\n  ".join([f"LOST: {lost.text}", *lost.report])


def in_one_line(state: Exploration) -> str:
    """Return the verdict with the cause that came first."""
    first = next(iter(state.groups.values()), None)
    if state.diverged or first is None:
        return f"{state.verdict}: {state.why}"
    return f"{state.verdict}: {headline(first, state.executions)}"


def whole(state: Exploration, closing: Callable[[Trace], Sequence[str]]) -> str:
    """Return summary and failures in one text; `closing` gives the last lines of a failure with a trace."""
    parts = [summary(state)]
    for group in state.groups.values():
        last = closing(group.trace) if group.trace is not None else ()
        parts.append(f"{'-' * 80}\n{failure(group, closing=last).rstrip()}")
    return "\n\n".join(parts)
