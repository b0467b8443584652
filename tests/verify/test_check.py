"""`verify.check` and `@verify.interleavings`: what passes, what raises, and what the report says."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import unittest
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import verify
from tests.verify import zoo
from traces import token as tokens
from verify.caller import Caller, caller

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


def failure_of(fn: Callable[[], object], under_way: Caller | None = None, **how: object) -> str:
    """Return the report of a check that must fail; it knows of no test under way but the one given."""
    reset = caller.set(under_way)
    try:
        with pytest.raises(verify.CheckFailed) as caught:
            verify.check(fn, **how)  # type: ignore[arg-type]
    finally:
        caller.reset(reset)
    return str(caught.value)


def test_pass_returns_the_exploration() -> None:
    """A body that is right returns what was explored, and no stronger verdict than that."""
    state = verify.check(zoo.kept_update, executions=20)

    assert (20, verify.Verdict.NOT_FOUND) == (state.executions, state.verdict)


def test_report_verdict_first_replay_last() -> None:
    """The report begins with the verdict, has the cause, columns and stacks, and ends with the replay line."""
    lines = failure_of(zoo.abba, executions=50).splitlines()

    assert lines[0] == "found: tests.verify.zoo:abba"
    assert any("2 tasks wait for each other" in line for line in lines[1:4])
    assert "Tasks when it ended" in lines
    assert lines[-1].startswith("replay: verify.check(abba, replay='s3:1:")


def test_headline_is_one_line() -> None:
    """The headline has verdict and cause."""
    with pytest.raises(verify.CheckFailed) as caught:
        verify.check(zoo.abba, executions=50)

    assert caught.value.headline.startswith("found: deadlock: 2 tasks wait for each other")
    assert 1 == len(caught.value.headline.splitlines())


def token_in(report: str) -> str:
    """Return the token in the last line of a report."""
    return report.rsplit("replay='", 1)[1].removesuffix("')")


def test_token_replays() -> None:
    """The printed token fails again, and the second report ends with the same line."""
    report = failure_of(zoo.abba, executions=50)
    again = failure_of(zoo.abba, replay=token_in(report))

    assert again.startswith("replayed: deadlock:")
    assert report.splitlines()[-1] == again.splitlines()[-1]


def test_token_of_another_program() -> None:
    """A token is refused by another body, with what to do."""
    token = token_in(failure_of(zoo.abba, executions=50))

    with pytest.raises(verify.UsageError, match="another text of tests"):
        verify.check(zoo.kept_update, replay=token)


def test_inconclusive_is_no_pass() -> None:
    """A body that something outside the schedule decides raises, and says what usually does."""
    runs = itertools.count()

    def body() -> None:
        assert next(runs) != 3

    with pytest.raises(verify.CheckInconclusive, match="something outside the schedule decides"):
        verify.check(body, executions=50)


def test_same_seed_same_find() -> None:
    """The same seed finds the same schedule; another seed may not."""
    one, two = (failure_of(zoo.abba, executions=50, seed=7) for _ in range(2))

    assert token_in(one) == token_in(two)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"executions": 0}, "executions is 0"),
        ({"executions": True}, "executions is True"),
        ({"seconds": -1.0}, "seconds is -1.0"),
        ({"strategy": "luck"}, "no strategy 'luck'; there are: dfs, dpor, pct, portfolio"),
        ({"granularity": "fine"}, "granularity 'fine' is not known; say one of sync, gil"),
        ({"packages": ["no.such"]}, "no package 'no.such'"),
    ],
)
def test_bad_arguments(how: dict[str, object], said: str) -> None:
    """Arguments that cannot be used are named."""
    with pytest.raises(verify.UsageError, match=said):
        verify.check(zoo.abba, **how)  # type: ignore[arg-type]


def test_packages_belong_to_the_program() -> None:
    """The text of the packages named is part of what a schedule is tied to."""
    alone = verify.check(zoo.kept_update, executions=1).program
    wider = verify.check(zoo.kept_update, executions=1, packages=["traces"]).program

    assert (zoo.__file__,) == alone.files
    assert {str(path) for path in (ROOT / "traces").rglob("*.py")} < set(wider.files)
    assert alone.digest != wider.digest


class Counter:
    """A number that two threads raise without a lock."""

    def __init__(self) -> None:
        self.value = 0

    def raise_it(self) -> None:
        """Read, then write."""
        value = self.value
        self.value = value + 1


def lost_between_accesses() -> None:
    counter = Counter()
    zoo.together(counter.raise_it, counter.raise_it)
    assert counter.value == 2


def test_plain_attributes_by_default() -> None:
    """Without being asked a check puts scheduling points at conflicting accesses; `sync` leaves them out."""
    token = token_in(failure_of(lost_between_accesses, executions=100))
    state = verify.check(lost_between_accesses, executions=100, granularity="sync")

    assert failure_of(lost_between_accesses, replay=token).startswith("replayed: uncaught")
    assert verify.Verdict.EXHAUSTED == state.verdict


def test_settings_say_the_granularity() -> None:
    """Settings given are taken as they are."""
    settings = verify.Settings(max_steps=500)

    state = verify.check(lost_between_accesses, executions=20, settings=settings)

    assert (settings, "sync") == (state.program.settings, state.granularity)


def test_skip_leaves_the_check() -> None:
    """A skip raised in the body reaches the test framework as it was."""

    def body() -> None:
        raise unittest.SkipTest("not today")

    with pytest.raises(unittest.SkipTest, match="not today"):
        verify.check(body, executions=5)
    with pytest.raises(pytest.skip.Exception, match="nor now"):
        verify.check(lambda: pytest.skip("nor now"), executions=5)


def test_check_in_a_check() -> None:
    """A check inside another is refused, not run under two schedules."""
    with pytest.raises(verify.UsageError, match="inside another check"):
        verify.check(lambda: verify.check(zoo.abba), executions=2)


def test_caller_replays_and_names_its_command() -> None:
    """Inside a test under way the report ends with the test's own command, and its token is taken."""
    under_way = Caller(lambda: "pytest t.py::test --replay")
    last = failure_of(zoo.abba, under_way, executions=50).splitlines()[-1]
    under_way.replay = tokens.decode(last.split()[-1])
    again = failure_of(zoo.abba, under_way)
    other = failure_of(zoo.lost_update, under_way, executions=50)

    assert last.startswith("replay: pytest t.py::test --replay s3:1:")
    assert again.startswith("replayed: deadlock")
    assert other.startswith("found: tests.verify.zoo:lost_update")
    assert under_way.used


