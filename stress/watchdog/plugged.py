"""The inside of a watched test run: starts the sidecar, records, and fails the test that hangs.

Promises: `Plugged` undoes what it did in `over`; what the sidecar cannot be told (it died) is no error. The
signal handler raises only in the main thread and only while a test is under way.
Assumes: made in the main thread. Does not: judge; the sidecar does.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.hang import stored
from stress.hang.text import brief, show
from stress.watchdog.attached import fail_signal, verdict_file
from traces.errors import InputError
from verify import _real
from verify.observe import install, launch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    import pytest

__all__ = ["Crashes", "Plugged"]

SECTION: Final = "stage3 hang report"
PATIENCE_S: Final = 30.0
_MOST_TEXT: Final = 200_000
_JUNIT: Final = {"failed": "failure", "skipped": "skipped"}


class HungError(BaseException):
    """Raised in a test that hangs. No `except Exception` of the program catches it."""


class Plugged:
    """One pytest process with its sidecar."""

    def __init__(
        self, limit_s: float, output: Path, *, junit: Path | None = None, worker: str = ""
    ) -> None:
        self.exit_code = 1
        self._test = ""
        self._failed = False
        self._timed_out = False
        self._worker = bool(worker)
        self._flights = Path(tempfile.mkdtemp(prefix="stage3-flight-"))
        words = ["--limit", str(limit_s), "--output", str(output), "--flights", str(self._flights)]
        words += ["--junit", str(junit)] if junit is not None else []
        words += ["--worker", worker] if worker else []
        self._sidecar = subprocess.Popen(
            [sys.executable, "-m", "stress.watchdog.attached", str(os.getpid()), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**launch.without(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        launch.consent(self._flights)
        self._before = signal.signal(fail_signal(), self._fail)
        self._environment = dict(os.environ)
        os.environ.update(launch.environment(self._flights))
        self._undo_timeout = self._keep_stacks()
        install.start(self._flights)

    def say(self, **value: str | float) -> None:
        """Tell the sidecar something."""
        assert self._sidecar.stdin is not None
        # RuntimeError: the signal came in the middle of a line.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._sidecar.stdin.write(json.dumps(value).encode() + b"\n")
            self._sidecar.stdin.flush()

    def begins(self, nodeid: str) -> None:
        """Say that a test begins."""
        install.note("test", nodeid)
        self.say(event="test", id=nodeid)
        self._test = nodeid

    def ends(self) -> None:
        """Say that it is over."""
        self._test = ""
        self.say(event="done")

    def reports(self, report: pytest.TestReport) -> None:
        """Pass a phase's outcome on, for the JUnit file that pytest may not come to write."""
        outcome = _JUNIT.get(report.outcome, report.outcome)
        if outcome == "failure" and report.when != "call":
            outcome = "error"
        text = report.longreprtext[:_MOST_TEXT] if report.outcome != "passed" else ""
        self.say(
            event="report",
            id=report.nodeid,
            outcome=outcome,
            seconds=report.duration,
            message=text.strip().splitlines()[-1] if text.strip() else "",
            text=text,
        )

    def explain(self, report: pytest.TestReport, error: BaseException | None) -> None:
        """Put the hang report into the report of a test that hung, or that pytest-timeout ended."""
        if isinstance(error, HungError):
            report.longrepr = str(error)
        elif self._timed_out and error is not None:
            report.longrepr = f"{report.longreprtext}\n{self._verdict()}"
        else:
            return
        self._timed_out = False
        report.sections.append((SECTION, self._left()))

    def _left(self) -> str:
        """Return what the sidecar left of its last report: verdict, file and text."""
        with contextlib.suppress(OSError):
            return verdict_file(self._flights, os.getpid()).read_text(errors="replace")
        return "it hangs\nno report\n"

    def _verdict(self) -> str:
        verdict, path = self._left().split("\n", 2)[:2]
        return f"{verdict}\nhang report: {path}"

    def _fail(self, _number: int, _frame: FrameType | None) -> None:
        """Signal handler: fail the test under way, if there still is one."""
        if not self._test:
            return
        self._failed = True
        self.say(event="failed")
        raise HungError(self._verdict())

    def _keep_stacks(self) -> Callable[[], None]:
        """Have what pytest-timeout prints kept for the report, and the report made before it goes on."""
        module = sys.modules.get("pytest_timeout")
        original = getattr(module, "dump_stacks", None)
        if module is None or original is None:
            return _nothing

        def dump_stacks(terminal: object) -> None:
            original(terminal)
            kept = _Kept()
            original(kept)
            path = self._flights / "witness-stacks as pytest-timeout shows them.txt"
            with contextlib.suppress(OSError):
                path.write_text("".join(kept.parts), errors="replace")
            self._timed_out = self._failed = True
            self._report_now(f"pytest-timeout ends {self._test or 'the run'}")

        module.__dict__["dump_stacks"] = dump_stacks
        return lambda: module.__dict__.__setitem__("dump_stacks", original)

    def _report_now(self, headline: str) -> None:
        assert self._sidecar.stdout is not None
        self.say(event="now", headline=headline)
        # The real one: to wait here is no operation of the program.
        ready, _, _ = _real.select([self._sidecar.stdout], [], [], PATIENCE_S)
        if ready:
            self._sidecar.stdout.readline()

    def over(self) -> None:
        """Stop recording, let the sidecar go, put everything back.

        Where a test was failed and its threads hang on, the process ends here: waiting for them, as Python
        does, would never end. A sidecar of pytest itself watches on until the process has ended; where a program
        called pytest and goes on, the sidecar ends here.
        """
        self.say(event="bye")
        install.stop()
        self._undo_timeout()
        signal.signal(fail_signal(), self._before)
        os.environ.clear()
        os.environ.update(self._environment)
        left = [each.name for each in threading.enumerate() if _keeps_alive(each)]
        if self._failed and left and (self._worker or _is_command()):
            sys.stderr.write(f"stage3: these threads hang on and are left: {', '.join(left)}\n")
            self._end()
        with contextlib.suppress(OSError):
            assert self._sidecar.stdin is not None
            self._sidecar.stdin.close()
        if not self._worker and not _is_command():
            self._dismiss()

    def _dismiss(self) -> None:
        """End the sidecar: the process goes on, and what it does from now on is nobody's to judge."""
        self._sidecar.terminate()
        try:
            self._sidecar.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._sidecar.kill()
            self._sidecar.wait()
        assert self._sidecar.stdout is not None
        self._sidecar.stdout.close()
        shutil.rmtree(self._flights, ignore_errors=True)

    def _end(self) -> None:
        atexit._run_exitfuncs()  # noqa: SLF001 - what os._exit leaves out, coverage's last words among it
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        shutil.rmtree(self._flights, ignore_errors=True)
        os._exit(self.exit_code)


