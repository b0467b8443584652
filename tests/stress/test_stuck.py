"""Who judges the runs of a stress job: a report is charged to the run that it was made in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.hang import diagnose
from stress.jobs.stuck import RUN, Judge
from stress.watchdog.sidecar import Hang
from stress.watchdog.writing import Written
from tests.stress.hang_values import abba
from verify.supervise import Ended, Fate, Stuck, Task, Tick

if TYPE_CHECKING:
    from pathlib import Path

WORKER = 77


def judge_with_a_report_on(number: int, folder: Path) -> Judge:
    """A judge whose watchdog has reported its worker in run `number`."""
    judge = Judge(1.0, 60.0, folder)
    judge.see(Tick({WORKER: (Task(number, 0), 2.0)}))
    report = diagnose([abba()], notes=judge._notes(WORKER))
    judge._found[WORKER] = Hang(report, Written((), ()))
    return judge


def test_report_on_the_run_that_is_under_way(tmp_path: Path) -> None:
    """It ends that run, and is kept no longer than needed."""
    judge = judge_with_a_report_on(5, tmp_path)

    said = judge(Stuck(WORKER, Task(5, 0), 2.0, silent=False))
    hang = judge.ended(Ended(Task(5, 0), Fate.HUNG, pid=WORKER))

    assert said is not None
    assert "2 threads wait for each other" in said
    assert hang is not None
    assert {RUN: "5", "migration.phase": "stage 3"} == hang.report.notes
    assert judge.ended(Ended(Task(5, 0), Fate.HUNG, pid=WORKER)) is None


def test_report_on_an_earlier_run(tmp_path: Path) -> None:
    """It is no verdict on the next one of the same worker, neither while that runs nor when it ends."""
    judge = judge_with_a_report_on(5, tmp_path)

    assert judge(Stuck(WORKER, Task(6, 0), 2.0, silent=False)) is None
    assert {RUN: "6"} == judge._notes(WORKER)
    assert judge.ended(Ended(Task(6, 0), Fate.CRASHED, pid=WORKER)) is None
    assert {} == judge._notes(WORKER)


def test_run_that_a_journal_remembers(tmp_path: Path) -> None:
    """Its worker's process id is of the past: it takes no report away."""
    judge = judge_with_a_report_on(5, tmp_path)

    assert judge.ended(Ended(Task(5, 0), Fate.HUNG, pid=WORKER, resumed=True)) is None
    assert judge(Stuck(WORKER, Task(5, 0), 2.0, silent=False)) is not None
