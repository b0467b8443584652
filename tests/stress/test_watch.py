"""The sidecar: hanging programs are reported and ended, others are left alone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stress import cli
from stress.hang import schema
from stress.watchdog import EXIT_HANG, ending, processes, writing
from stress.watchdog.sidecar import Hang, Watchdog
from tests.stress.hang_values import abba

ROOT = Path(__file__).parents[2]
SLEEPS = "import time; time.sleep(600)"


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def watch(*words: str, timeout: float = 50) -> subprocess.CompletedProcess[str]:
    """Run `stage3 watch` in a process of its own."""
    return subprocess.run(
        python("-m", "stress.cli", "watch", *words),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
def test_held_interpreter_lock_in_a_child_of_a_child(tmp_path: Path) -> None:
    """No Python code runs in the grandchild any more: reported from outside, ended with code 5."""
    program = python("-m", "stress.zoo", "gil", "2")

    done = watch("--limit", "0.5", "--no-record", "--output", str(tmp_path), "--", *program)

    assert EXIT_HANG == done.returncode
    assert "GIL held: calling C holds the interpreter lock in the C call sleep" in done.stderr
    names = sorted(path.name.partition(".")[2] for path in tmp_path.glob("hang-*"))
    assert ["html", "json", "txt"] == names
    (path,) = tmp_path.glob("*.json")
    report = schema.from_json(path.read_text())
    assert "GIL held" == report.verdict
    assert () == processes.tree(report.pid)


@pytest.mark.slow
def test_program_that_ends_keeps_its_code(tmp_path: Path) -> None:
    """The command's own exit code, also that of a signal, and no report."""
    for code, expected in (
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9),
    ):
        done = watch("--output", str(tmp_path), "--no-record", "--", *python("-c", code))
        assert (expected, "") == (done.returncode, done.stderr)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_command_keeps_its_own_dashes(tmp_path: Path) -> None:
    """All behind the first `--` is the command's, another `--` and options of the watch among it."""
    code = "import sys; sys.exit(sys.argv[1:] != ['--', '--limit', 'x'])"
    words = [*python("-c", code), "--", "--limit", "x"]

    assert 0 == cli.main(["watch", "--no-record", "--output", str(tmp_path), "--", *words])


@pytest.mark.slow
def test_time_limit_reports_what_is_slow(tmp_path: Path) -> None:
    """At its time limit a program is reported with its verdict, and ended."""
    said: list[str] = []
    watchdog = Watchdog(python("-c", SLEEPS), 60, tmp_path, time_limit_s=0.5, say=said.append)

    outcome = watchdog.run()

    assert (EXIT_HANG, True) == (outcome.code, outcome.killed)
    assert "merely slow" == outcome.hangs[0].report.verdict
    assert "not finished after" in said[0]
    assert str(outcome.hangs[0].written.of(".txt")) in said[1]


@pytest.mark.slow
def test_program_that_is_no_python(tmp_path: Path) -> None:
    """There is a report although no tool can look: it names the process."""
    outcome = Watchdog(["/bin/sleep", "600"], 0.2, tmp_path, say=lambda _: None).run()

    report = outcome.hangs[0].report
    assert (EXIT_HANG, "unknown", ("/bin/sleep", "600")) == (
        outcome.code,
        report.kind,
        report.command,
    )
    assert f"hang-{report.pid}.txt" in {path.name for path in tmp_path.iterdir()}
    assert "S /bin/sleep 600" in report.attached["processes"]


@pytest.mark.slow
def test_process_of_others_is_reported_and_left(tmp_path: Path) -> None:
    """A process given by its pid lives on after its report."""
    code = "import threading; print(1, flush=True); lock = threading.Lock(); lock.acquire(); lock.acquire()"
    with subprocess.Popen(python("-c", code), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        outcome = Watchdog(process.pid, 0.3, tmp_path, say=lambda _: None).run()
        assert process.poll() is None
        process.kill()

    assert (EXIT_HANG, False) == (outcome.code, outcome.killed)
    assert "deadlock" == outcome.hangs[0].report.verdict


@pytest.mark.slow
def test_report_on_demand(tmp_path: Path) -> None:
    """Another thread can ask for a report at any time; idle programs are never reported by themselves."""
    with subprocess.Popen(python("-c", SLEEPS)) as process:
        watchdog = Watchdog(process.pid, 0.1, tmp_path, idle=lambda: True, say=lambda _: None)
        thread = threading.Thread(target=watchdog.run)
        thread.start()
        hang = watchdog.report_now("asked", 30)
        process.kill()
        process.wait()
        thread.join()
    assert hang is not None
    assert "asked" == hang.report.headline


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give either a command (stage3 watch -- COMMAND ...) or --pid PID"),
        (["--pid", "1", "--", "x"], "give either a command"),
        (["--pid", "-3"], "--pid -3: no such process"),
        (
            ["--output", "pyproject.toml", "--", "true"],
            "--output pyproject.toml: pyproject.toml is no directory",
        ),
        (["--output", "n" * 300, "--", "true"], f"--output {'n' * 300}: {'n' * 300}: File name"),
        (
            ["--no-record", "--", "/nowhere/x"],
            "/nowhere/x: No such file or directory; give a command",
        ),
    ],
)
def test_bad_input(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what is wrong and what to type, with exit code 2."""
    assert 2 == cli.main(["watch", *words])
    assert capsys.readouterr().err.startswith(f"stage3 watch: {said}")


def test_trouble_after_the_start_is_no_bad_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes wrong while the command runs is not blamed on its name."""

    def full(_self: Watchdog) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Watchdog, "_watch", lambda self, _root, _child: full(self))

    assert 3 == cli.main(["watch", "--no-record", "--", "true"])
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.slow
def test_broken_watch_leaves_nothing_running(tmp_path: Path) -> None:
    """When the watch itself breaks off, what the command has started ends with it."""
    started = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    tree: list[processes.Process] = []

    def breaks() -> dict[str, str]:
        assert watchdog.pid is not None
        tree[:] = processes.tree(watchdog.pid)
        if len(tree) > 1:
            raise RuntimeError("no luck")
        return {}

    watchdog = Watchdog(python("-c", started), 5, tmp_path, notes=breaks, say=lambda _: None)
    with pytest.raises(RuntimeError, match="no luck"):
        watchdog.run()

    assert [()] * 2 == [processes.tree(each.pid) for each in tree]


