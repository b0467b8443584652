"""Certificates: what was searched to the end is called whole, and whatever is missing from it is missed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

import verify
from traces.certificate import CLASSES, TREE, Certificate
from traces.schema import Program
from verify import DFS, Portfolio, UsageError, explore
from verify.certificate import command, runs
from verify.certificate.checking import Checked, Judgement, check, follow
from verify.certificate.closure import Closure
from verify.certificate.footprint import apart, footprint
from verify.certificate.runs import Alternatives, Guide, Run
from verify.certificate.tree import Tree
from verify.certificate.writing import Keeping, certificate_of
from verify.happens_before import Classes
from verify.program import of
from verify.session import Session
from verify.strategies import dfs

from . import certified, zoo
from .certified import PROGRAMS, SEEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from verify.certificate.runs import Event


def searched(body: zoo.Program, preemptions: int | None = None) -> Certificate:
    """Return the certificate of a depth-first search."""
    keeping = Keeping(DFS(preemptions=preemptions))
    state = explore(of(body).at("sync"), keeping, executions=None)
    made = certificate_of(state, keeping)
    assert isinstance(made, Certificate), made
    return made


def reduced(certificate: Certificate, body: zoo.Program) -> Certificate:
    """Keep one execution of each class, by the fingerprints of the search's own order."""
    kept: dict[int, tuple[int, ...]] = {}
    classes = Classes()
    with Session(of(body).at("sync")) as session:
        for choices in certificate.executions:
            replay = verify.strategies.Replay(choices)
            replay.new_execution()
            session.run(replay, [classes, *session.program.detectors()])
            kept.setdefault(classes.fingerprint, choices)
    return replace(certificate, method=CLASSES, executions=tuple(kept.values()), classes=len(kept))


def checked(certificate: Certificate, body: zoo.Program) -> Checked:
    """Check at the scheduling points of the search."""
    return check(certificate, of(body).at("sync"))


class Opened:
    """A session with every execution of a certificate run, from which parts can be judged quickly."""

    def __init__(self, session: Session, certificate: Certificate) -> None:
        self.session = session
        self.runs = [follow(session, choices) for choices in certificate.executions]
        self.outcomes: dict[frozenset[int], set[str]] = {}

    def probe(self, steps: Sequence[Event], last: str) -> list[Event] | None:
        """Take steps, and one more."""
        guide = Guide(steps, last)
        self.session.run(guide, self.session.program.detectors())
        return guide.taken()

    def closure(self, runs: Sequence[Run]) -> Closure:
        """Return a closure of these."""
        made = Closure(self.probe)
        for run in runs:
            made.add(run)
        return made

    def is_closed(self, runs: Sequence[Run]) -> bool:
        """Whether nothing is missing."""
        made = self.closure(runs)
        return all(made.hole(number) is None for number in range(len(runs)))


