"""JUnit XML of a stress job.

Promises: well-formed XML whatever a program printed; a target whose runs all passed is one test case, and every
run that did not pass is one of its own, `failure` where the program said so, `error` where it crashed, hung or
ended its process. At most `MOST_CASES` runs are listed; the counts of the suite are those of the cases listed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from stress.jobs import folder as folders
from verify.supervise import Fate

if TYPE_CHECKING:
    from stress.jobs.outcome import JobResult, Problem

MOST_CASES: Final = 1000
MOST_TEXT: Final = 20_000
NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def of(result: JobResult) -> str:
    """Return the XML text."""
    shown = result.problems[:MOST_CASES]
    failures = sum(problem.fate is Fate.FAILED for problem in shown)
    whole = [target.text for target in result.settings.targets]
    bad = {problem.target for problem in result.problems}
    suite = ET.Element("testsuite", name="stage3 stress", time=f"{result.seconds:.3f}")
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result):
        ET.SubElement(properties, "property", name=name, value=clean(value))
    skipped = 0
    for target in whole:
        if target in bad:
            continue
        case = ET.SubElement(suite, "testcase", classname="stress", name=clean(target))
        if not result.passed[target]:
            skipped += 1
            ET.SubElement(case, "skipped", message="no run of it passed or failed")
    for problem in shown:
        _case(suite, problem, result)
    suite.set("tests", str(len(suite) - 1))
    suite.set("failures", str(failures))
    suite.set("errors", str(len(shown) - failures))
    suite.set("skipped", str(skipped))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


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
        name=clean(f"{problem.target}[seed {problem.seed}]"),
        time=f"{problem.seconds:.3f}",
    )
    kind = "failure" if problem.fate is Fate.FAILED else "error"
    found = ET.SubElement(case, kind, message=clean(problem.headline), type=problem.verdict)
    files = [str(result.folder / file) for file in folders.files_of(result.folder, problem)]
    found.text = clean("\n".join([problem.message, f"again: {problem.again}", *files]))


def clean(text: str) -> str:
    """Return `text` without what XML 1.0 cannot hold, at most `MOST_TEXT` characters."""
    return NOT_XML.sub("\ufffd", text[:MOST_TEXT])
