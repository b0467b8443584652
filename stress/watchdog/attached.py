"""The sidecar of a test run: started by the pytest plugin, watches the pytest process from outside.

Promises: a hang gives a report, and the test under way is failed with it from inside where the process can
still run Python code; where it cannot, a JUnit file is written here and the process is killed. When pytest is
ended by somebody else in the middle of a test (pytest-timeout's thread method does), the JUnit file is written
too. Started with `python -m stress.watchdog.attached PID OPTIONS`; standard input carries `stress.watchdog.session`
lines, standard output one line `reported` for each report that was asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.files import write_whole
from stress.hang.text import brief, show
from stress.watchdog import ending, processes
from stress.watchdog.session import MOST_LINE, Session
from stress.watchdog.sidecar import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.watchdog.sidecar import Hang

__all__ = ["fail_signal", "main", "verdict_file"]

GRACE_S: Final = 2.0
"""How long the process may take to fail its test from inside before it is killed."""
MOST_TRIES: Final = 3
"""A test hangs in its body and again in a fixture's end; one that swallows every failure hangs for ever."""
PATIENCE_S: Final = 30.0


def fail_signal() -> int:
    """Return the signal on which the plugin fails the test under way."""
    return signal.SIGRTMIN + 10


def verdict_file(flights: Path, pid: int) -> Path:
    """Return where the report that a test is failed with lies: the first line is the verdict."""
    return flights / f"verdict-{pid}.txt"


class _Attached:
    """One watch of one pytest process."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.pid: int = args.pid
        self.flights: Path = args.flights
        self.junit: Path | None = args.junit
        self.worker: str = args.worker
        self.session = Session(worker=bool(self.worker))
        self.watchdog = Watchdog(
            self.pid,
            args.limit,
            args.output,
            flights=self.flights,
            on_hang=self.on_hang,
            idle=self.session.idle,
            notes=self.notes,
        )
        self.session.now = self.report_now
        self.killed = False
        self.tries: dict[str, int] = {}

    def notes(self) -> dict[str, str]:
        """Return what a report says of the test run."""
        known = {"test": self.session.test, "worker": self.worker}
        return {key: value for key, value in known.items() if value}

    def report_now(self, headline: str) -> None:
        """From the reader's thread: the run is about to be ended by somebody else."""
        hang = self.watchdog.report_now(headline, PATIENCE_S)
        if hang is not None:
            self.session.hung(brief(hang.report), show(hang.report))
            self.leave_verdict(hang)
        # Whoever asked may end the process at once; if not, pytest writes its own file over this one.
        self.write_junit(headline)
        with contextlib.suppress(OSError):
            sys.stdout.write("reported\n")
            sys.stdout.flush()

    def on_hang(self, hang: Hang) -> bool:
        """Fail the test under way from inside, or write the JUnit file and have the process killed."""
        report = hang.report
        self.session.hung(brief(report), show(report))
        if not self.session.over and report.verdict != "GIL held" and self.fail_from_inside(hang):
            return False
        if not self.session.over:
            self.write_junit(brief(report))
        self.killed = True
        return True

    def leave_verdict(self, hang: Hang) -> None:
        """Write the report where the plugin finds it: verdict, file, text."""
        path = hang.written.of(".txt")
        text = f"{brief(hang.report)}\n{path or 'no report could be written'}\n{show(hang.report)}"
        with contextlib.suppress(OSError):
            write_whole(verdict_file(self.flights, self.pid), text)

    def fail_from_inside(self, hang: Hang) -> bool:
        """Ask the process to fail its test; return whether it did."""
        number, test = fail_signal(), self.session.test
        self.tries[test] = self.tries.get(test, 0) + 1
        if not test or self.tries[test] > MOST_TRIES or not processes.caught(self.pid, number):
            return False
        self.session.failed.clear()
        self.leave_verdict(hang)
        try:
            os.kill(self.pid, number)
        except OSError:
            return False
        if hang.report.pid != self.pid:
            # A child hangs: the test is failed, and the child would hang on.
            ending.kill(processes.tree(hang.report.pid))
        return self.session.failed.wait(GRACE_S)

    def write_junit(self, otherwise: str) -> None:
        """Write the JUnit file in pytest's place; a worker's parent writes its own."""
        if self.junit is None or self.worker:
            return
        try:
            write_whole(self.junit, self.session.junit(otherwise))
        except OSError as error:
            sys.stderr.write(f"stage3: {self.junit} was not written: {error.strerror or error}\n")


def _lines() -> Iterator[bytes]:
    while line := sys.stdin.buffer.readline(MOST_LINE):
        yield line


def main(argv: list[str]) -> int:
    """Watch until the pytest process is gone; return 0."""
    parser = argparse.ArgumentParser(prog="stress.watchdog.attached")
    parser.add_argument("pid", type=int)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--flights", type=Path, required=True)
    parser.add_argument("--junit", type=Path)
    parser.add_argument("--worker", default="")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run decides what an interrupt means
    attached = _Attached(parser.parse_args(argv))
    reader = threading.Thread(target=attached.session.read, args=(_lines(),), daemon=True)
    reader.start()
    attached.watchdog.run()
    reader.join(PATIENCE_S)  # until what the run said last is read
    if not attached.session.over and not attached.killed:
        attached.write_junit(
            "the process ended in the middle of a test, and wrote no report of its own"
        )
    shutil.rmtree(attached.flights, ignore_errors=True)  # nobody is left to record
    return 0


def _run() -> int:
    try:
        return main(sys.argv[1:])
    except Exception:  # noqa: BLE001 - the test run goes on without its sidecar, and says so
        sys.stderr.write("internal error in stage3: the sidecar of the test run ends\n")
        traceback.print_exc()
        return 3


if __name__ == "__main__":
    exit_code = _run()
    sys.stderr.flush()
    # Its reader may still wait for a line, in a buffer whose lock an orderly end would ask for.
    os._exit(exit_code)
