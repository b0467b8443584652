"""Running a pytest node again and again in one process.

Promises: each run collects the node anew, with fresh fixtures and nothing kept in pytest's cache; what pytest
itself calls wrong (no such test, bad options) is a `UsageError`, what a test calls wrong is a failure with its
place. Assumes: pytest is installed; the test's module stays imported between runs.
"""

from __future__ import annotations

import importlib.util
import shlex
from typing import TYPE_CHECKING, Final

from verify.abc import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    Node = Callable[[str], tuple[str, str, bool]]
    """Node id -> what failed (empty: nothing), its place, whether all was skipped."""

FAILED, BAD_USAGE, NOTHING_COLLECTED = 1, 4, 5
OPTIONS: Final = ("-p", "no:cacheprovider", "--tb=short", "-q")


class Watcher:
    """A plugin that notes what failed first, and whether anything ran."""

    def __init__(self) -> None:
        self.failed: list[tuple[str, str]] = []
        self.ran = 0
        self.skipped = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at the report of one phase of a test."""
        if report.failed:
            self._note(report, f"{report.nodeid} ({report.when})")
        self.ran += report.when == "call" and not report.skipped
        self.skipped += report.skipped

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at what became of a collection."""
        if report.failed:
            self._note(report, f"{report.nodeid} (collection)")

    def _note(self, report: pytest.TestReport | pytest.CollectReport, name: str) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        where = f"{crash.path}:{crash.lineno}" if crash is not None else ""
        text = crash.message if crash is not None else str(report.longrepr)
        line = next((line for line in text.splitlines() if line.strip()), "no message")
        self.failed.append((f"{name}: {line.strip()}", where))


def prepare() -> Node:
    """Return what runs a node; raise `UsageError` where there is no pytest."""
    if importlib.util.find_spec("pytest") is None:
        raise UsageError(
            "target is a test, and pytest is not installed here; say pip install pytest"
        )
    import pytest  # noqa: PLC0415 - no dependency of the toolkit

    def run(node: str) -> tuple[str, str, bool]:
        watcher = Watcher()
        code = int(pytest.main([node, *OPTIONS], plugins=[watcher]))
        if code == NOTHING_COLLECTED or (code == BAD_USAGE and not watcher.failed):
            raise UsageError(
                f"pytest finds no test {node!r} (exit code {code}); try it: pytest {shlex.quote(node)}"
            )
        if code == 0:
            return "", "", bool(watcher.skipped and not watcher.ran)
        message, where = watcher.failed[0] if watcher.failed else (f"pytest ended with {code}", "")
        return message, where, False

    return run
