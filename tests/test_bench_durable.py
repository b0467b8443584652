"""The benchmark of durable replays: its edits, its table, its exit code."""

from __future__ import annotations

import ast
from random import Random
from typing import TYPE_CHECKING

import pytest

from bench import durable, edits
from verify.durable.judging import Verdict

if TYPE_CHECKING:
    from bench.edits import Entry


@pytest.mark.slow
def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Four edits of one program, each with its verdict, all of them right."""
    code = durable.main(["--programs", "early"])

    lines = capsys.readouterr().out.splitlines()
    assert 0 == code
    assert ["fixed", "masked"] == [line.split()[2] for line in lines[3:5]]
    assert "right: 4 of 4" == lines[-1]


@pytest.mark.slow
def test_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict that is not right is marked, and counts."""
    entry = next(entry for entry in edits.ENTRIES if entry.name == "early")
    wrong = edits.Hand(entry.fix.changes, Verdict.FAILING)
    changed = edits.Entry(entry.name, entry.names, wrong, wrong)
    monkeypatch.setattr(edits, "ENTRIES", (changed,))

    assert 1 == durable.main([])
    assert "right: 2 of 4" in capsys.readouterr().out


@pytest.mark.parametrize("entry", edits.ENTRIES, ids=lambda entry: entry.name)
def test_edits(entry: Entry) -> None:
    """Each edit of each kind changes the text, stays Python, and is the same for the same seed."""
    text = edits.source(entry.name)
    made = [edits.generated(entry, kind, Random(1)) for kind in edits.KINDS]
    made += [edits.by_hand(text, entry.fix), edits.by_hand(text, entry.mask)]

    assert len(made) == len({text, *made}) - 1
    assert [ast.parse(other) is not None for other in made] == [True] * 6
    assert made[0] == edits.generated(entry, edits.RENAME, Random(1))


def test_every_kind() -> None:
    """Each kind of edit is made five times."""
    kinds = [kind for pair in durable.PAIRS for kind in pair]

    assert [5] * 4 == [kinds.count(kind) for kind in edits.KINDS]


def test_missing_text() -> None:
    """A change by hand whose place is gone is refused."""
    with pytest.raises(ValueError, match="is not in the program"):
        edits.by_hand("pass", edits.ENTRIES[0].fix)
