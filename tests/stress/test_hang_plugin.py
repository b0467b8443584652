"""The pytest plugin against hangs: a report and a JUnit entry whoever ends the hung test."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from stress import pytest_plugin
from stress.hang import schema
from stress.watchdog import junit
from stress.watchdog.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
INSTALLED = any(point.name == "stage3_stress" for point in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "stress.pytest_plugin")

SUITE = """
import threading
import pytest
from stress.zoo import ZOO

def test_before():
    print("\\x00 odd output")

@pytest.mark.parametrize("name", ["lock_cycle", "gil"])
def test_zoo(name):
    ZOO[name].program()

def test_after():
    pass
"""


def run(directory: Path, *options: str, suite: str = SUITE) -> subprocess.CompletedProcess[str]:
    """Run a suite in a process of its own, with the plugin and a JUnit file."""
    (directory / "test_suite.py").write_text(suite)
    words = ("-p", "no:cacheprovider", "--stage3-hang-limit", "0.7", "--junitxml", "j.xml")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, *words, *options],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


def _tree(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - written by the test's own run


def entries(directory: Path) -> dict[str, str]:
    """Return what the JUnit file says of each test: its failure or error, "" for passed."""
    return {
        str(case.get("name")): " ".join(
            f"{found.tag} {found.get('message')} {found.text}"
            for found in (*case.iter("failure"), *case.iter("error"))
        )
        for case in _tree((directory / "j.xml").read_text()).iter("testcase")
    }


def verdicts(directory: Path) -> dict[str, str]:
    """Return the verdict of each report by the test that it names."""
    reports = [
        schema.from_json(path.read_text())
        for path in (directory / "stage3-out").glob("hang-*.json")
    ]
    return {report.notes["test"].partition("::")[2]: report.verdict for report in reports}


@pytest.mark.slow
def test_failed_from_inside_then_killed(tmp_path: Path) -> None:
    """A deadlock fails its test and the run goes on; a held interpreter lock needs the kill, and has its entry."""
    done = run(tmp_path, "-p", "no:timeout")

    assert {"test_zoo[lock_cycle]": "deadlock", "test_zoo[gil]": "GIL held"} == verdicts(tmp_path)
    found = entries(tmp_path)
    assert ["test_before", "test_zoo[lock_cycle]", "test_zoo[gil]"] == list(found)
    assert "" == found["test_before"]
    assert (
        "deadlock: 2 threads wait for each other: one -> two -> one"
        in found["test_zoo[lock_cycle]"]
    )
    assert found["test_zoo[lock_cycle]"].startswith("failure")
    assert "error GIL held: calling C holds the interpreter lock" in found["test_zoo[gil]"]
    assert -9 == done.returncode
    assert "stage3: hang report: " in done.stderr


@pytest.mark.slow
def test_hang_right_after_a_hang(tmp_path: Path) -> None:
    """A test that hangs at once after another, and one that will not be failed, are reported too."""
    suite = """
from stress.zoo import ZOO

def test_first():
    ZOO["barrier"].program()

def test_second():
    ZOO["livelock"].program()

def test_stubborn():
    import threading
    lock = threading.Lock()
    lock.acquire()
    while True:
        try:
            lock.acquire()
        except BaseException:
            pass
"""

    done = run(tmp_path, "-p", "no:timeout", suite=suite)

    found = entries(tmp_path)
    assert "lost wake-up" in found["test_first"]
    assert "livelock" in found["test_second"]
    assert "self-deadlock" in found["test_stubborn"]
    assert -9 == done.returncode


@pytest.mark.slow
def test_run_ends_although_threads_hang_on(tmp_path: Path) -> None:
    """After a deadlock the run ends with pytest's own exit code, summary and file."""
    done = run(tmp_path, "-p", "no:timeout", "-k", "not gil")

    assert 1 == done.returncode
    assert "1 failed, 2 passed" in done.stdout
    assert "stage3 hang report" in done.stdout
    assert "one waits in Lock.acquire for current, which two must give back first" in done.stdout
    assert "failure" in entries(tmp_path)["test_zoo[lock_cycle]"]
    assert [] == list(tmp_path.glob("stage3-flight-*"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["thread", "signal"])
def test_timeout_comes_first(tmp_path: Path, method: str) -> None:
    """What pytest-timeout ends has a report with its stacks, and an entry."""
    run(tmp_path, "--timeout=0.4", f"--timeout-method={method}", "-k", "lock_cycle")

    assert "deadlock: 2 threads wait for each other" in entries(tmp_path)["test_zoo[lock_cycle]"]
    (path,) = (tmp_path / "stage3-out").glob("hang-*.json")
    report = schema.from_json(path.read_text())
    assert "pytest-timeout ends test_suite.py::test_zoo[lock_cycle]" == report.headline
    assert "Stack of one" in report.attached["stacks as pytest-timeout shows them"]


@pytest.mark.slow
def test_under_xdist(tmp_path: Path) -> None:
    """Each worker is watched; of one that was killed the controller tells the report."""
    done = run(tmp_path, "-p", "no:timeout", "-n2")

    assert {"test_zoo[lock_cycle]": "deadlock", "test_zoo[gil]": "GIL held"} == verdicts(tmp_path)
    found = entries(tmp_path)
    assert "deadlock: 2 threads" in found["test_zoo[lock_cycle]"]
    assert "crashed while running 'test_suite.py::test_zoo[gil]'" in found["test_zoo[gil]"]
    assert "GIL held" in found["test_zoo[gil]"]
    assert 1 == done.returncode


@pytest.mark.slow
def test_caller_that_goes_on_is_watched_no_more(tmp_path: Path) -> None:
    """A program that calls pytest twice has neither sidecars nor their files left."""
    (tmp_path / "test_suite.py").write_text("def test_it():\n    pass\n")
    code = (
        "import os, pytest\n"
        "from stress.watchdog import processes\n"
        f"words = [*{PLUGIN!r}, '-q', '-p', 'no:cacheprovider', '--stage3-hang-limit', '9']\n"
        "codes = [int(pytest.main(words)) for _ in range(2)]\n"
        "print(codes, len(processes.tree(os.getpid())), os.listdir(os.environ['TMPDIR']))\n"
    )
    kept = tmp_path / "kept"
    kept.mkdir()

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(kept)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )

    assert "[0, 0] 1 []" == done.stdout.splitlines()[-1], done.stderr


