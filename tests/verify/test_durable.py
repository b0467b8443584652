"""Durable replays: what became of a recorded failure once the text was edited."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from bench import edits
from stress.cli import main
from tests.verify.test_pytest_plugin import PLUGIN
from traces import store
from traces.anchors import Place
from verify import CheckFailed, CheckInconclusive, Portfolio, UsageError, explore, regression
from verify import program as programs
from verify.abc import Finding
from verify.durable.judging import Judgement, Verdict, judge
from verify.durable.matching import Places, likeness, same_line
from verify.durable.places import role_of_title, shown_at, words
from verify.durable.renaming import renamed, translate
from verify.durable.replaying import follow
from verify.durable.sameness import is_of_its_kind, is_same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traces.schema import Trace
    from verify.program import Program

    class Write(Protocol):
        """Puts a text where it can be imported."""

        def __call__(self, text: str, name: str = "edited_text") -> Program:
            """Write it as a module, and load its `main`."""
            ...


ENTRIES = {entry.name: entry for entry in edits.ENTRIES}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return what makes a program of a text, as a module that is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(text: str, name: str = "edited_text") -> Program:
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
        return programs.load(f"{name}:main")

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("edited_"):
            del sys.modules[name]


def recorded(name: str, write: Write) -> Trace:
    """Return the first failure of one of the programs of the benchmark, explained."""
    program = write(edits.source(name), f"edited_{name}").by_default()
    state = explore(program, Portfolio(0), executions=200, first_only=True, shrink=0.5)
    trace = next(iter(state.groups.values())).trace
    assert trace is not None
    return trace


def judged(name: str, text: str, write: Write) -> Judgement:
    trace = recorded(name, write)
    return judge(write(text), trace, executions=150)


# --- verdicts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crossed", "lost", "missed"])
def test_renamed(name: str, write: Write) -> None:
    """With all its names changed a program still fails, and nothing recorded is gone."""
    text = edits.source(name)
    for number, old in enumerate(ENTRIES[name].names):
        text = text.replace(old, f"another{number}")

    found = judged(name, text, write)

    assert (Verdict.FAILING, 1) == (found.verdict, found.exit_code)
    assert found.places[0] == found.places[1]
    assert found.group is not None
    assert found.group.token.startswith("s3:1:")


@pytest.mark.slow
def test_fixed_by_order(write: Write) -> None:
    """With the locks in one order the recorded order is forbidden, and the report says by which lock."""
    found = judged("crossed", edits.by_hand(edits.source("crossed"), ENTRIES["crossed"].fix), write)

    assert (Verdict.FIXED, 0) == (found.verdict, found.exit_code)
    assert any(
        "Thread (move) #2 waits in Lock.acquire for savings, held by Thread-1 (move)" in reason
        for reason in found.reasons
    )


@pytest.mark.slow
def test_fixed_by_lock(write: Write) -> None:
    """Accesses that a lock orders now are still followed, so that what forbids the old order can be said."""
    found = judged("lost", edits.by_hand(edits.source("lost"), ENTRIES["lost"].fix), write)

    assert (Verdict.FIXED, (2, 2)) == (found.verdict, found.orders)
    assert any("for State.lock, held by" in reason for reason in found.reasons)


@pytest.mark.slow
def test_fixed_where_orders_hold(write: Write) -> None:
    """A fix that leaves the orders possible says how many schedules kept them and did not fail."""
    found = judged("missed", edits.by_hand(edits.source("missed"), ENTRIES["missed"].fix), write)

    assert Verdict.FIXED is found.verdict
    assert found.reasons[-1].endswith("executions kept all orders that are left")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "why"), [("crossed", "does not keep its orders"), ("lost", "the failure has moved")]
)
def test_masked(name: str, why: str, write: Write) -> None:
    """A failure that happens by other orders, or shows elsewhere, is masked."""
    found = judged(name, edits.by_hand(edits.source(name), ENTRIES[name].mask), write)

    assert (Verdict.MASKED, 1) == (found.verdict, found.exit_code)
    assert why in found.why


UNLIKE = """
import threading

def main():
    other = threading.Thread(target=print, args=("",), kwargs={"end": ""})
    other.start()
    other.join()
