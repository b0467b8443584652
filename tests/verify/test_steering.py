"""Steering: a recorded order of operations becomes a schedule that ends as the recording did."""

from __future__ import annotations

from dataclasses import replace

from tests.stress.hang_values import NOW, SECOND
from tests.stress.steered import ORDER, crossed, crossing, entries, site
from verify import program
from verify.course import Mark, course_of, same_name, site_of, site_of_text
from verify.observe.snapshot import Entry, Frame, Snapshot
from verify.session import Session
from verify.steering import Steering, steer
from verify.strategies.steered import Steered


def steered(
    shot: Snapshot, verdict: str = "deadlock", *, executions: int = 1000, seed: int = 0
) -> Steering:
    course = course_of(shot)
    return steer(program.of(crossing), course, verdict, executions=executions, seed=seed)


def test_course_numbers_operations_and_last_waits() -> None:
    """One order over all threads; a last wait stands where it began; paths from the recorded starts."""
    course = course_of(crossed())

    assert ["main", "main/1", "main/2"] == [track.path for track in course.tracks]
    assert (len(ORDER), True) == (course.length, course.whole)
    one = course.tracks[1]
    assert Mark(2, "Lock.acquire", site_of(site("one-round"))) == one.marks[0]
    assert ("one", "Lock.acquire", site_of(site("one-second"))) == one.stand
    assert one.goal is not None
    assert one.goal.order > one.marks[-1].order


def test_earlier_runs_are_left_out() -> None:
    """What is older than the run belongs to another one."""
    old = Entry(0, NOW - 60 * SECOND, 1, "Lock.acquire", 1, None, site("join"))
    course = course_of(crossed(ring=(old, *entries())), since_ns=NOW - 20 * SECOND)

    assert (len(ORDER), True) == (course.length, course.whole)


def test_names_and_sites_are_the_same_in_both_worlds() -> None:
    """Numbers of default names and directories say nothing; the threading machinery has no site."""
    assert "Thread (move)" == same_name("Thread-17 (move)")
    assert "Thread-safe" == same_name("Thread-safe")
    assert "bank.py:7" == site_of(Frame("/home/me/bank.py", 7, "move"))
    assert "bank.py:7" == site_of_text("examples/bank.py:7 Bank.move.<locals>.f")
    assert "" == site_of(Frame("/usr/lib/python3.11/threading.py", 982, "Thread.run"))
    assert "threading.py:9" == site_of(Frame("/app/threading.py", 9, "f"))


def test_the_first_execution_follows_the_order() -> None:
    """The whole recorded order is followed, and the hang is there at once."""
    found = steered(crossed())

    assert found.group is not None
    assert ("", 1, len(ORDER)) == (found.doubt, found.executions, found.followed)
    assert "deadlock" == found.group.finding.cause
    assert ("MainThread", "one", "two") == found.arrived
    assert found.group.trace is not None
    assert "steered" == found.group.trace.strategy


def test_following_is_exact() -> None:
    """Operations take effect in the recorded order, whatever another order would have done."""
    strategy = Steered(course_of(crossed()))
    with Session(program.of(crossing)) as session:
        strategy.new_execution()
        session.run(strategy, program.of(crossing).detectors())

    assert list(range(len(ORDER))) == sorted(strategy.made)


def test_a_recording_without_its_beginning() -> None:
    """What is left of the order is enough, with executions that are free until a drawn step."""
    shot = replace(crossed(ring=entries(len(ORDER) - 3)), progress=5000)
    found = steered(shot, executions=300)

    assert not found.course.whole
    assert found.group is not None
    assert "" == found.doubt


def test_other_waits_are_another_hang() -> None:
    """The same class at other places is no find; the search says what it met."""
    shot = crossed()
    one = shot.threads[1]
    assert one.waiting is not None
    elsewhere = replace(one.waiting, stack=(site("one-round"),))
    moved = replace(shot, threads=(shot.threads[0], replace(one, waiting=elsewhere), shot.threads[2]))  # fmt: skip
    found = steered(moved, executions=9)

    assert found.group is None
    assert 9 == found.executions
    assert any(text.startswith("deadlock: 2 tasks wait for each other") for text in found.others)
    assert 2 == len(found.arrived)


def test_another_class_is_another_hang() -> None:
    """A verdict that no deadlock means is not reached by one."""
    found = steered(crossed(), "livelock", executions=1)

    assert found.group is None
    assert 1 == found.others.total()


def test_the_same_seed_searches_alike() -> None:
    """Deviations are drawn from the seed alone."""
    shot = replace(crossed(ring=entries(len(ORDER) - 3)), progress=5000)
    one, two = (steered(shot, executions=300, seed=7) for _ in range(2))

    assert one.group is not None
    assert two.group is not None
    assert (one.executions, one.group.choices) == (two.executions, two.group.choices)
