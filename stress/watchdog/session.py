"""What the sidecar of a test run knows of it, told line by line by the pytest plugin.

Promises: a line is JSON of bounded size or is passed over; state changes under one lock, and readers get
values. Lines are objects with `event`: `test` (with `id`), `done`, `report` (`id`, `outcome`, `seconds`,
`message`, `text`), `now` (`headline`: a report is wanted at once), `failed` (the hung test was failed from
inside), `bye` (the run is over, its own files are written).
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Final

from stress.watchdog.junit import Case, document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MOST_LINE", "Session"]

MOST_LINE: Final = 1 << 20
NO_TEST: Final = "(no test under way)"


class Session:
    """One test run. `worker` says that it is a worker of pytest-xdist, which waits between tests by design."""

    def __init__(self, *, worker: bool) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._test = ""
        self._over = False
        self._cases: dict[str, Case] = {}
        self._hung: dict[str, tuple[str, str]] = {}
        self.failed = threading.Event()
        """Set once the hung test was failed from inside."""
        self.now: Callable[[str], None] = _ignore
        """Called with a headline when the run wants a report at once."""

    def read(self, lines: Iterable[bytes]) -> None:
        """Take in lines until there are no more."""
        for line in lines:
            try:
                value: object = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                self._take(
                    {str(k): v for k, v in value.items() if isinstance(v, str | int | float)}
                )

    def _take(self, value: dict[str, str | int | float]) -> None:
        event = value.get("event")
        if event == "now":
            self.now(str(value.get("headline", "")))
        elif event == "failed":
            self.failed.set()
        with self._lock:
            if event == "test":
                self._test = str(value.get("id", ""))
            elif event == "done":
                self._test = ""
            elif event == "bye":
                self._over = True
            elif event == "report":
                self._report(value)

    def _report(self, value: dict[str, str | int | float]) -> None:
        """Under the lock: the worst phase of a test is its outcome, and its phases add up."""
        nodeid, outcome = str(value.get("id", "")), str(value.get("outcome", "passed"))
        seconds = value.get("seconds", 0.0)
        before = self._cases.get(nodeid, Case(nodeid, "passed"))
        spent = before.seconds + (float(seconds) if not isinstance(seconds, str) else 0.0)
        worse = before if before.outcome != "passed" else Case(
            nodeid, outcome, message=str(value.get("message", "")), text=str(value.get("text", ""))
        )  # fmt: skip
        self._cases[nodeid] = Case(nodeid, worse.outcome, spent, worse.message, worse.text)

    @property
    def test(self) -> str:
        """The node id of the test under way, or ""."""
        with self._lock:
            return self._test

    @property
    def over(self) -> bool:
        """Whether the run has ended and only its process is left."""
        with self._lock:
            return self._over

    def idle(self) -> bool:
        """Say whether it waits by design: a worker between tests."""
        with self._lock:
            return self._worker and not self._test and not self._over

    def hung(self, message: str, text: str) -> None:
        """Note a report on the test under way."""
        with self._lock:
            self._hung[self._test] = (message, text)

    def junit(self, otherwise: str) -> str:
        """Return the JUnit file: what was reported so far, and the test under way as an error.

        `otherwise` is what to say of that one if no hang was reported for it.
        """
        with self._lock:
            cases = dict(self._cases)
            test = self._test or NO_TEST
            message, text = self._hung.get(self._test, (otherwise, otherwise))
            seconds = cases[test].seconds if test in cases else 0.0
            cases[test] = Case(test, "error", seconds, message, text)
            return document(cases.values())


def _ignore(_headline: str) -> None:
    pass