@pytest.mark.slow
def test_started_during_the_report(tmp_path: Path) -> None:
    """A process that the program starts while its report is written is ended, too."""
    program = (
        "import subprocess, sys\n"
        "sys.stdin.readline()\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
        "sys.stdin.readline()\n"
    )
    late: list[int] = []
    with subprocess.Popen(
        python("-c", program), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:

        def on_hang(_hang: Hang) -> bool:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
            late.append(int(process.stdout.readline()))
            return True

        Watchdog(process.pid, 0.3, tmp_path, on_hang=on_hang, say=lambda _: None).run()

    assert 1 == len(late)
    assert () == processes.tree(late[0])


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_bad_limit(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit that is no number of seconds above 0 is refused by its flag's name."""
    with pytest.raises(SystemExit) as error:
        cli.main(["watch", "--limit", value, "--", "x"])
    assert 2 == error.value.code
    assert "is not a number of seconds above zero" in capsys.readouterr().err


def test_limit_is_checked(tmp_path: Path) -> None:
    """The class refuses what the command refuses."""
    with pytest.raises(ValueError, match="limit nan s; give a number of seconds above 0"):
        Watchdog(["x"], float("nan"), tmp_path)


def test_part_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that cannot be written is a sentence; the others are there."""
    from stress.hang import diagnose, html

    def breaks(_report: object) -> str:
        raise RuntimeError("no luck")

    monkeypatch.setattr(html, "page", breaks)

    written = writing.write(tmp_path, diagnose([abba()]), writing.stem_for(tmp_path, 7))

    assert ["hang-7.txt", "hang-7.json"] == [path.name for path in written.files]
    assert "internal error in stage3" in written.problems[0]
    assert "no luck" in written.problems[0]
    assert "hang-7-2" == writing.stem_for(tmp_path, 7)


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """Where nothing can be written, each file says why."""
    from stress.hang import diagnose

    taken = tmp_path / "file"
    taken.write_text("")

    written = writing.write(taken, diagnose([abba()]), "hang-1")

    assert ((), 3) == (written.files, len(written.problems))
    assert "was not written: " in written.problems[0]


def test_own_process() -> None:
    """The kernel's view of this process: its threads, its command, its signals."""
    own = processes.one(os.getpid())

    assert own is not None
    assert os.getppid() == own.ppid
    assert own in processes.tree(os.getppid())
    assert own not in processes.tree(os.getppid(), without=os.getpid())
    assert os.getpid() in processes.usage(os.getpid())
    assert processes.is_python(os.getpid())
    assert "pytest" in " ".join(processes.command(os.getpid()))
    assert not processes.caught(os.getpid(), 60)
    assert os.environ.get("PATH") == processes.environment(os.getpid(), "PATH")


def test_process_that_is_gone() -> None:
    """Whatever is asked about a process that does not exist, the answer is empty."""
    gone = 2**22 + 1

    assert (None, {}, (), None, False, False, ()) == (
        processes.one(gone),
        processes.usage(gone),
        processes.command(gone),
        processes.environment(gone, "PATH"),
        processes.is_python(gone),
        processes.caught(gone, 1),
        processes.tree(gone),
    )


def test_parents_are_killed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent that outlived its child could start it anew."""
    killed: list[int] = []
    seen = [processes.Process(pid, pid - 1, "S", 7) for pid in (11, 12, 13)]
    monkeypatch.setattr(processes, "one", {each.pid: each for each in seen}.get)
    monkeypatch.setattr(os, "kill", lambda pid, _number: killed.append(pid))

    ending.kill((*seen, *seen[1:]))

    assert [11, 12, 13] == killed


def test_pid_used_again_is_spared(tmp_path: Path) -> None:
    """A process with another start than the one that was seen is not killed, nor asked for a dump."""
    own = processes.one(os.getpid())
    assert own is not None

    ending.kill([processes.Process(own.pid, own.ppid, own.state, own.ticks + 1)])

    assert {} == ending.last_words([own], tmp_path)
