"""JUnit XML of a stress job.

Promises: well-formed XML whatever a program printed; a target whose runs all passed is one test case, and every
run that did not pass is one of its own, `failure` where the program said so, `error` where it crashed, hung or
ended its process. At most `MOST_CASES` runs are listed; the counts of the suite are those of the cases listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from stress import junit
from stress.jobs import folder as folders
from verify.supervise import Fate

if TYPE_CHECKING:
    from stress.jobs.outcome import JobResult, Problem

MOST_CASES: Final = 1000
MOST_TEXT: Final = 20_000


def of(result: JobResult) -> str:
    """Return the XML text."""
    shown = result.problems[:MOST_CASES]
    whole = [target.text for target in result.settings.targets]
    bad = {problem.target for problem in result.problems}
    suite = ET.Element("testsuite", name="stage3 stress", time=f"{result.seconds:.3f}")
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    for target in whole:
        if target in bad:
            continue
        case = ET.SubElement(suite, "testcase", classname="stress", name=_clean(target))
        if not result.passed[target]:
            ET.SubElement(case, "skipped", message="no run of it passed or failed")
    for problem in shown:
        _case(suite, problem, result)
    return junit.document(suite)


def _properties(result: JobResult) -> list[tuple[str, str]]:
    settings = result.settings
    return [
        ("seed", str(settings.seed)),
        ("runs", str(result.done)),
        ("noise", " ".join(settings.noise.words()) or "none"),
        ("shard", str(settings.shard)),
        ("verdict", result.verdict),
    ]


def _case(suite: ET.Element, problem: Problem, result: JobResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname="stress",
        name=_clean(f"{problem.target}[seed {problem.seed}]"),
        time=f"{problem.seconds:.3f}",
    )
    kind = "failure" if problem.fate is Fate.FAILED else "error"
    found = ET.SubElement(case, kind, message=_clean(problem.headline), type=problem.verdict)
    files = [str(result.folder / file) for file in folders.files_of(result.folder, problem)]
    found.text = _clean("\n".join([problem.message, f"again: {problem.again}", *files]))


def _clean(text: str) -> str:
    return junit.clean(text, MOST_TEXT)