"""


@pytest.mark.slow
def test_inconclusive(write: Write) -> None:
    """Where nothing that was recorded runs any more, nothing is said to be fixed."""
    found = judged("crossed", UNLIKE, write)

    assert (Verdict.INCONCLUSIVE, 4) == (found.verdict, found.exit_code)
    # Which of the two comes first depends on the orders that explain the failure: there may be several such sets.
    assert found.why.startswith("the anchors are gone: ")
    assert "no thread is Thread (move) #2" in found.why


@pytest.mark.slow
def test_another_failure(write: Write) -> None:
    """A failure of another kind does not change the verdict, but is told."""
    text = (
        edits.by_hand(edits.source("crossed"), ENTRIES["crossed"].fix)
        + '    raise ValueError("else")\n'
    )

    found = judged("crossed", text, write)

    assert (Verdict.FIXED, 1) == (found.verdict, found.exit_code)
    assert found.other is not None
    assert "ValueError" in found.other.finding.message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expected"),
    [("move", "shift"), ("args=(current, savings)", "args=(savings, current)")],
)
def test_without_explanation(change: str, expected: str, write: Write) -> None:
    """A failure that nobody explained is judged by the orders that its run shows."""
    trace = replace(recorded("crossed", write), explanation=None)

    found = judge(write(edits.source("crossed").replace(change, expected)), trace, executions=150)

    assert (2, 2) == found.orders
    assert (Verdict.FAILING if change == "move" else Verdict.FIXED) is found.verdict


def test_without_anchors(write: Write) -> None:
    """A trace of an earlier version is refused by a line that says what to do."""
    trace = replace(recorded("early", write), anchors=None)

    with pytest.raises(UsageError, match="record it again"):
        judge(write(UNLIKE), trace)


# --- replay


@pytest.mark.slow
def test_followed(write: Write) -> None:
    """A replay by anchors says how many steps and orders held, and fails in the same way."""
    trace = recorded("lost", write)
    text = (
        edits.source("lost")
        .replace("count", "total")
        .replace("    seen =", "    note = 1\n    seen =")
    )

    run = follow(write(text), trace)

    assert (True, 2, 1) == (run.same, run.kept, run.exit_code)
    assert run.steps[0] == run.steps[1]


@pytest.mark.slow
def test_followed_to_a_lock(write: Write) -> None:
    """Where the recorded order cannot go on, the lock in the way is named."""
    trace = recorded("lost", write)

    run = follow(write(edits.by_hand(edits.source("lost"), ENTRIES["lost"].fix)), trace)

    assert (None, 0) == (run.finding, run.exit_code)
    assert "waits in Lock.acquire for State.lock, held by Thread-" in run.stuck


# --- commands


@pytest.mark.slow
def test_verify_fix(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints verdict, anchors and a new trace, and the replay takes both texts."""
    file = str(store.save(recorded("crossed", write), tmp_path))
    write(edits.source("crossed").replace("move", "shift"))

    code = main(["verify-fix", file, "edited_text:main", "--output", str(tmp_path / "new")])
    printed = capsys.readouterr().out

    assert 1 == code
    assert printed.startswith("still failing: edited_text:main\n")
    assert "4 of 4 recorded places are in this text, 2 of 2 needed orders are left" in printed
    assert 1 == len(store.list_files(tmp_path / "new"))
    assert 1 == main(["replay", "edited_text:main", file])
    assert "replayed by anchors" in capsys.readouterr().out
    assert 2 == main(["replay", "edited_text:main", file, "--times", "2"])
    assert "leave --times, --backend and --keep away" in capsys.readouterr().err
    assert 1 == main(["replay", "edited_crossed:main", file])
    assert "1 identical step for step" in capsys.readouterr().out


