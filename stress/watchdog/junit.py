"""The JUnit file that a test run which was killed can no longer write.

Promises: pure; well-formed XML whatever tests printed; test cases are named as pytest names them, so a
reader of both files takes them for the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from stress import junit

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Case", "document"]

MOST_MESSAGE: Final = 1_000
MOST_TEXT: Final = 200_000
_OUTCOMES: Final = ("failure", "error", "skipped")


@dataclass(frozen=True, slots=True)
class Case:
    """One test: `outcome` is "passed", "failure", "error" or "skipped", `text` what there is to say of it."""

    nodeid: str
    outcome: str
    seconds: float = 0.0
    message: str = ""
    text: str = ""


def names(nodeid: str) -> tuple[str, str]:
    """Return class and name of a node id: `tests/test_a.py::TestB::test_c[x]` is `tests.test_a.TestB`, `test_c[x]`."""
    path, bracket, parameters = nodeid.partition("[")
    file, *parts = path.split("::")
    where = file.removesuffix(".py").replace("/", ".")
    name = parts.pop() if parts else ""
    return ".".join([where, *parts]), f"{name}{bracket}{parameters}"


def document(cases: Iterable[Case]) -> str:
    """Return the XML of a test suite."""
    suite = ET.Element("testsuite", name="pytest")
    seconds = 0.0
    for case in cases:
        classname, name = names(case.nodeid)
        element = ET.SubElement(
            suite,
            "testcase",
            classname=junit.clean(classname, MOST_MESSAGE),
            name=junit.clean(name, MOST_MESSAGE),
            time=f"{case.seconds:.3f}",
        )
        seconds += case.seconds
        if case.outcome in _OUTCOMES:
            found = ET.SubElement(
                element, case.outcome, message=junit.clean(case.message, MOST_MESSAGE)
            )
            found.text = junit.clean(case.text, MOST_TEXT)
    suite.set("time", f"{seconds:.3f}")
    return junit.document(suite)