@pytest.mark.slow
def test_without_the_option_nothing_is_loaded(tmp_path: Path) -> None:
    """The plugin alone changes nothing; a limit that is none is a usage error."""
    suite = "import sys\ndef test_it():\n    assert 'stress.watchdog' not in sys.modules\n"
    (tmp_path / "test_suite.py").write_text(suite)
    command = [sys.executable, "-m", "pytest", "-q", *PLUGIN, "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    codes = [
        subprocess.run(
            [*command, *options], cwd=tmp_path, env=environment, capture_output=True, check=False
        ).returncode
        for options in ([], ["--stage3-hang-limit", "0"])
    ]

    assert [0, 4] == codes


def test_seconds() -> None:
    """A number of seconds above 0, and nothing else."""
    assert 0.5 == pytest_plugin._seconds("0.5")
    for text in ("0", "-1", "nan", "inf", "1e999", "soon", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number of seconds above 0"):
            pytest_plugin._seconds(text)


def lines(*values: object) -> Iterable[bytes]:
    return [json.dumps(value).encode() for value in values]


def test_session_keeps_the_worst_phase() -> None:
    """Phases add up, and the worst is the outcome."""
    session = Session(worker=False)
    session.read(
        lines(
            {"event": "test", "id": "a.py::one"},
            {"event": "report", "id": "a.py::one", "outcome": "passed", "seconds": 1.0},
            {
                "event": "report",
                "id": "a.py::one",
                "outcome": "failure",
                "seconds": 2.0,
                "text": "x",
            },
            {"event": "report", "id": "a.py::one", "outcome": "passed", "seconds": 0.5},
            {"event": "done"},
            {"event": "test", "id": "a.py::two"},
        )
    )

    root = _tree(session.junit("ended"))

    one, two = root.iter("testcase")
    assert ("one", "3.500", "x") == (one.get("name"), one.get("time"), one[0].text)
    assert ("error", "ended") == (two[0].tag, two[0].get("message"))
    assert ("2", "1", "1") == tuple(root[0].get(name) for name in ("tests", "failures", "errors"))


def test_session_passes_over_noise() -> None:
    """What is no line of the protocol changes nothing."""
    session = Session(worker=True)
    session.read(
        [b"\xff", b"5", b'{"event": 7}', b'{"event": "report", "seconds": "x"}', b"[" * 9_999]
    )

    assert ("", False, True) == (session.test, session.over, session.idle())
    session.read(lines({"event": "test", "id": "a"}))
    assert not session.idle()
    session.read(lines({"event": "done"}, {"event": "bye"}))
    assert (True, False) == (session.over, session.idle())


def test_junit_names() -> None:
    """Test cases are named as pytest names them; text is well-formed whatever it was."""
    assert ("tests.test_a.TestB", "test_c[x::y]") == junit.names(
        "tests/test_a.py::TestB::test_c[x::y]"
    )
    root = _tree(junit.document([junit.Case("a.py::b", "error", 0.0, "\x00", "\x1b")]))
    assert "error" == next(root.iter("error")).tag


def test_junit_keeps_a_whole_report() -> None:
    """A hang report of ordinary length is not cut."""
    root = _tree(junit.document([junit.Case("a.py::b", "error", 0.0, "m", "x" * 150_000)]))

    assert 150_000 == len(next(root.iter("error")).text or "")