@pytest.mark.slow
def test_regression_written(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test that is written fails while the bug is there; a second one is not written over it."""
    trace = recorded("early", write)
    file, test = str(store.save(trace, tmp_path)), tmp_path / "test_early.py"

    assert 0 == main(["regression", file, "--output", str(test)])
    assert trace == store.load(tmp_path / "test_early.json")
    spaces: dict[str, object] = {"__file__": str(test)}
    exec(compile(test.read_text(), str(test), "exec"), spaces)  # noqa: S102 - what was just written
    function = spaces["test_main_uncaught_exception"]
    assert callable(function)
    with pytest.raises(CheckFailed, match="every step as recorded"):
        function()
    assert 2 == main(["regression", file, "--output", str(test)])
    assert "exists; give another name" in capsys.readouterr().err


@pytest.mark.slow
def test_regression(write: Write, tmp_path: Path) -> None:
    """A regression passes once fixed, fails while masked, and is inconclusive where the anchors are gone."""
    file = store.save(recorded("early", write), tmp_path)
    entry = ENTRIES["early"]

    write(edits.by_hand(edits.source("early"), entry.fix))
    found = regression(file, "edited_text:main", executions=100)
    assert Verdict.FIXED is found.verdict

    write(edits.by_hand(edits.source("early"), entry.mask))
    with pytest.raises(CheckFailed, match="the failure has moved"):
        regression(file, "edited_text:main", executions=100)

    body = write(UNLIKE).body
    with pytest.raises(CheckInconclusive, match="the anchors are gone"):
        regression(file, body, executions=100)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify-fix", "nowhere.json"], "cannot be read"),
        (["regression", "nowhere.json", "--output", "test_x.py"], "cannot be read"),
    ],
)
def test_bad_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad input is one line and exit code 2."""
    assert 2 == main(arguments)
    assert said in capsys.readouterr().err


def test_hostile_target(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a trace says cannot become code of the test that is written."""
    trace = recorded("early", write)
    program = replace(trace.program, target='edited_early:main?x="""+print(1)+"""')
    file = store.save(replace(trace, program=program), tmp_path)

    assert 2 == main(["regression", str(file), "--output", "test_y.py"])
    assert "cannot be written into a test" in capsys.readouterr().err


@pytest.mark.slow
def test_committed() -> None:
    """The tutorial's committed test passes in a process of its own."""
    root = Path(__file__).parents[2]
    test = "examples/box_office/test_last_ticket.py"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", "-q", test],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == run.returncode, run.stdout + run.stderr


# --- matching


def place(line: str, function: str = "move", made: str = "", called: str = "lock") -> Place:
    return Place(function, line, "Lock.acquire", called, made)


def test_lines() -> None:
    """Spaces and comments are no part of a line, and names count less than words of the language."""
    assert ["with", "a", ":"] == words("   with a:  # both")
    assert 1.0 == same_line("with a :", "with a :")
    assert 0.75 == same_line("with a :", "with b :")
    assert 0.0 == same_line("return 1", "with b :")


def test_roles() -> None:
    """A thread's number is no part of its role."""
    assert "Thread (move)" == role_of_title("Thread-12 (move)")
    assert "worker" == role_of_title("worker-3")
    assert "vcpu" == role_of_title("vcpu 0")


def test_other_operations_differ() -> None:
    """Places with operations of different kinds have nothing in common."""
    one = place("with a :")

    assert 0.0 == likeness(one, replace(one, op="read"))
    assert likeness(one, one) > likeness(one, replace(one, op="Lock.try_acquire")) > 0


def test_one_for_one() -> None:
    """No new place stands for two old ones."""
    old = [place("with a :", called="a"), place("with b :", called="b")]
    places = Places(old, ())
    for new in (place("with b :", called="b"), place("with c :", called="c")):
        places.number(new)
    places.settle()

    assert [1, 0] == list(places.new.values())


def test_renaming() -> None:
    """A name is only replaced by one that was not there before."""
    old = [place("with savings :", called="savings"), place("with current :", called="current")]
    new = [place("with piggy :", called="piggy"), place("with current :", called="current")]

    assert {"savings": "piggy"} == renamed(old, new, lambda _, __: 1.0)


def test_keys() -> None:
    """Keys that name a loop, or a variable, are told by function and by name; long ones are cut."""
    assert (Place("spin", "", "loop", "", ""),) == shown_at(("loop at some/file.py spin",))
    assert (Place("", "", "State.count", "", ""),) == shown_at(("State.count",))
    assert 400 == len(shown_at(("x" * 1000,))[0].op)
    assert "Other.count" == translate(shown_at(("State.count",))[0], {"State": "Other"}).op


def test_sameness() -> None:
    """Waits are the same in one function, exceptions at one line; all that hangs is of one kind."""
    wait = Finding("deadlock", "", ("Lock.acquire at x.py:1 move",))
    raised = Finding("uncaught exception", "", ("ValueError", "x.py:1 move"))

    assert is_same("deadlock", shown_at(("Lock.acquire at y.py:7 move",)), wait)
    assert not is_same("deadlock", shown_at(("Lock.acquire at y.py:7 other",)), wait)
    assert not is_same("uncaught exception", shown_at(("KeyError", "x.py:1 move")), raised)
    assert is_of_its_kind("lost wake-up", wait)
    assert not is_of_its_kind("lost wake-up", raised)
