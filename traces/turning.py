"""The choice that decided a failure, as plain values: until it the run could still end otherwise, after it not.

Promises: the value is immutable; `turning` takes parsed JSON from anywhere and returns a value whose every field has
its type and keeps its bound, or raises `TraceError` naming the field.
Does not judge: the numbers are what whoever sampled the schedules counted, and they speak of those schedules alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from traces._fields import Fields, wrong

__all__ = ["Turning", "turning"]


@dataclass(frozen=True, slots=True)
class Turning:
    """The choice that let the step `step` run, by which `task` went on.

    Of `sampled` schedules that begin like this run and leave it only after that step, `failing` failed in the same way.
    Of `others` that begin like this run and let `instead` (a creation path) go on there, `others_failing` failed in
    the same way and `passing` ended well; `token` replays one of the latter ("" where none is kept).
    """

    step: int
    task: str
    sampled: int
    failing: int
    instead: str
    others: int
    others_failing: int
    passing: int
    token: str = ""


def turning(value: object, where: str, steps: int) -> Turning | None:
    """Read the `Turning` of a run of `steps` steps, or null."""
    if value is None:
        return None
    fields = Fields(value, where, Turning, optional=("token",))
    read = Turning(
        step=fields.whole("step"),
        task=fields.text("task"),
        sampled=fields.whole("sampled"),
        failing=fields.whole("failing"),
        instead=fields.text("instead"),
        others=fields.whole("others"),
        others_failing=fields.whole("others_failing"),
        passing=fields.whole("passing"),
        token=fields.text("token") if "token" in fields.values else "",
    )
    if read.step >= steps:
        wrong(f"{where}.step", read.step, f"one of the run's {steps} steps")
    return read
