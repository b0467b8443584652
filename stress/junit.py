"""What every JUnit file of the toolkit has in common: clean text, counts, the frame around a suite.

Promises: well-formed XML whatever a program printed; the counts of a suite are those of its test cases.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

__all__ = ["clean", "document"]

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COUNTS: Final = (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))


def clean(text: str, most: int) -> str:
    """Return `text` without what XML 1.0 cannot hold, at most `most` characters."""
    return _NOT_XML.sub("\ufffd", text[:most])


def document(suite: ET.Element) -> str:
    """Return the XML text of a file with one `testsuite`, whose counts are set here."""
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for name, tag in _COUNTS:
        suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
