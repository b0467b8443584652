"""What a task does that no schedule controls: noted once a kind, and told to the detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import UNCONTROLLED, Finding

if TYPE_CHECKING:
    from verify.runtime.execution import Execution


def uncontrolled(execution: Execution, what: str) -> None:
    """Note that the running task does something that no schedule controls."""
    me = execution.current
    if me is None:
        return
    execution.aside(me, UNCONTROLLED)
    key = (what,)
    if any(note.cause == "uncontrolled" and note.key == key for note in execution.notes):
        return
    site = execution.site_of(me)
    message = f"{me.title} calls {what} at {site}; it is carried out, but no schedule controls it"
    execution.notes.append(Finding("uncontrolled", message, key, culprits=(me.path,), fatal=False))
