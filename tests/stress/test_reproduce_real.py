"""`stage3 reproduce` on hangs that were recorded on real threads: found under control, and replayed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def stage3(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stress.cli", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
    )


@pytest.mark.parametrize("name", ["lock_cycle", "condition", "barrier"])
def test_real_threads(name: str, tmp_path: Path) -> None:
    """Recorded on real threads by the watch, found under control, and replayed three times."""
    program = [sys.executable, "-m", "stress.zoo", name]
    assert 5 == stage3("watch", "--limit", "0.5", "--output", str(tmp_path), "--", *program).returncode  # fmt: skip
    (report,) = tmp_path.glob("hang-*.json")

    done = stage3("reproduce", str(report), "--output", str(tmp_path / "traces"))
    assert (1, "") == (done.returncode, done.stderr)
    assert f"target: stress.zoo.locks:{name} (by the main thread's stack)" in done.stdout
    assert "other text" not in done.stdout
    (trace,) = (tmp_path / "traces").glob("*.json")
    again = stage3("replay", str(trace), "--times", "3", "--no-stacks")
    assert "replayed 3 times: 3 identical" in again.stdout


def test_real_threads_of_a_migration(tmp_path: Path) -> None:
    """H6 of rfc_v1 under a stress job: the target comes from the job, the hang from the mutex left locked."""
    scenario = "migration:destination_dies?design=rfc_v1&pages=64"
    options = ["--seed", "1", "--count", "3", "--workers", "1", "--delays", "0.3", "--limit", "1"]
    stage3("stress", scenario, *options, "--output", str(tmp_path))
    report = min(tmp_path.glob("*/hang-*.json"))

    done = stage3("reproduce", str(report), "--output", str(tmp_path / "traces"))
    assert 1 == done.returncode
    assert "migration waits for RamList.mutex, which it holds itself" in done.stdout
    assert "(by the report's target)" in done.stdout
