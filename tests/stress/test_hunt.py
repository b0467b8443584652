"""The hunt's own bookkeeping, and the whole of it on a small budget."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from stress import hunt, hunt_jobs
from stress.hunt_jobs import Find, Job, Result, replay_file, run
from traces import store
from verify.explore import Verdict


def find(cause: str, key: str, count: int, first: int = 1) -> Find:
    return Find(cause, f"{cause}: {key}", (), (cause, key), count, first, 0.1, "", "")


def result(scenario: str, executions: int, *finds: Find) -> Result:
    job = Job(hunt.target(scenario, "rfc_v1"), "random", executions, 1, "")
    return Result(job, Verdict.FOUND, executions, 10, 0.1, finds, (), "", "")


def test_merge_adds_up_jobs_of_a_scenario() -> None:
    """The share of a failure is over all executions of the scenario, whichever strategy made them."""
    merged = hunt.merge(
        [
            result("migration", 100, find("spin", "drain", 100, first=4)),
            result("migration", 50, find("spin", "drain", 50, first=2)),
            result("cancelled", 10, find("spin", "drain", 1, first=9), find("deadlock", "x", 2)),
        ]
    )

    assert [("spin", "drain"), ("deadlock", "x")] == [each.find.key for each in merged]
    assert {"migration": [150, 150], "cancelled": [1, 10]} == merged[0].shares
    assert ["migration"] == merged[0].always
    assert (2, "migration") == (merged[0].first, merged[0].first_in)
    assert [] == merged[1].always


def test_always_means_that_no_schedule_passed() -> None:
    """All but one in a hundred count as always, if that one failed otherwise."""
    others = [find("spin", "drain", 199), find("deadlock", "x", 1)]
    (always, _) = hunt.merge([result("migration", 200, *others)])
    (passing, _) = hunt.merge([result("migration", 201, *others)])

    assert ["migration"] == always.always
    assert [] == passing.always


def test_known_faults_have_names() -> None:
    """A find is named by cause class and place; an unknown one has no name."""
    assert "(b) H1 drain without refill" == hunt.label(find("spin", "loop at x drain", 1))
    assert "" == hunt.label(find("spin", "elsewhere", 1))
    assert "" == hunt.label(find("deadlock", "drain", 1))


@pytest.mark.slow
def test_job_and_replay(tmp_path: Path) -> None:
    """A job stores a trace of each kind of failure, and the stored trace replays."""
    outcome = run(Job(hunt.target("stop_handshake", "rfc_v1"), "random", 150, 1, str(tmp_path)))

    assert outcome.finds
    assert {Path(each.file) for each in outcome.finds} == set(store.list_files(tmp_path))
    files = [each.file for each in outcome.finds]
    assert [(3, "")] * len(files) == [replay_file(file, 3) for file in files]
    assert [[(2, ""), (1, "")]] == hunt_jobs.replay_all(files[:1], (2, 1))


@pytest.mark.slow
def test_results_cross_processes(tmp_path: Path) -> None:
    """What comes back from a worker is what the job gives here, less its times; what is lost is named."""
    jobs = [
        Job(hunt.target("stop_handshake", "rfc_v1"), "random", 150, 1, str(tmp_path)),
        Job(
            hunt.target("stop_handshake", "rfc_v1"), "pct", 20, 1, str(tmp_path), bounds=(3, 40, 2)
        ),
    ]

    there = hunt_jobs.run_all(jobs)

    for job, result_there in zip(jobs, there, strict=True):
        here = run(job)
        assert timeless(here) == timeless(result_there)
    with pytest.raises(hunt_jobs.LostJobError, match="no-such-file"):
        hunt_jobs.replay_all(["no-such-file"], (1,))


def timeless(outcome: Result) -> Result:
    finds, notes = (
        tuple(replace(each, first_s=0.0, file=each.file and "a file") for each in table)
        for table in (outcome.finds, outcome.notes)
    )
    return replace(outcome, seconds=0.0, finds=finds, notes=notes)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_small_hunt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a tenth of the budget the hunt finds everything it claims, and says so."""
    monkeypatch.setattr(hunt, "CLOSED_EXECUTIONS", 300)
    monkeypatch.setattr(hunt, "WHOLE_EXECUTIONS", 40)
    monkeypatch.setattr(hunt, "AUDIT_EXECUTIONS", 20)
    monkeypatch.setattr(hunt, "VCPU_EXECUTIONS", 20)
    monkeypatch.setattr(hunt, "REPLAYS", (3,))

    monkeypatch.setattr(
        hunt_jobs, "ALONE", False
    )  # half of the time would go into starting processes

    code = hunt.run(Namespace(seed=1, output=tmp_path))
    out = capsys.readouterr().out

    assert out.endswith("Everything came out as claimed.\n")
    assert code == 0
    assert "memory: 4180 pages compared, 0 differ" in out
    assert out.count("3 of 3 identical step for step") == out.count("stage3 replay ")
    assert all(known.name in out for known in hunt.KNOWN)


def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault that was not found makes the hunt fail, by name."""
    wrong = hunt._report_finds([result("migration", 10)], [])

    assert [f"not found: {known.name}" for known in hunt.KNOWN] == wrong
    assert "no hint given" in capsys.readouterr().out
