"""Event: one flag, one gate."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from verify.primitives.patches import Patch, State, method
from verify.runtime.gate import Gate

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


MOST_KEPT = 15  # changes of one event, for the report


class EventState(State):
    """The gate is open while the flag is set."""

    __slots__ = ("gate", "history")

    KIND = "Event"

    def begin(self, execution: Execution, subject: object) -> None:
        """Start from the flag the real event has."""
        self.gate = Gate(execution, self, is_open=bool(getattr(subject, "_flag", False)))
        self.history: list[str] = []

    def tell(self, execution: Execution, me: Task, what: str) -> None:
        """Keep who set or cleared the flag, for the report (runs that record sites only)."""
        if execution.record_sites:
            del self.history[:-MOST_KEPT]
            line = f"{me.title} {what} it at {execution.site_of(me)} (step {execution.steps})"
            self.history.append(line)


def _init(execution: Execution, _me: Task, event: threading.Event) -> None:
    event._flag = False  # type: ignore[attr-defined]  # noqa: SLF001 - the real event's state, kept true
    EventState.of(execution, event)


def _is_set(execution: Execution, me: Task, event: threading.Event) -> bool:
    state = EventState.of(execution, event)
    execution.point(me, "Event.is_set", state)
    return state.gate.open


def _set(execution: Execution, me: Task, event: threading.Event) -> None:
    state = EventState.of(execution, event)
    execution.point(me, "Event.set", state)
    event._flag = True  # type: ignore[attr-defined]  # noqa: SLF001 - the real event's state, kept true
    state.gate.set_open()
    state.tell(execution, me, "set")


def _clear(execution: Execution, me: Task, event: threading.Event) -> None:
    state = EventState.of(execution, event)
    execution.point(me, "Event.clear", state)
    event._flag = False  # type: ignore[attr-defined]  # noqa: SLF001 - the real event's state, kept true
    state.gate.set_closed()
    state.tell(execution, me, "cleared")


def _wait(
    execution: Execution, me: Task, event: threading.Event, timeout: float | None = None
) -> bool:
    state = EventState.of(execution, event)
    if timeout is not None and timeout <= 0:
        execution.point(me, "Event.wait", state)
        if not state.gate.open:
            me.yields += 1
        passed = state.gate.open
    else:
        passed = execution.pass_gate(me, "Event.wait", state, state.gate, timeout)
    if timeout is not None and execution.listening:
        execution.result(me, result=passed)
    return passed


def rows() -> list[Patch]:
    """Return the patches for `threading.Event`."""
    out: list[Patch] = []
    for name, model in (
        ("__init__", _init), ("is_set", _is_set),  ("set", _set), ("clear", _clear), ("wait", _wait),
    ):  # fmt: skip
        method(threading.Event, name, model, out)
    return out
