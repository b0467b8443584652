"""The zoo of hanging programs: each gets the verdict it is owed, and the slow one is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stress.hang import VERDICTS, schema
from stress.watchdog import EXIT_HANG
from stress.watchdog.sidecar import Watchdog
from stress.zoo import ZOO, __main__
from verify.observe import launch

if TYPE_CHECKING:
    from stress.watchdog.sidecar import Outcome

ROOT = Path(__file__).parents[2]
CALLER = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
HANGING = [name for name in ZOO if name != "slow"]


def watched(tmp_path: Path, command: list[str], limit_s: float) -> Outcome:
    """Watch a recorded command."""
    flights = tmp_path / "flights"
    flights.mkdir()
    environment = launch.environment(flights)
    environment["PYTHONPATH"] += f":{ROOT}"
    return Watchdog(
        command,
        limit_s,
        tmp_path / "out",
        flights=flights,
        environment=environment,
        say=lambda _line: None,
    ).run()


@pytest.mark.slow
@pytest.mark.parametrize("name", HANGING)
def test_verdict(name: str, tmp_path: Path) -> None:
    """The verdict and the cause, from a recording and stacks; the program is ended with code 5."""
    # A child of a child for one of them: what is recorded and dumped is the grandchild.
    depth = "2" if name == "rlock" else "0"

    outcome = watched(tmp_path, [sys.executable, "-m", "stress.zoo", name, depth], 0.5)

    assert (EXIT_HANG, True) == (outcome.code, outcome.killed)
    (hang,) = outcome.hangs
    assert ZOO[name].verdict == hang.report.verdict, hang.report.cause
    assert ZOO[name].cause in hang.report.cause
    assert [".txt", ".json", ".html"] == [path.suffix for path in hang.written.files]
    path = hang.written.of(".json")
    assert path is not None
    again = schema.from_json(path.read_text())
    assert hang.report == again
    assert any(shot.pid == again.pid for shot in again.snapshots)


@pytest.mark.slow
def test_faulthandler_has_the_last_word(tmp_path: Path) -> None:
    """Before the kill the process dumps its own stacks, with its threads' names beside the idents."""
    outcome = watched(tmp_path, [sys.executable, "-m", "stress.zoo", "lock_cycle"], 0.5)

    (text,) = (
        text
        for title, text in outcome.hangs[0].report.attached.items()
        if title.startswith("faulthandler's dump of process")
    )
    assert "'one' (most recent call first):" in text


@pytest.mark.slow
@pytest.mark.parametrize("parent", [(), ("-c", CALLER, sys.executable)], ids=["alone", "child"])
def test_slow_program_is_left_alone(tmp_path: Path, parent: tuple[str, ...]) -> None:
    """Python code, a long C call and a sleep of several limits each: no report, the program's own exit code."""
    code = "from stress.zoo import others; others.SLOW_S = 1.2; others.slow()"

    outcome = watched(tmp_path, [sys.executable, *parent, "-c", code], 0.4)

    assert (0, ()) == (outcome.code, outcome.hangs)


@pytest.mark.slow
def test_threads_that_come_and_go(tmp_path: Path) -> None:
    """A deadlock is found while other threads start and end all the time, and no dump crashes the program."""
    code = (
        "import threading\n"
        "from stress.zoo import ZOO\n"
        "def churn():\n"
        "    while True:\n"
        "        thread = threading.Thread(target=int)\n"
        "        thread.start()\n"
        "        thread.join()\n"
        "for _ in range(3):\n"
        "    threading.Thread(target=churn, daemon=True).start()\n"
        "ZOO['lock_cycle'].program()\n"
    )

    outcome = watched(tmp_path, [sys.executable, "-c", code], 0.5)

    assert (EXIT_HANG, "deadlock") == (outcome.code, outcome.hangs[0].report.verdict)
    assert "never go on" in outcome.hangs[0].report.headline


def test_entries() -> None:
    """What each of the fourteen programs owes, as the documentation has it; together they show most verdicts."""
    owed: dict[str, set[str]] = {}
    for name, entry in ZOO.items():
        owed.setdefault(entry.verdict, set()).add(name)

    assert {
        "GIL held": {"gil"},
        "deadlock": {"lock_cycle", "join_cycle", "rlock", "semaphore", "pool"},
        "lock held by a dead thread": {"dead_owner"},
        "livelock": {"livelock"},
        "lost wake-up": {"condition", "queue", "barrier"},
        "blocked I/O": {"c_call", "socket_read"},
        "merely slow": {"slow"},
    } == owed
    listed = " ".join(
        (ROOT / "docs" / "hangs.md").read_text().partition("runs one of fourteen")[2].split()
    )
    assert all(f"`{name}`" in listed for name in ZOO)
    assert set(VERDICTS) - owed.keys() == {"spin"}


@pytest.mark.parametrize("argv", [[], ["no"], ["gil", "0", "x"], ["gil", "6"], ["gil", "x"]])
def test_bad_name(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none is refused with the names there are."""
    assert 2 == __main__.main(argv)
    assert "give one of lock_cycle, condition, gil" in capsys.readouterr().err


@pytest.mark.slow
def test_command_line_records(tmp_path: Path) -> None:
    """`stage3 watch` records by itself: the report knows the locks' names."""
    words = ["watch", "--limit", "0.5", "--output", str(tmp_path), "--"]
    program = [sys.executable, "-m", "stress.zoo", "lock_cycle"]
    done = subprocess.run(
        [sys.executable, "-m", "stress.cli", *words, *program],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=ROOT,
    )

    assert EXIT_HANG == done.returncode
    (path,) = tmp_path.glob("*.txt")
    text = path.read_text()
    assert "one waits in Lock.acquire for current, which two must give back first" in text
    assert text.splitlines()[-1].startswith("reproduce: stage3 reproduce ")