@pytest.fixture
def start() -> int:
    return 40


@verify.interleavings(executions=30)
@pytest.mark.parametrize("step", [1, 2])
def test_decorator_keeps_fixtures_and_parameters(start: int, step: int) -> None:
    """A decorated test gets fixture values and parameters in every execution, under control."""
    total = [start]
    lock = threading.Lock()

    def add() -> None:
        with lock:
            total[0] += step

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert start + 2 * step == total[0]
    assert verify.is_controlled()


class TestMethods:
    """The decorator on methods."""

    @verify.interleavings(executions=3)
    def test_method(self, start: int) -> None:
        """A method gets self and its fixtures."""
        zoo.together(lambda: None)
        assert (TestMethods, 40, True) == (type(self), start, verify.is_controlled())


def test_decorator_raises() -> None:
    """A decorated function that is wrong raises the report, under its own name and signature."""

    @verify.interleavings(executions=50)
    def wrong(why: str) -> None:
        zoo.abba()

    with pytest.raises(verify.CheckFailed, match=r"^found: .*:test_decorator_raises.*wrong"):
        wrong(why="locks")
    assert "wrong" == wrong.__name__


@pytest.mark.slow
def test_import_loads_nothing() -> None:
    """Importing the package or the plugin loads neither greenlet nor bytecode; a name used later does."""
    script = (
        "import sys, verify, verify.pytest_plugin\n"
        "assert not {'greenlet', 'bytecode', 'verify.explore'} & set(sys.modules)\n"
        "import verify.explore, verify.check\n"
        "from verify import explore, check\n"
        "assert callable(verify.explore) and callable(verify.check) and explore is verify.explore\n"
        "assert 'greenlet' in sys.modules and set(verify.__all__) <= set(dir(verify))\n"
        "assert all(getattr(verify, name).__name__ == name for name in verify.__all__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip

    assert (0, "") == (done.returncode, done.stderr)
