"""A judgement, and a replay by anchors, as text: verdict first, what it rests on, replay line last. Only formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.text import show
from verify.durable.judging import MOST_SAID, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.durable.judging import Judgement
    from verify.durable.replaying import Followed
    from verify.explore import Group

MEANING = {
    Verdict.FIXED: "the failure was met neither around the recorded run nor among sampled schedules; that is no proof",
    Verdict.MASKED: "the failure is not gone",
    Verdict.FAILING: "a schedule fails in the same way and keeps the recorded orders",
    Verdict.INCONCLUSIVE: "nothing can be said",
}


def headline(found: Judgement) -> str:
    """Return the verdict in one line."""
    text = f"{found.verdict}: {found.program.target}: {found.why or MEANING[found.verdict]}"
    group = found.group or found.other
    return f"{text}; met: {said(group)}" if group is not None else text


def said(group: Group) -> str:
    """Return what failed in one line."""
    return f"{group.finding.cause}: {group.finding.message}"


def anchors(places: tuple[int, int], orders: tuple[int, int], gone: Sequence[str]) -> list[str]:
    """Return how much of a recorded run is left, in lines."""
    there = f"{places[0]} of {places[1]} recorded places are in this text"
    lines = [f"  anchors: {there}, {orders[0]} of {orders[1]} needed orders are left"]
    lines += [f"    gone: {text}" for text in gone[:MOST_SAID]]
    if len(gone) > MOST_SAID:
        lines.append(f"    gone: {len(gone) - MOST_SAID} more")
    return lines


def whole(found: Judgement, *, stacks: bool = True, closing: Sequence[str] = ()) -> str:
    """Return the whole report of a judgement."""
    lines = [f"{found.verdict}: {found.program.target}"]
    lines.append(f"  {found.why or MEANING[found.verdict]}")
    lines += anchors(found.places, found.orders, found.gone)
    lines += [f"  {reason}" for reason in found.reasons]
    lines.append(f"  {found.executions:,} executions in {found.seconds:.1f} s")
    if found.other is not None:
        lines.append("  another failure was met:")
    group = found.group or found.other
    if group is not None:
        lines.append(f"  {said(group)}")
        if group.trace is not None:
            lines += ["", show(group.trace, stacks=stacks, closing=closing).rstrip()]
    return "\n".join(lines)


def followed(run: Followed) -> str:
    """Return what a replay by anchors came to."""
    lines = [
        f"replayed by anchors: {run.target} is another text than the one recorded",
        f"  steps: {run.steps[0]} of {run.steps[1]} recorded steps were made",
        *anchors(run.places, run.orders, run.gone),
        f"  orders: {run.kept} of {run.orders[0]} that are left held",
    ]
    if run.stuck:
        lines.append(f"  the recorded order ends before {run.stuck}")
    if run.difference:
        return "\n".join([*lines, f"  stopped: {run.difference}"])
    if run.finding is None:
        return "\n".join([*lines, "  it did not fail; stage3 verify-fix says whether it still can"])
    same = "in the same way" if run.same else "otherwise"
    return "\n".join([*lines, f"  it failed {same}: {run.finding.cause}: {run.finding.message}"])
