"""Targets that cannot be searched: each its own message that says what to do, in one line, exit code 2 or 4."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import verify
from stress.cli import main
from verify import program as programs
from verify import registry
from verify.explore import ALONE, Verdict, explore

from . import orders

if TYPE_CHECKING:
    from pathlib import Path

HERE = "tests.verify.orders"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Return the name of a module with the text of the test's parameter."""
    name = f"odd_{abs(hash(request.param))}"
    (tmp_path / f"{name}.py").write_text(request.param)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("1 / 0", r"\.py:1 raises ZeroDivisionError: division by zero; correct it first"),
        ("raise SystemExit(3)", r"it ends the process \(exit 3\); put that behind if __name__"),
        ("import no_such_thing", "No module named 'no_such_thing'; install what it needs"),
        ("def f(:", "invalid syntax .*; correct it first"),
    ],
    indirect=["module"],
)
def test_modules_that_cannot_be_imported(
    module: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a module does while it is imported is one line, with the place where it does it."""
    code = main(["explore", f"{module}:f"])
    (line,) = capsys.readouterr().err.splitlines()

    assert 2 == code
    assert re.search(f"module '{module}' cannot be imported: .*{said}", line)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([f"{HERE}:HERE"], "has no function 'HERE'; it has: "),
        ([f"{HERE}:__name__"], "is a str, not a function; name a function"),
        ([f"{HERE}:takes"], "missing a required argument: 'count'; it takes (count: 'int')"),
        ([f"{HERE}:later"], "is a coroutine function: called, it runs nothing; name a function that calls"),
        ([f"{HERE}:lazily"], "is a generator function: called, it runs nothing; name a function that goes"),
        ([f"{HERE}:one_lock", "--package", "no_such"], "no package 'no_such' on the path; name one that"),
        ([f"{HERE}:one_lock", "--package", "a b"], "no package 'a b' on the path"),
        ([f"{HERE}:one_lock", "--package", ".."], "no package '..' on the path"),
        ([f"{HERE}:one_lock", "--confidence", "0.9"], "confidence 0.9 in what? give a bug depth"),
        ([f"{HERE}:one_lock", "--bug-depth", "2", "--unseen", "0.1"], "ask for one of them"),
        ([f"{HERE}:one_lock", "--bug-depth", "2", "--strategy", "pos"], "which pos does not have"),
        ([f"{HERE}:one_lock", "--bug-depth", "2", "--fair"], "leave it away with --bug-depth"),
        ([f"{HERE}:one_lock", "--bug-depth", "2", "--workers", "2"], "leave --workers and its like away"),
        ([f"{HERE}:one_lock", "--bug-depth", "2", "--strategy", "pct", "--pct", "3,9,2"], "say one of them"),
    ],
)  # fmt: skip
def test_targets_and_goals(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be searched is named, with what to do."""
    code = main(["explore", *arguments])
    (line,) = capsys.readouterr().err.splitlines()

    assert (2, True) == (code, said in line), line


@pytest.mark.parametrize("value", ["0", "1", "1.5", "nan", "", "x"])
def test_shares(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A share lies between 0 and 1."""
    with pytest.raises(SystemExit) as caught:
        main(["explore", f"{HERE}:one_lock", f"--unseen={value}"])

    assert 2 == caught.value.code
    assert f"--unseen: {value!r}" in capsys.readouterr().err.splitlines()[-1]


def test_no_thread_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A target that starts no thread is inconclusive at once: exit code 4, with what to do."""
    code = main(["explore", f"{HERE}:alone"])
    out = capsys.readouterr().out

    assert (4, True) == (code, out.startswith(f"inconclusive: {HERE}:alone\n  10 executions"))
    assert ALONE in out
    assert "worth" not in out


def test_no_thread_in_a_divided_search(capsys: pytest.CaptureFixture[str]) -> None:
    """So it is where the search is divided."""
    code = main(["explore", f"{HERE}:alone", "--workers", "1", "--executions", "5"])

    assert (4, True) == (code, ALONE in capsys.readouterr().out)


def test_no_thread_in_a_check() -> None:
    """So it is in a check: no pass without a thread."""
    with pytest.raises(verify.CheckInconclusive, match="no execution started a thread"):
        verify.check(orders.alone)


def test_no_thread_where_none_is_asked_for() -> None:
    """The search itself leaves it to its caller."""
    state = explore(programs.of(orders.alone), registry.make("random", 0), executions=20)

    assert (Verdict.NOT_FOUND, 20) == (state.verdict, state.executions)


def test_a_find_needs_no_thread() -> None:
    """A thread that waits for itself is a find."""

    def twice() -> None:
        import threading

        lock = threading.Lock()
        with lock, lock:
            pass

    with pytest.raises(verify.CheckFailed, match="self-deadlock"):
        verify.check(twice)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (3, "3 is not a function; give a function without parameters"),
        (orders.takes, "missing a required argument: 'count'; .* functools.partial"),
        (orders.later, "is a coroutine function"),
        (orders.lazily, "is a generator function"),
    ],
)
def test_bodies_of_a_check(body: object, said: str) -> None:
    """A body that cannot be called with nothing is refused before anything runs."""
    with pytest.raises(verify.UsageError, match=said):
        verify.check(body)  # type: ignore[arg-type] # on purpose


def test_decorated_coroutine() -> None:
    """The decorator refuses what would never run."""
    with pytest.raises(verify.UsageError, match="is a coroutine function"):
        verify.interleavings(executions=3)(orders.later)