@pytest.mark.parametrize("body", [each for each in PROGRAMS if each is not certified.waits_a_while])
def test_every_missing_execution_is_missed(body: zoo.Program) -> None:
    """All schedules are a whole tree, one of each class is closed, and neither is without any one of them."""
    every = searched(body)
    some = reduced(every, body)
    assert Judgement.VALID is checked(every, body).judgement
    assert Judgement.VALID is checked(some, body).judgement, checked(some, body).why

    with Session(of(body).at("sync")) as session:
        tree = Opened(session, every).runs
        for left_out in range(0, len(tree), 1 + len(tree) // 60):
            short = Tree(None)
            for number, run in enumerate(tree[:left_out] + tree[left_out + 1 :], 1):
                short.add(number, run)
            assert short.missing()
        opened = Opened(session, some)
        sets = opened.closure(opened.runs).sets
        for left_out, run in enumerate(opened.runs):
            rest = opened.runs[:left_out] + opened.runs[left_out + 1 :]
            if not any(
                sets[left_out] < other for other in sets
            ):  # what begins another is there all the same
                assert not (rest and opened.is_closed(rest)), run


@pytest.mark.parametrize("body", PROGRAMS)
def test_a_class_has_one_outcome(body: zoo.Program) -> None:
    """The checker's own table calls operations independent only where their order changes nothing that is seen."""
    outcomes: dict[frozenset[int], set[str]] = {}
    with Session(of(body).at("sync")) as session:
        closure = Closure(lambda *_: None)
        for choices in searched_in(session):
            SEEN.clear()
            closure.add(follow(session, choices))
            outcomes.setdefault(closure.sets[-1], set()).add(repr(ordered(body)))

    assert {1} == {len(each) for each in outcomes.values()}


def ordered(body: zoo.Program) -> list[object]:
    """What was seen; where the order of independent steps is what differs, without it."""
    return sorted(SEEN, key=repr) if body in {certified.events, certified.permits} else list(SEEN)


def searched_in(session: Session) -> list[tuple[int, ...]]:
    """Return every schedule, in an open session."""
    strategy = DFS()
    found = []
    while strategy.new_execution():
        found.append(session.run(strategy, session.program.detectors()).choices)
    return found


def test_every_step_is_asked_for_again() -> None:
    """An execution that fits no more, fails, ends early or goes on is named with its number."""
    every = searched(certified.tries)
    for executions, words in (
        (((9,),), "execution 1 does not fit the program: choice 1 is 9, but there are"),
        (
            (every.executions[0][:1],),
            "execution 1 does not fit the program: the program asks for choice 2",
        ),
        (((*every.executions[0], 0),), "execution 1 ends after"),
        ((every.executions[0],) * 2, "alternatives at choice"),
        ((), "it has no execution"),
    ):
        found = checked(replace(every, executions=executions), certified.tries)
        assert Judgement.REJECTED is found.judgement
        assert words in found.why
    twice = checked(
        replace(every, executions=(*every.executions, every.executions[0])), certified.tries
    )
    assert "an execution is in it twice" == twice.why


@pytest.mark.parametrize("strategy", [DFS, Portfolio])
def test_a_search_that_repeats_itself(
    strategy: type[DFS | Portfolio], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was run several times, by descents or by the members of a portfolio, is in the certificate once."""
    monkeypatch.setattr(dfs, "ESTIMATED_FROM", 5)
    monkeypatch.setattr(dfs, "PROBE_EVERY", 4)
    program = of(certified.locks).at("sync")
    keeping = Keeping(strategy())
    state = explore(program, keeping, executions=None)

    made = certificate_of(state, keeping)

    assert isinstance(made, Certificate)
    assert len(made.executions) < state.executions
    assert (Judgement.VALID, "") == (check(made, program).judgement, check(made, program).why)


def test_keeping_changes_nothing() -> None:
    """A portfolio that is kept deals its executions out as one that is not: its members listen."""
    alone, kept = Portfolio(0), Portfolio(0)
    for strategy in (alone, Keeping(kept)):
        explore(of(certified.tries).at("sync"), strategy, executions=40)

    assert [one.runs for one in alone.members] == [one.runs for one in kept.members]
    assert alone.reads_from.pairs
    assert alone.reads_from.pairs == kept.reads_from.pairs


def test_an_end_in_the_middle_is_seen() -> None:
    """Of two executions that begin alike one cannot end where the other goes on, whichever comes first."""
    two = Alternatives(2, (0, 0), 0)
    short, long = (Run((0,) * many, alternatives=[two] * many) for many in (1, 2))
    for both, words in (
        ((short, long), "execution 2 goes on where execution 1 ends"),
        ((long, short), "execution 1 goes on where execution 2 ends"),
    ):
        tree = Tree(None)
        for number, run in enumerate(both, 1):
            tree.add(number, run)
        assert words == tree.missing()


def test_a_failing_execution_is_no_part_of_a_pass() -> None:
    """What a certificate holds has to pass when it is run again."""
    program = of(zoo.abba).at("sync")
    keeping = Keeping(DFS())
    state = explore(program, keeping, executions=3000)
    assert "the search was not exhausted: " in str(certificate_of(state, keeping))
    state.groups.clear()
    made = certificate_of(state, keeping)
    assert isinstance(made, Certificate)

    found = check(made, program)

    assert Judgement.REJECTED is found.judgement
    assert "fails: 2 tasks wait for each other" in found.why


@pytest.mark.parametrize("bound", [0, 1])
def test_a_bound_of_preemptions(bound: int) -> None:
    """A bounded search is whole up to its bound, not beyond it, and not without any one of its executions."""
    body = certified.locks
    bounded = searched(body, bound)

    assert Judgement.VALID is checked(bounded, body).judgement
    assert Judgement.REJECTED is checked(replace(bounded, preemptions=bound + 1), body).judgement
    assert (
        f"more than {bound}"
        in checked(replace(searched(body, bound + 1), preemptions=bound), body).why
    )
    for left_out in range(0, len(bounded.executions), 1 + len(bounded.executions) // 6):
        rest = bounded.executions[:left_out] + bounded.executions[left_out + 1 :]
        assert Judgement.REJECTED is checked(replace(bounded, executions=rest), body).judgement


def hidden() -> None:
    """Two threads touch what no operation shows."""
    table: list[int] = []
    zoo.together(lambda: table.append(1), lambda: table.append(2))


def test_hidden_accesses_are_no_ground_for_equivalence() -> None:
    """A reduced set at granularity sync is refused where threads touch a list unseen; a whole tree is not."""
    every = searched(hidden)

    found = checked(reduced(every, hidden), hidden)

    assert Judgement.REJECTED is found.judgement
    assert "in execution 1 threads touch list.table[] without an order" in found.why
    assert Judgement.VALID is checked(every, hidden).judgement


def test_the_table_of_dependent_operations() -> None:
    """Trying is taking when it succeeds and looking when it fails; what the table does not have has no footprint."""
    assert footprint("Pipe.read", "p") is None
    assert footprint("Lock.acquire", "a") == footprint("Lock.try_acquire", "a")
    assert not apart(footprint("Lock.acquire", "a") or (), footprint("Lock.locked", "a") or ())
    assert apart(
        footprint("Lock.locked", "a") or (), footprint("Lock.try_acquire", "a", failed=True) or ()
    )


def test_an_unknown_operation_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the table of dependent operations does not have is named, and a depth-first certificate asked for."""
    every = searched(certified.locks)
    some = reduced(every, certified.locks)
    monkeypatch.setattr(
        runs,
        "footprint",
        lambda op, target: None if op == "Lock.acquire" else footprint(op, target),
    )

    found = checked(some, certified.locks)

    assert Judgement.UNJUDGED is found.judgement
    assert found.why.startswith("Lock.acquire in main")
    assert found.why.endswith("check a certificate of --strategy dfs")
    assert Judgement.VALID is checked(every, certified.locks).judgement


def test_text_of_the_file_is_shown_plainly() -> None:
    """What an edited file says cannot move the terminal's cursor."""
    every = searched(certified.tries)

    said = command.describe(
        replace(every, strategy="dfs\x1b[2J\nvalid"), checked(every, certified.tries)
    )

    assert "by dfs\\x1b[2J" in said
    assert "\x1b" not in said


def test_another_program_version_or_granularity() -> None:
    """A certificate of something else is refused, with what to do."""
    every = searched(certified.tries)
    others: tuple[tuple[dict[str, str], str], ...] = (
        ({"digest": "0" * 16}, "of another text of tests.verify.certified:tries"),
        ({"stage3": "0.0"}, "of stage3 0.0, this is"),
        ({"granularity": "fine"}, "granularity 'fine' is not known"),
        ({"granularity": "auto+A.b", "python": "2.7"}, "belongs to Python 2.7, not"),
    )
    for values, words in others:
        other = Program(**{**asdict(every.program), **values})
        with pytest.raises(UsageError, match=words):
            checked(replace(every, program=other), certified.tries)


def test_a_restart_forgets_what_was_run() -> None:
    """When scheduling points are learned, the executions before belong to other schedules."""
    program = of(hidden).at("auto")
    keeping = Keeping(DFS())
    state = explore(program, keeping, executions=None)

    made = certificate_of(state, keeping)

    assert isinstance(made, Certificate)
    assert "auto+list.table[]" == made.program.granularity
    assert len(made.executions) < state.executions
    assert Judgement.VALID is check(made, program).judgement


def stage3(*words: str, where: Path) -> subprocess.CompletedProcess[str]:
    command_line = [sys.executable, "-m", "stress.cli", *words]
    return subprocess.run(command_line, capture_output=True, text=True, check=False, cwd=where)


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    """`explore --certificate` writes it, `certificate check` judges it, and says which exit code by what."""
    (tmp_path / "two.py").write_text(
        "import threading\n\ndef locked():\n    lock = threading.Lock()\n"
        "    def use():\n        with lock:\n            pass\n"
        "    threads = [threading.Thread(target=use) for _ in range(2)]\n"
        "    [t.start() for t in threads]\n    [t.join() for t in threads]\n"
    )
    file = tmp_path / "c" / "two.cert"
    explored = stage3(
        "explore", "two:locked", "--strategy", "dfs", "--certificate", str(file), where=tmp_path
    )
    assert explored.stdout.endswith(f"certificate: stage3 certificate check {file}\n")
    valid = stage3("certificate", "check", str(file), where=tmp_path)
    assert (0, True) == (
        valid.returncode,
        valid.stdout.startswith("valid: two:locked, every schedule,"),
    )

    lines = file.read_text().split("\n")
    file.write_text("\n".join([lines[0].replace('"seed": 0', '"seed": -1'), *lines[1:]]))
    wrong = stage3("certificate", "check", str(file), where=tmp_path)
    assert (2, True) == (wrong.returncode, "seed: -1 is not between 0 and" in wrong.stderr)
    fair = stage3("explore", "two:locked", "--fair", "--certificate", str(file), where=tmp_path)
    assert (2, True) == (fair.returncode, "leave --fair out" in fair.stderr)


def test_what_is_written(tmp_path: Path) -> None:
    """The file is read back as it was; a search with something left says why there is none."""
    keeping = Keeping(DFS())
    state = explore(of(certified.tries).at("sync"), keeping, executions=3)
    assert command.write(state, keeping, tmp_path / "no").startswith(
        "no certificate: the search was not exhausted: depth"
    )
    every = searched(certified.tries)
    state = explore(of(certified.tries).at("sync"), keeping := Keeping(DFS()), executions=None)
    assert command.write(state, keeping, tmp_path / "yes").startswith(
        "certificate: stage3 certificate check "
    )
    assert replace(every, executions=tuple(sorted(every.executions))) == command.read(
        tmp_path / "yes"
    )
    assert [tmp_path / "yes"] == [*tmp_path.iterdir()]
    assert TREE == every.method
