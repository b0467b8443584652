"""`bench.power`: what it runs, what it gives up, what it keeps, and what it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench import power
from bench.programs import ALWAYS, BY_NAME, FAULT, PROGRAMS, SOUND, Entry
from verify import RandomWalk, explore

if TYPE_CHECKING:
    from pathlib import Path


def result(first: int) -> power.Result:
    return power.Result(first, 100, 0.1)


def job(seed: int, algorithm: str = "pos") -> power.Job:
    return power.Job("account", "0" * 16, algorithm, seed, 100, 1.0)


@pytest.mark.parametrize(
    "entry",
    [e for e in PROGRAMS if e.kind == ALWAYS and e.name != "spin_never"],
    ids=lambda e: e.name,
)
def test_always_fails(entry: Entry) -> None:
    """A program that is said to fail under every schedule does."""
    state = explore(entry.program, RandomWalk(1), executions=12)

    assert 12 == state.failing


def test_kinds() -> None:
    """There are programs of each kind, under names of their own."""
    assert {FAULT, ALWAYS, SOUND} == {entry.kind for entry in PROGRAMS}
    assert len(PROGRAMS) == len(BY_NAME)


def test_cells() -> None:
    """A cell is the median, seeds without a find counting as infinite, and how many found."""
    assert "3 (3/3)" == power.cell([result(9), result(3), result(1)])
    assert "- (1/3)" == power.cell([result(0), result(3), result(0)])
    assert "not run" == power.cell([])


def test_journal(tmp_path: Path) -> None:
    """What a journal holds is not run again; a line that is no result is named."""
    file = tmp_path / "out" / "power.jsonl"
    power.Journal(file).add(job(1), result(5))

    again = power.Journal(file)
    assert {job(1): result(5)} == again.results

    file.write_text(file.read_text() + json.dumps({"job": {}}) + "\n")
    with pytest.raises(SystemExit, match="line 2 is no result"):
        power.Journal(file)


def test_given_up() -> None:
    """A strategy that found nothing with three seeds is not run on that program again."""
    args = power.parse(["--programs", "account", "--strategy", "pos", "pct", "--seeds", "5"])
    journal = power.Journal(None)
    plan = power.Plan(args, journal)
    for seed in range(3):
        for each in plan.round(seed):
            journal.add(each, result(0 if each.algorithm == "pos" else 7))

    assert ["pct"] == [each.algorithm for each in plan.round(3)]


@pytest.mark.parametrize(
    ("name", "cells", "said"),
    [
        ("account", {"pos": [3], "portfolio": [8]}, []),
        (
            "account",
            {"pos": [3], "portfolio": [10]},
            ["account: the portfolio's median is 10, the best member's 3"],
        ),
        (
            "account",
            {"pos": [3, 0, 0], "portfolio": [0]},
            ["account: the portfolio misses what pos found"],
        ),
        ("spin_good", {"pos": [3], "pct": [0]}, ["spin_good is correct, and pos blames it"]),
        ("sync01", {"pos": [1], "pct": [0]}, ["sync01 always fails, and pct misses it"]),
    ],
)
def test_faults(name: str, cells: dict[str, list[int]], said: list[str]) -> None:
    """What is not as it should be is said in a sentence."""
    results = {key: [result(first) for first in values] for key, values in cells.items()}

    assert said == power.faults(BY_NAME[name], results)


@pytest.mark.slow
def test_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run prints its table; in a limit of no time nothing is run."""
    assert 0 == power.main(
        [
            "--quick",
            "--seeds",
            "1",
            "--programs",
            "sync01",
            "--strategy",
            "pos",
            "--processes",
            "1",
        ]
    )
    assert "sync01                         1 (1/1)  none | none" in capsys.readouterr().out

    words = ["--quick", "--programs", "account", "--strategy", "pos", "urw", "--minutes", "-1"]
    assert 0 == power.main(words)
    said = capsys.readouterr().out
    assert "the limit of time is reached" in said
    assert (
        "everything that was run is as it should be\nnot run within the limit of time: 6 searches; 2 of 2"
        in said
    )
