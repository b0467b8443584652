"""Each detector finds the fault it is for, and is silent on the same program corrected."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import verify
from stress.cli import main
from verify import CheckFailed, CheckInconclusive, Settings, UsageError, detecting, registry
from verify.caller import caller
from verify.detectors import ON_REQUEST, Atomicity, Race, Starvation
from verify.explore import Exploration, Verdict, explore
from verify.program import of_code

from . import detected, zoo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def searched(
    body: Callable[[], object],
    *names: str,
    executions: int = 40,
    granularity: str = "access",
    steps: int = 20_000,
) -> Exploration:
    settings = Settings(max_steps=steps, fair_steps=steps)
    program = replace(of_code(body, f"{__name__}:{body}"), settings=settings)
    program = program.watched(names).by_default(granularity)
    return explore(program, registry.make("portfolio", 1), executions=executions)


def found(body: Callable[[], object], *names: str, steps: int = 20_000) -> set[str]:
    state = searched(body, *names, steps=steps)
    assert all(not group.doubt for group in state.groups.values())
    return {group.finding.cause for group in state.groups.values()}


@pytest.mark.parametrize(
    ("name", "cause", "faulty"),
    [
        ("race", "data race", detected.race),
        ("race", "data race", detected.race_one_item),
        ("race", "data race", detected.race_wrong_lock),
        ("race", "data race", detected.race_declared),
        ("atomicity", "atomicity violation", detected.lost_update),
        ("atomicity", "atomicity violation", detected.check_then_act),
        ("atomicity", "atomicity violation", detected.guard_then_act),
        ("leaks", "leaked thread", detected.leak),
        ("undrained", "never-drained queue", detected.undrained),
    ],
)
def test_fault(name: str, cause: str, faulty: Callable[[], None]) -> None:
    """The fault is found, and its schedule fails in the same way when it is run again, on OS threads too."""
    assert {cause} == found(faulty, name)


@pytest.mark.parametrize(
    "sound",
    [
        detected.race_fixed, detected.race_own_items, detected.race_declared_apart, detected.lost_update_fixed,
        detected.check_then_act_fixed, detected.check_other_keys, detected.leak_fixed, detected.undrained_fixed,
        detected.lost_wakeup_fixed,
    ],
)  # fmt: skip
def test_sound(sound: Callable[[], None]) -> None:
    """All detectors at once find nothing in a corrected program."""
    assert set() == found(sound, *ON_REQUEST)


@pytest.mark.slow
def test_starvation() -> None:
    """A writer whom readers keep out for ever is starved; where readers let it pass, nothing is found."""
    assert {"starvation"} == found(detected.starve, "starvation", steps=400)
    assert set() == found(detected.starve_fixed, "starvation", steps=400)


def test_passed_over() -> None:
    """A task that is passed over often is noted, and nothing fails."""

    def body() -> None:
        lock = threading.Lock()

        def take() -> None:
            for _ in range(12):
                with lock:
                    pass

        zoo.together(take, take, take)

    program = of_code(body, "passed")
    often = replace(program, detectors=lambda: [Starvation(limit=8), *program.detectors()])

    state = explore(often, registry.make("random", 1), executions=50)

    assert {"starvation"} == {group.finding.cause for group in state.notes.values()}
    assert {} == state.groups


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (detected.asleep_beside_a_heartbeat, "lost wake-up"),
        (detected.deadlock_beside_a_heartbeat, "deadlock"),
        (detected.dead_owner_beside_a_heartbeat, "lock held by a dead thread"),
    ],
)
def test_partial(body: Callable[[], None], cause: str) -> None:
    """Who waits for ever is found while a daemon goes on for ever."""
    assert {cause} == found(body, steps=400)


def test_lost_wakeup_tells() -> None:
    """The report says who notified when nobody waited, and why nobody can notify any more."""
    (group,) = searched(detected.lost_wakeup).groups.values()
    waits, notified, main, waker, _ = group.finding.details

    assert (
        "Thread-1 (wait) waits in Condition.wait for ready; it was notified 1 times while nobody waited"
        == waits
    )
    assert notified.startswith("  Thread-2 (wake) notified at ")
    assert notified.endswith(": nobody waited")
    assert "main cannot wake it: it waits in Thread.join for Thread-1 (wait)" == main
    assert "Thread-2 (wake) cannot wake it: it has ended" == waker


def test_cleared_event_tells() -> None:
    """An event that was set and cleared before anybody waited is told as such."""
    (group,) = searched(detected.cleared_event).groups.values()
    told = [line.strip().partition(" at ")[0] for line in group.finding.details[1:3]]

    assert ["Thread-2 (wake) set it", "Thread-2 (wake) cleared it"] == told


def test_race_tells() -> None:
    """A race names the field and both stacks."""
    (group,) = searched(detected.race, "race").groups.values()
    finding = group.finding
    file = "tests/verify/detected.py:"

    assert ("Account.balance",) == finding.key
    assert 2 == finding.message.count(file)
    assert [False, True] == [", earlier at " in line for line in finding.details[:2]]
    assert all(file in line and "race.<locals>.add" in line for line in finding.details[:2])


def test_ignored() -> None:
    """What is to be ignored is not judged."""
    for detector in (
        Race(ignore=frozenset({"Account.balance"})),
        Atomicity(ignore=frozenset({"Account.balance"})),
    ):
        program = of_code(detected.race, "ignored").at("access")
        program = replace(program, detectors=lambda detector=detector: [detector])  # type: ignore[misc] # bound now
        state = explore(program, registry.make("random", 1), executions=20)

        assert {} == state.groups


@pytest.mark.slow
def test_orders() -> None:
    """Whatever primitive orders two accesses, they are no race."""
    import queue
    from concurrent.futures import ThreadPoolExecutor

    def body() -> None:
        box = detected.Account()
        event, semaphore, barrier = threading.Event(), threading.Semaphore(0), threading.Barrier(2)
        jobs: queue.Queue[int] = queue.Queue()
        simple: queue.SimpleQueue[int] = queue.SimpleQueue()
        ready = threading.Condition()
        stage = 0

        def first() -> None:
            nonlocal stage
            box.balance += 1
            event.set()
            semaphore.acquire()
            box.balance += 1
            jobs.put(1)
            jobs.join()
            box.balance += 1
            simple.put(1)
            barrier.wait()
            box.balance += 1
            with ready:
                stage = 1
                ready.notify()

        def second() -> None:
            event.wait()
            box.balance += 1
            semaphore.release()
            jobs.get()
            box.balance += 1
            jobs.task_done()
            simple.get()
            box.balance += 1
            barrier.wait()
            with ready:
                ready.wait_for(lambda: stage)
            box.balance += 1

        zoo.together(first, second)
        with ThreadPoolExecutor(2) as pool:
            pool.submit(setattr, box, "balance", 0).result()
        box.balance += 1

    assert set() == found(body, "race", "atomicity")


def test_sometimes() -> None:
    """A name that was never true makes the search inconclusive; one that was true once does not."""
    seen: list[str] = []

    def body() -> None:
        zoo.together(lambda: seen.append("a"), lambda: seen.append("b"))
        verify.sometimes(seen[-1] == "a", "a is last")
        verify.sometimes(len(seen) > 1_000_000, "a million")
        seen.clear()

    state = searched(body)

    assert state.verdict is Verdict.INCONCLUSIVE
    assert ("never true in 40 executions: sometimes 'a million', asked 40 times",) == state.unmet
    with pytest.raises(CheckInconclusive, match="sometimes 'a million'"):
        verify.check(body, executions=5)


@pytest.mark.slow
def test_check_detects() -> None:
    """`check(detect=...)` uses the detectors named, and its report's last line replays with them."""
    reset = caller.set(None)  # else that line is pytest's
    try:
        with pytest.raises(CheckFailed, match="data race") as raised:
            verify.check(detected.race, detect=["race"], executions=20)
    finally:
        caller.reset(reset)
    line = str(raised.value).splitlines()[-1]
    token = line.partition("replay='")[2].partition("'")[0]

    assert "detect=['race']" in line
    with pytest.raises(CheckFailed, match="every step as recorded"):
        verify.check(detected.race, detect=["race"], replay=token)
    with pytest.raises(UsageError, match="other packages or detectors"):
        verify.check(detected.race, replay=token)


