"""Stress jobs, whole: what runs, what is kept of a failure, and how a job goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stress.cli import main
from stress.jobs.noise import busy
from verify.supervise import trees

if TYPE_CHECKING:
    from collections.abc import Callable

    Stress = Callable[..., tuple[int, str]]

PLACE = "tests.stress.stressed"
NODES = "tests/stress/stressed.py::TestNode"
ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def stress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stress:
    """Run the command from the root of the repository; return its exit code and what it said."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    def run(*words: str) -> tuple[int, str]:
        behind = list(words[words.index("--") :]) if "--" in words else []
        named = list(words[: len(words) - len(behind)])
        code = main(["stress", *named, "--output", str(tmp_path / "out"), *behind])
        return code, capsys.readouterr().out

    return run


def folder(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "out").glob("stress-*")
    return found


def test_passing(stress: Stress, tmp_path: Path) -> None:
    """A job that finds nothing says so, with its seed first, and claims no more."""
    code, out = stress(f"{PLACE}:draws_its_seed", "--count", "7", "--seed", "40")

    assert (0, "seed 40") == (code, out.splitlines()[0])
    assert "not found: 7 runs passed, which proves nothing about the others" in out
    assert {"index.html", "journal.jsonl"} == {path.name for path in folder(tmp_path).iterdir()}


def test_one_of_each(stress: Stress, tmp_path: Path) -> None:
    """A crash, an exit, a hang and a failure are named with their seeds; the rest is done; code 5."""
    code, out = stress(f"{PLACE}:all_sorts", "--count", "12", "--seed", "0", "--limit", "2")

    assert 5 == code
    assert "of 12 runs 1 crashed, 1 ended its process, 1 failed, 1 hung, 8 passed" in out
    assert "run 1 (seed 1) crashed: the worker ended by SIGSEGV" in out
    assert "run 2 (seed 2) ended its process" in out
    assert "run 3 (seed 3) hung" in out
    assert "run 4 (seed 4) failed: ValueError: four <b>&" in out
    assert f"again:  stage3 stress {PLACE}:all_sorts --seed 3 --count 1 --limit 2" in out
    kept = folder(tmp_path)
    assert "Segmentation fault" in (kept / "run-000001" / "stderr.txt").read_text()
    (report,) = kept.glob("hang-*.txt")
    assert "stressed.py" in report.read_text()
    assert "seed: 3" in report.read_text()
    assert "run 3 (seed 3) hung: deadlock (self-deadlock): MainThread waits in Lock.acquire" in out
    assert "for lock, which it holds itself" in out
    page = (kept / "index.html").read_text()
    assert "ValueError: four &lt;b&gt;&amp;" in page
    assert 'href="run-000004/stderr.txt"' in page
    assert f'href="{report.stem}.html"' in page


def test_time_limit(stress: Stress, tmp_path: Path) -> None:
    """A run that is merely slow may take its time, and no more."""
    code, out = stress(f"{PLACE}:dawdles", "--count", "1", "--limit", "30", "--time-limit", "1")

    (report,) = folder(tmp_path).glob("hang-*.txt")
    assert (5, True) == (code, "1 hung" in out)
    assert "not finished after" in report.read_text()


def test_until_failure_and_again(stress: Stress, tmp_path: Path) -> None:
    """The first failure stops an endless job, and its line, typed, fails the same way."""
    code, out = stress(f"{PLACE}:third_fails", "--until-failure", "--seed", "3", "--workers", "1")
    again = next(line for line in out.splitlines() if line.startswith("  again:")).split()[3:]
    code_again, out_again = stress(*again)

    assert (1, 1) == (code, code_again)
    assert "run 2 (seed 5) failed: ValueError: a third" in out
    assert "run 0 (seed 5) failed: ValueError: a third" in out_again
    assert "to out 5\n" == next((tmp_path / "out").glob("*/run-000002/stdout.txt")).read_text()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("thread_fails", 1, "failed: in thread worker bee: ValueError: invalid literal"),
        ("late_failure", 1, "KeyError: 'late'"),
        ("leaves_a_daemon", 0, "threads left running: idle hands"),
        ("exits", 1, "failed: SystemExit: 3"),
        ("exits_well", 0, "2 runs passed"),
        ("takes?argument=1", 0, "2 runs passed"),
        ("takes?argument=0", 1, "failed: AssertionError"),
    ],
)
def test_functions(stress: Stress, name: str, code: int, words: str) -> None:
    """A run is over when its threads have ended, and what ends one of them is a failure."""
    found, out = stress(f"{PLACE}:{name}", "--count", "2", "--seed", "1")

    assert code == found
    assert words in out