class _Kept:
    """Takes what would go to pytest's terminal."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, text: str, **_markup: bool) -> None:
        """Keep a piece of text."""
        self.parts.append(text)

    def sep(self, mark: str, title: str = "", **_markup: bool) -> None:
        """Keep a headline."""
        self.parts.append(f"{mark * 3} {title} {mark * 3}\n")


class Crashes:
    """The controller of pytest-xdist: finds the report on a test under which a worker died."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._since = time.time() - 1.0

    def report_on(self, nodeid: str) -> tuple[str, tuple[str, str]] | None:
        """Return verdict and section of the latest report that names the test, None where there is none."""
        found = [path for path in self._output.glob("hang-*.json") if self._is_new(path)]
        for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
            try:
                report = stored.read(path)
            except InputError:
                continue
            if report.notes.get("test") == nodeid:
                return f"{brief(report)}\nhang report: {path}", (SECTION, show(report))
        return None

    def _is_new(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime >= self._since
        except OSError:
            return False


def _keeps_alive(thread: threading.Thread) -> bool:
    return thread is not threading.main_thread() and not thread.daemon and thread.is_alive()


def _is_command() -> bool:
    """Say whether pytest is the program, and not called by one that goes on afterwards."""
    return Path(sys.argv[0]).name in {"pytest", "py.test"} or sys.argv[0].endswith(
        "pytest/__main__.py"
    )


def _nothing() -> None:
    pass