def test_unknown_detector() -> None:
    """A name that is none is refused with those there are."""
    for name in ("rice", "module:", ":Class"):
        with pytest.raises(UsageError, match="there are: race, atomicity"):
            verify.check(zoo.abba_ordered, detect=[name])
    with pytest.raises(UsageError, match="has no class 'Nothing'"):
        verify.check(zoo.abba_ordered, detect=["tests.verify.zoo:Nothing"])
    with pytest.raises(UsageError, match="without arguments"):
        verify.check(zoo.abba_ordered, detect=["verify.detectors:LockOrder"])


@pytest.mark.slow
def test_command_detects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--detect` works as `detect=`; a trace replays with the detectors it was found by, a token with those given."""
    target = "tests.verify.detected:check_then_act"
    asked = ["explore", target, "--detect", "atomicity,leaks", "--executions", "40", "--json"]

    assert 1 == main([*asked, "--output", str(tmp_path)])
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert "atomicity violation" == group["cause"]
    assert 1 == main(["replay", group["trace"]])
    assert "--detect atomicity,leaks" in capsys.readouterr().out
    assert 1 == main(
        ["replay", target, group["token"], "--detect", "leaks", "--detect", "atomicity"]
    )
    assert 2 == main(["replay", target, group["token"]])
    assert 2 == main(["explore", target, "--detect", "rice"])


@pytest.mark.slow
def test_command_divided(capsys: pytest.CaptureFixture[str]) -> None:
    """Batches in workers use the detectors, and what was to be reached is counted over all of them."""
    target = "tests.verify.detected:hoped_for"
    divided = ["explore", target, "--executions", "40", "--batch", "20", "--workers", "1", "--json"]

    assert 4 == main([*divided, "--detect", "race"])
    assert {"never": [40, 0], "always": [40, 40]} == json.loads(capsys.readouterr().out)[
        "sometimes"
    ]


def test_own_detector() -> None:
    """A detector of one's own is named as module:Class."""
    (made,) = detecting.make(["verify.detectors:Leaks"])

    assert "leaks" == made.name