def test_pytest_nodes(stress: Stress) -> None:
    """Tests run again and again in one worker, with fresh fixtures; skipped ones are no evidence."""
    code, out = stress(
        f"{NODES}::test_fresh", f"{NODES}::test_odd_seeds", "--count", "3", "--seed", "0"
    )
    assert 1 == code
    assert "of 6 runs 1 failed, 5 passed" in out
    assert (
        "run 3 (seed 1) failed: tests/stress/stressed.py::TestNode::test_odd_seeds (call): assert 0 == (1 % 2)"
        in out
    )

    code, out = stress(f"{NODES}::test_skips", "--count", "2")
    assert (4, True) == (code, "inconclusive: every run was skipped" in out)


def test_commands(stress: Stress) -> None:
    """A command gets its seed in the environment and in its words; exit codes and signals are failures."""
    script = "test {seed} = $STAGE3_SEED || exit 9; test {seed} = 4 && exit 3; test {seed} = 5 && kill -9 $$; true"
    code, out = stress("--count", "4", "--seed", "3", "--", "sh", "-c", script)

    assert 1 == code
    assert "run 1 (seed 4) failed: exit code 3" in out
    assert "run 2 (seed 5) failed: ended by SIGKILL" in out
    assert "2 failed, 2 passed" in out


def test_migration(stress: Stress) -> None:
    """A scenario of the engine runs on real threads, its vCPUs slowed."""
    code, out = stress("migration:stop_handshake?vcpus=2", "--count", "5", "--slow-vcpus", "0.001")

    assert (0, True) == (code, "5 runs passed" in out)


def test_noise(stress: Stress) -> None:
    """Pinned runs have one CPU; load processes end with the job, and noise is part of the line to repeat."""
    code, out = stress(
        f"{PLACE}:pinned",
        "--count",
        "2",
        "--pin",
        "--load",
        "1",
        "--switch-interval",
        "0.0001",
        "--seed",
        "1",
    )
    assert (0, True) == (code, "noise: --switch-interval 0.0001 --pin --load 1" in out)
    # Whatever ran before in this process may have left a helper: multiprocessing's resource tracker, say.
    before = set(trees.descendants(os.getpid()))
    with busy(2, 1):
        burning = set(trees.descendants(os.getpid())) - before
        assert 2 == len(burning)
        # A terminal's Ctrl-C is not for them: each would print a traceback.
        assert os.getsid(0) not in {os.getsid(pid) for pid in burning}
    assert set() == set(trees.descendants(os.getpid())) - before


def test_delays(stress: Stress, tmp_path: Path) -> None:
    """Delays at lock operations make an ABBA deadlock show up; the report names both locks and their holders."""
    words = "--until-failure --seed 1 --delays 0.9 --limit 1 --workers 1"
    code, out = stress("examples.bank:transfer", *words.split())

    (report,) = folder(tmp_path).glob("hang-*.txt")
    assert 5 == code
    assert "hung: deadlock: 2 threads wait for each other" in out, report.read_text()
    assert "waits, Lock.acquire savings, held by" in report.read_text()
    assert "waits, Lock.acquire current, held by" in report.read_text()
    assert "target: examples.bank:transfer" in report.read_text()


def test_delays_follow_the_seed(stress: Stress) -> None:
    """A seed draws the same delays whatever ran before it in its worker, in child processes, too."""
    code, _ = stress(
        f"{PLACE}:same_delays", "--count", "4", "--delays", "0.5", "--workers", "1", "--seed", "0"
    )

    assert 0 == code


