"""The benchmark of migrations that something goes wrong with, in small."""

from __future__ import annotations

import pytest

from bench import faulty


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Every fault with and without answers; nothing wrong, nothing left."""
    assert 0 == faulty.main(["--count", "16", "--seed", "3"])
    out = capsys.readouterr().out
    assert "16 migrations, 0 ended as they must not" in out
    assert "left behind: +0 threads, +0 descriptors, +0 mappings" in out


@pytest.mark.parametrize(
    ("ended", "fault", "return_path", "bad"),
    [
        (faulty.Ended("completed", True, True, False, True), "kill", False, True),
        (faulty.Ended("completed", False, True, False, False), "kill", True, True),
        (faulty.Ended("completed", False, False, False, None), "kill", False, False),
        (faulty.Ended("completed", False, False, False, None), "kill", True, True),
        (faulty.Ended("failed", False, False, True, None), "reset", True, False),
        (faulty.Ended("cancelled", True, False, False, False), "cancel", True, False),
    ],
)
def test_wrong(ended: faulty.Ended, fault: str, *, return_path: bool, bad: bool) -> None:
    """Two sides, none without a reason, and other memory where the guest runs."""
    assert bad is faulty.wrong(fault, ended, return_path=return_path)
