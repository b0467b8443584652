"""A baseline of lock-order findings: those that are known and accepted, each with its reason and, if wanted, its end.

Promises: `from_json(to_json(baseline)) == baseline`; hostile text is refused with a `TraceError` that names the
field. Does no I/O, and does not know what day it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import date
from typing import Final

from traces._fields import RECORD_AGAIN, Fields, parse, wrong
from traces.errors import TraceError, quoted

__all__ = ["FORMAT", "VERSION", "Accepted", "from_json", "to_json"]

FORMAT: Final = "stage3-lock-order-baseline"
VERSION: Final = 1
MOST_CHARACTERS: Final = 4 * 1024 * 1024
MOST_ENTRIES: Final = 10_000
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted finding: `fingerprint` names it, `title` says it to people, `expires` is its last day (or None)."""

    fingerprint: str
    title: str
    reason: str
    expires: date | None

    def holds_on(self, day: date) -> bool:
        """Say whether it still counts on `day`."""
        return self.expires is None or day <= self.expires


@dataclass(frozen=True, slots=True)
class _File:
    accepted: tuple[Accepted, ...]


def to_json(accepted: tuple[Accepted, ...]) -> str:
    """Return the text of the file: ASCII, an entry a line, to be read and edited by people."""
    rows = ",\n".join(
        "  " + json.dumps({**asdict(each), "expires": each.expires and each.expires.isoformat()})
        for each in sorted(accepted, key=lambda each: (each.title, each.fingerprint))
    )
    return f'{{\n "format": "{FORMAT}",\n "version": {VERSION},\n "accepted": [\n{rows}\n ]\n}}\n'


def from_json(text: str) -> tuple[Accepted, ...]:
    """Return the entries that `text` holds; raise `TraceError` naming the field that is wrong."""
    if len(text) > MOST_CHARACTERS:
        problem = f"has {len(text)} characters, at most {MOST_CHARACTERS}"
        raise TraceError("baseline", problem, RECORD_AGAIN)
    value = parse(text)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise TraceError(
            "format",
            f'this is not a "{FORMAT}" file',
            "write one with stage3 lock-order --write-baseline",
        )
    version = value.get("version")
    if isinstance(version, bool) or version != VERSION:
        problem = f"{quoted(version)}, but this stage3 reads version {VERSION}"
        raise TraceError("version", problem, "write the baseline again with this stage3")
    return Fields(value, "", _File, extra=("format", "version")).rows(
        "accepted", _accepted, MOST_ENTRIES
    )


def _accepted(value: object, where: str) -> Accepted:
    fields = Fields(value, where, Accepted)
    fingerprint = fields.text("fingerprint")
    if not _FINGERPRINT.fullmatch(fingerprint):
        wrong(f"{where}.fingerprint", fingerprint, "16 lower-case hexadecimal digits")
    reason = fields.text("reason")
    if not reason.strip():
        wrong(f"{where}.reason", reason, "a reason: say why the finding is accepted")
    return Accepted(fingerprint, fields.text("title"), reason, _day(fields, where))


def _day(fields: Fields, where: str) -> date | None:
    if fields.values["expires"] is None:
        return None
    text = fields.text("expires")
    try:
        return date.fromisoformat(text)
    except ValueError:
        wrong(f"{where}.expires", text, "a day such as 2027-03-31, or null")
