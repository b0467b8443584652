"""Findings as SARIF 2.1.0 (OASIS standard, March 2020), for code scanning.

Promises: rule ids and fingerprints stay the same over runs and edits that move lines (`partialFingerprints`), paths are
relative, and what a baseline accepts is there with its reason as a suppression. Silent cycles are not written.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from verify.lock_order.findings import (
    CYCLE,
    DECLARED_ORDER,
    KEYS,
    MONITOR,
    Standing,
    names_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traces.lock_order import Graph, Link
    from verify.lock_order.findings import Found

    Json = dict[str, object]

__all__ = ["sarif"]

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
RULES: Final = {
    CYCLE: "Locks are taken in a circle: threads can wait for each other for ever.",
    KEYS: "Locks of one class are not taken in the order of their keys.",
    DECLARED_ORDER: "A lock is taken against the declared order.",
    MONITOR: "A thread waits for a notification while it holds a lock that whoever notifies needs.",
}
LEVELS: Final = {
    Standing.CONFIRMED: "error",
    Standing.BROKEN: "error",
    Standing.POTENTIAL: "warning",
    Standing.NOT_REACHED: "warning",
    Standing.EXCLUDED: "note",
}
_SITE: Final = re.compile(r"(.*):([0-9]{1,9}) .*", re.DOTALL)


def sarif(graph: Graph, found: Sequence[Found], version: str) -> str:
    """Return the SARIF log of one run; `version` is that of stage3."""
    called = names_of(graph)
    driver = {
        "name": "stage3",
        "version": version,
        "rules": [
            {"id": _id(kind), "name": kind, "shortDescription": {"text": text}}
            for kind, text in RULES.items()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, called) for each in found],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _id(kind: str) -> str:
    return kind.replace(" ", "-")


def _result(each: Found, called: Mapping[str, str]) -> Json:
    places = [_place(link, called) for link in each.links]
    known = [place for place in places if "physicalLocation" in place]
    result: Json = {
        "ruleId": _id(each.kind),
        "ruleIndex": list(RULES).index(each.kind),
        "level": LEVELS[each.standing],
        "message": {"text": f"{each.title} ({each.standing.value}): {each.text}"},
        "locations": known[:1],
        "partialFingerprints": {"stage3LockOrder/v1": each.fingerprint},
    }
    if len(known) > 1:
        result["relatedLocations"] = [{"id": at, **place} for at, place in enumerate(known[1:], 1)]
    if each.accepted:
        result["suppressions"] = [{"kind": "external", "justification": each.accepted}]
    if each.outcome is not None and each.outcome.token:
        result["properties"] = {"replay": f"{each.outcome.target} {each.outcome.token}"}
    return result


def _place(link: Link, called: Mapping[str, str]) -> Json:
    held, wanted = called.get(link.held, link.held), called.get(link.wanted, link.wanted)
    message = {"text": f"{link.thread} holds {held} and takes {wanted}"}
    site = _SITE.fullmatch(link.wanted_at)
    if site is None:
        return {"message": message}
    file = site.group(1)
    where: Json = {"uri": quote(file, safe="/:")}
    if not file.startswith("/"):
        where["uriBaseId"] = "%SRCROOT%"
    region = {"startLine": max(int(site.group(2)), 1)}
    return {
        "physicalLocation": {"artifactLocation": where, "region": region},
        "message": message,
    }
