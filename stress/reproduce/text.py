"""What `stage3 reproduce` says: the verdict first, how far the recorded order was followed, the replay line last."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from traces import artifacts
from traces.text import plain
from verify import report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stress.reproduce.evidence import Evidence
    from stress.reproduce.target import Chosen
    from verify.course import Track
    from verify.steering import Steering

__all__ = ["told"]


def told(
    state: Steering, evidence: Evidence, chosen: Chosen, changed: Sequence[str], file: str
) -> str:
    """Return the whole text; `file` is the trace's, "" without one."""
    lines = [_verdict(state, evidence), *(plain(line) for line in _facts(state, evidence, chosen))]
    lines += [f"  other text than the one that hung: {plain(each)}" for each in changed]
    if state.group is None:
        return "\n".join([*lines, *_next(state, chosen)]) + "\n"
    failure = report.failure(state.group, file)
    where = artifacts.where(file) if file else ()
    return "\n".join([*lines, "", failure.rstrip(), *where]) + "\n"


def _verdict(state: Steering, evidence: Evidence) -> str:
    hang = plain(f"{evidence.report.verdict}: {evidence.report.cause}")
    if state.group is None:
        return f"not reproduced: {hang}"
    return f"{'NO CERTAIN FIND' if state.doubt else 'reproduced'}: {hang}"


def _facts(state: Steering, evidence: Evidence, chosen: Chosen) -> Iterator[str]:
    course = state.course
    yield f"  target: {chosen.target} ({chosen.found})"
    what = "execution" if state.executions == 1 else "executions"
    stopped = f"; stopped: {state.stopped}" if state.stopped else ""
    yield f"  {state.executions:,} {what} in {state.seconds:.1f} s, seed {state.seed}{stopped}"
    part = (
        ""
        if course.whole
        else f" (the last of {evidence.snapshot.progress:,}: the beginning is lost)"
    )
    yield f"  recorded: {course.length:,} operations{part}, the first {state.followed:,} of them followed in order"
    waiting = [track for track in course.tracks if track.goal is not None]
    missing = _missing(waiting, state.arrived)
    yield f"  in their last wait: {len(state.arrived)} of {len(waiting)} threads{missing}"
    for failure, count in state.others.most_common(3):
        yield f"  met on the way, {count:,} times: {failure}"
    if state.group is not None and state.group.held:
        yield f"  its schedule {state.group.held}"


def _missing(waiting: Sequence[Track], arrived: Sequence[str]) -> str:
    left = list(arrived)
    missing: list[str] = []
    for track in waiting:
        if track.name in left:
            left.remove(track.name)
        elif track.goal is not None:
            missing.append(f"{track.name} ({track.goal.operation} at {track.goal.site})")
    return f"; not: {', '.join(missing[:8])}" if missing else ""


def _next(state: Steering, chosen: Chosen) -> list[str]:
    if state.stopped:
        return ["  next: take away what stopped it, and say the same again"]
    more = f"more executions or another seed (--seconds 600 --seed {state.seed + 1})"
    without = f"a search without the recording: stage3 explore {shlex.quote(plain(chosen.target))}"
    return [f"  next: {more}, another function (--target), or {without}"]
