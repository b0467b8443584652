"""The watchdog: silent while work goes on, a whole report and exit code 5 when it does not."""

from __future__ import annotations

import itertools
import os
import pathlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from stress.watchdog import counter as watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def blocked() -> Iterator[threading.Event]:
    """Two threads named like the engine's that wait for the event."""
    release = threading.Event()
    threads = [
        threading.Thread(target=release.wait, name=name, daemon=True)
        for name in ("vcpu 0", "migration")
    ]
    for thread in threads:
        thread.start()
    yield release
    release.set()
    for thread in threads:
        thread.join()


def test_moving_counter_keeps_it_silent(tmp_path: pathlib.Path) -> None:
    """A counter that grows at every look never makes it fire."""
    looks = itertools.count()
    enough = threading.Event()

    def progress() -> int:
        value = next(looks)
        if value == 12:
            enough.set()
        return value

    with watchdog.CounterWatchdog(progress, 0.02, tmp_path) as dog:
        assert enough.wait(10)
    assert not dog.fired
    assert list(tmp_path.iterdir()) == []


def test_still_counter_reports_once(
    tmp_path: pathlib.Path, blocked: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter that stands still gives one report with every thread, its role and its stack."""
    monkeypatch.setattr(watchdog, "find_py_spy", lambda: None)
    calls: list[tuple[pathlib.Path | None, str]] = []
    done = threading.Event()

    def on_hang(path: pathlib.Path | None, headline: str) -> None:
        calls.append((path, headline))
        done.set()

    directory = tmp_path / "new" / "out"
    with watchdog.CounterWatchdog(lambda: 7, 0.02, directory, on_hang=on_hang) as dog:
        assert done.wait(10)
    path = directory / f"hang-{os.getpid()}.txt"
    assert calls == [(path, "no progress for 0.02 s (counter 7)")]
    assert dog.fired
    assert list(directory.iterdir()) == [path]
    text = path.read_text()
    assert text.index("'migration'") < text.index("'vcpu 0'") < text.index("'MainThread'")
    assert "(walks and sends guest memory)" in text
    assert "in test_still_counter_reports_once" in text
    assert "py-spy is not installed" in text


def test_report_that_cannot_be_written_is_said(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that cannot be made still ends the run, with the reason."""
    monkeypatch.setattr(watchdog, "find_py_spy", lambda: None)
    taken = tmp_path / "file"
    taken.write_text("")
    said: list[str] = []
    done = threading.Event()

    def on_hang(path: pathlib.Path | None, headline: str) -> None:
        said.append(f"{path} {headline}")
        done.set()

    with watchdog.CounterWatchdog(lambda: 0, 0.02, taken, on_hang=on_hang):
        assert done.wait(10)
    assert said[0].startswith("None no progress for 0.02 s (counter 0), report not written: ")


def test_unknown_threads_come_last(blocked: threading.Event) -> None:
    """A thread of no known role stands behind those of the engine."""
    extra = threading.Thread(target=blocked.wait, name="a plug-in", daemon=True)
    extra.start()
    views = watchdog.thread_views()
    assert views[0].name == "migration"
    at = [view.name for view in views].index("a plug-in")
    assert views[at].role == "no known role"
    assert all(view.role == "no known role" for view in views[at:])


def test_stall_timeout_must_be_positive(tmp_path: pathlib.Path) -> None:
    """Zero and not-a-number are refused."""
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="stall timeout"):
            watchdog.CounterWatchdog(lambda: 0, seconds, tmp_path)


def test_py_spy_failures_are_words(tmp_path: pathlib.Path) -> None:
    """A py-spy that fails or cannot be started is said, not raised."""
    assert "gave no answer" in watchdog.py_spy_view(1, str(tmp_path / "none"))
    assert "exit code 1" in watchdog.py_spy_view(1, "/bin/false")


PROGRAM = """
import pathlib, sys, threading
from stress.watchdog import counter as watchdog
lock = threading.Lock()
lock.acquire()
threading.Thread(target=lock.acquire, name="migration", daemon=True).start()
with watchdog.CounterWatchdog(lambda: 0, 0.05, pathlib.Path(sys.argv[1])):
    lock.acquire()
"""


@pytest.mark.slow
def test_hanging_program_ends_with_code_5(tmp_path: pathlib.Path) -> None:
    """A program that waits for ever ends with code 5 and its stacks, seen from in and outside."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert done.returncode == watchdog.EXIT_HANG
    (path,) = tmp_path.iterdir()
    assert str(path) in done.stderr
    text = path.read_text()
    assert "thread 'migration'" in text
    assert "py-spy's view of the run" in text
