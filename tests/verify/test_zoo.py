"""Every faulty program's fault is found and replays; no sound one is blamed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from traces import token as tokens
from verify import PCT, RandomWalk, Settings, explore, replay
from verify.explore import Verdict
from verify.program import Program, of

from . import zoo


def program(body: zoo.Program) -> Program:
    return replace(of(body), settings=Settings(max_steps=2000, fair_steps=2000, max_jumps=2000))


@pytest.mark.parametrize("strategy", [RandomWalk, PCT])
@pytest.mark.parametrize("body", zoo.FAULTY, ids=lambda body: body.__name__)
def test_found(body: zoo.Program, strategy: type[RandomWalk | PCT]) -> None:
    """The fault is found, under its own cause class, within 300 executions."""
    state = explore(program(body), strategy(1), executions=300, first_only=True)

    assert Verdict.FOUND == state.verdict
    assert {zoo.FAULTY[body]} == {group.finding.cause for group in state.groups.values()}


@pytest.mark.parametrize("body", zoo.FAULTY, ids=lambda body: body.__name__)
def test_replayed(body: zoo.Program) -> None:
    """The printed token runs the same steps into the same failure, as often as asked."""
    target = program(body)
    (group, *_) = explore(target, RandomWalk(2), executions=300, first_only=True).groups.values()

    runs = replay(target, tokens.decode(group.token), trace=group.trace, times=20)

    assert [""] * 20 == [run.difference for run in runs]
    assert {group.finding.key} == {run.finding.key for run in runs if run.finding is not None}


@pytest.mark.parametrize("strategy", [RandomWalk, PCT])
@pytest.mark.parametrize("body", zoo.SOUND, ids=lambda body: body.__name__)
def test_not_blamed(body: zoo.Program, strategy: type[RandomWalk | PCT]) -> None:
    """No schedule of a sound program is reported."""
    state = explore(program(body), strategy(3), executions=300)

    assert [] == [group.finding.message for group in state.groups.values()]
    assert Verdict.NOT_FOUND == state.verdict


@pytest.mark.parametrize("body", zoo.FAULTY, ids=lambda body: body.__name__)
def test_backtraces(body: zoo.Program) -> None:
    """A failure carries the stack of every task that still stands, in the program's own lines."""
    (group, *_) = explore(
        program(body), RandomWalk(4), executions=300, first_only=True
    ).groups.values()

    assert group.trace is not None
    standing = [task for task in group.trace.tasks if task.state not in {"finished", "raised"}]
    started = [
        task for task in standing if any(step.task == task.path for step in group.trace.steps)
    ]
    assert started or zoo.FAULTY[body] == "uncaught exception"
    assert all(task.stack for task in started)
    assert all(frame.file.endswith("zoo.py") for task in started for frame in task.stack)
