"""The benchmark of shrinking and explaining: its table, its summary, and its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import explain

if TYPE_CHECKING:
    import pytest


def test_small_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Known minima are reached and shown, each order with its count."""
    code = explain.main(["--programs", "ab_ba", "lost_update", "--seconds", "60"])

    lines = capsys.readouterr().out.splitlines()
    assert 0 == code
    assert ["ab_ba", "deadlock", "1", "->", "1*", "1", "2", "2/2"] == lines[1].split()[:8]
    assert "lost_update" == lines[2].split()[0]
    assert "preemptions: 2 of 2 known minima reached; 2 of 2 shown to be the fewest" in lines
    assert any(line.startswith("orders: 4 of 4 necessary; ") for line in lines)


def test_missed_minimum(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that fails with fewer preemptions than were reached is a failure of the benchmark."""
    monkeypatch.setitem(explain.KNOWN, "ab_ba", 0)

    assert 1 == explain.main(["--programs", "ab_ba"])
    assert "preemptions: 0 of 1 known minima reached" in capsys.readouterr().out


def test_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    """What the search does not find in its time is named and does not count."""
    assert 0 == explain.main(["--programs", "reorder_100", "--search", "0.001"])
    assert "not found within 0.001 s: reorder_100" in capsys.readouterr().out