def test_resume(stress: Stress, tmp_path: Path) -> None:
    """A job that stopped early goes on with the line it prints; other arguments are refused."""
    _, out = stress(
        f"{PLACE}:third_fails", "--count", "9", "--seed", "0", "--until-failure", "--workers", "1"
    )
    line = next(line for line in out.splitlines() if line.startswith("go on:")).split()[4:]
    line.remove("--until-failure")

    code, out = stress(*line)
    assert 1 == code
    assert "of 9 runs 3 failed, 6 passed" in out
    assert "3 of them remembered by" in out
    journal = Path(line[line.index("--resume") + 1])
    numbers = [json.loads(row)["number"] for row in journal.read_text().splitlines()[1:]]
    assert list(range(9)) == sorted(numbers)

    line[line.index("--seed") + 1] = "1"
    before = sorted((tmp_path / "out").iterdir())
    assert 2 == stress(*line)[0]
    assert before == sorted((tmp_path / "out").iterdir())


def test_shards(stress: Stress, tmp_path: Path) -> None:
    """Two shards do all runs of a job, each once."""
    stress(f"{PLACE}:passes", "--count", "7", "--seed", "0", "--shard", "1/2")
    stress(f"{PLACE}:passes", "--count", "7", "--seed", "0", "--shard", "2/2")

    journals = sorted((tmp_path / "out").glob("*/journal.jsonl"))
    seeds = [
        json.loads(row)["seed"] for file in journals for row in file.read_text().splitlines()[1:]
    ]
    assert (2, list(range(7))) == (len(journals), sorted(seeds))


def test_refused_by_a_worker(
    stress: Stress, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What only the import can tell is one line and code 2, and leaves no folder behind."""
    for word in (f"{PLACE}:nothing", f"{NODES}::test_none", f"{PLACE}:takes", "no_such_module:run"):
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            code = main(["stress", word, "--count", "1", "--output", str(tmp_path / "out")])
        said = [line for line in capsys.readouterr().err.splitlines() if " runs, " not in line]
        assert (2, 1) == (code, len(said))
        assert "stage3 stress: " in said[0]
    assert [] == list((tmp_path / "out").iterdir())


def test_refused_after_a_failure(stress: Stress, tmp_path: Path) -> None:
    """What was found before a target is refused is told, and has its page."""
    words = [f"{PLACE}:takes?argument=0", f"{NODES}::test_none", "--workers", "1", "--count", "1"]

    code, out = stress(*words)

    assert 1 == code
    assert "found: of 1 runs 1 failed; then a target was refused: pytest finds no test" in out
    assert (folder(tmp_path) / "index.html").exists()


def test_no_worker_starts(stress: Stress, tmp_path: Path) -> None:
    """Workers that never get ready end the job as inconclusive, with what the last one printed."""
    code, out = stress("tests.stress.dying:f", "--count", "3", "--workers", "1")

    assert 4 == code
    assert (
        "inconclusive: after 0 runs no worker could be started: 3 workers in a row ended with exit code 3"
        in out
    )
    assert "dying words" in out
    assert (folder(tmp_path) / "index.html").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, or CI that cancels, ends the workers, says what was found, and how to go on; code 130."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stress.cli", "stress", f"{PLACE}:passes", "--count", "1000000", "--seed", "0",
         "--output", str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert "seed 0\n" == process.stdout.readline()
        journal = None
        while journal is None or journal.read_bytes().count(b"\n") < 20:
            journal = next(tmp_path.glob("*/journal.jsonl"), None)
            assert process.poll() is None
        process.send_signal(number)
        out = process.communicate(timeout=60)[0]
    finally:
        process.kill()

    assert 130 == process.returncode
    assert (journal.parent / "index.html").exists()
    assert " 0.0/s" not in out
    assert (
        f"go on:  stage3 stress {PLACE}:passes --seed 0 --count 1000000 --resume {journal}" in out
    )
