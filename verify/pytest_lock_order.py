"""`pytest --stage3-lock-order FILE`: the lock order of a test session, a run for each test, merged into a file.

Promises: threads and locks are the real ones, recorded; each test is a run of its own, so an order that only the
sequence of tests makes is not taken for one of the program's. Under pytest-xdist each worker merges its part. Where a
hang limit is given, too, its recording is shared.
Does not: see child processes (`stage3 watch --lock-order FILE -- pytest` does), nor the tests that run under control.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from traces.errors import InputError
from traces.text import counted
from verify.lock_order import live, store
from verify.lock_order.findings import findings
from verify.observe import install
from verify.observe.recorder import recorder

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Collecting"]


class Collecting:
    """The plugin's part that is loaded with the option; registered as a plugin of its own."""

    def __init__(self, file: Path, *, collects: bool, tells: bool) -> None:
        self.file = file
        self.collects = collects
        self.tells = tells
        self.own: Path | None = None
        self.wrong = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Begin, before the first test is imported."""
        if not self.collects:
            return
        live.begin("a pytest session")
        if recorder.path is None:
            self.own = Path(tempfile.mkdtemp(prefix="stage3-flight-"))
            install.start(self.own)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """A test is a run."""
        try:
            return (yield)
        finally:
            if self.collects:
                live.end_run()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Merge, and put everything back."""
        if not (self.collects and live.collecting()):
            return
        if self.own is not None:
            install.stop()
            shutil.rmtree(self.own, ignore_errors=True)
        graph = live.end()
        try:
            store.merge_into(self.file, graph)
        except InputError as error:
            self.wrong = str(error)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is in the file."""
        if not self.tells:
            return
        if self.wrong or not self.file.exists():
            terminalreporter.write_line(f"lock order: nothing written: {self.wrong or 'no run'}")
            return
        try:
            graph = store.load(self.file)
        except InputError as error:
            terminalreporter.write_line(f"lock order: {error}")
            return
        said = counted(len([each for each in findings(graph) if each.counts]), "finding")
        runs = counted(graph.runs, "run")
        terminalreporter.write_line(
            f"lock order: {said} in {runs}; stage3 lock-order {self.file} shows them"
        )
