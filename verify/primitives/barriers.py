"""Barrier: a gate a generation.

Promises: results and errors are CPython's: the index of arrival, the action run by the last to
arrive, `BrokenBarrierError` for all who wait when it breaks, is reset or times out. Arriving and
leaving are one operation each.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from verify.primitives.patches import Patch, State, me_of, method
from verify.runtime import current
from verify.runtime.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


class Generation:
    """Those who wait together: `passed` says that all arrived, otherwise an open gate means broken."""

    __slots__ = ("arrived", "gate", "passed")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.arrived = 0
        self.passed = False


class BarrierState(State):
    """The generation that fills now, and whether the barrier is broken."""

    __slots__ = ("broken", "filling")

    KIND = "Barrier"

    def begin(self, execution: Execution, subject: object) -> None:
        """Start empty, broken if the real barrier is."""
        self.broken = getattr(subject, "_state", 0) == -2
        self.filling = Generation(Gate(execution, self, is_open=False))

    def renew(self) -> Generation:
        """Begin a new generation and return the old one."""
        old = self.filling
        self.filling = Generation(Gate(self.execution, self, is_open=False))
        return old

    def break_up(self) -> None:
        """Break: everyone who waits gets an error, and so does everyone who comes."""
        self.broken = True
        self.renew().gate.set_open()


def _init(
    execution: Execution,
    _me: Task,
    barrier: threading.Barrier,
    parties: int,
    action: Callable[[], object] | None = None,
    timeout: float | None = None,
) -> None:
    if parties < 1 and sys.version_info >= (3, 13):
        raise ValueError("parties must be > 0")
    vars(barrier).update(_parties=parties, _action=action, _timeout=timeout, _state=0, _count=0)
    BarrierState.of(execution, barrier)


def _wait(
    execution: Execution, me: Task, barrier: threading.Barrier, timeout: float | None = None
) -> int:
    attributes = vars(barrier)
    if timeout is None:
        timeout = attributes["_timeout"]
    state = BarrierState.of(execution, barrier)
    execution.point(me, "Barrier.wait", state)
    if state.broken:
        raise threading.BrokenBarrierError
    generation = state.filling
    index = generation.arrived
    generation.arrived += 1
    if generation.arrived == attributes["_parties"]:
        _release(state, attributes["_action"])
        return index
    if not execution.pass_gate(me, "Barrier.leave", state, generation.gate, timeout):
        state.break_up()
    if not generation.passed:
        raise threading.BrokenBarrierError
    return index


def _release(state: BarrierState, action: Callable[[], object] | None) -> None:
    generation = state.renew()
    try:
        if action is not None:
            action()
    except BaseException:
        generation.gate.set_open()
        state.break_up()
        raise
    generation.passed = True
    generation.gate.set_open()


def _reset(execution: Execution, me: Task, barrier: threading.Barrier) -> None:
    state = BarrierState.of(execution, barrier)
    execution.point(me, "Barrier.reset", state)
    state.renew().gate.set_open()
    state.broken = False


def _abort(execution: Execution, me: Task, barrier: threading.Barrier) -> None:
    state = BarrierState.of(execution, barrier)
    execution.point(me, "Barrier.abort", state)
    state.break_up()


def _view(name: str, model: Callable[[BarrierState], object]) -> Patch:
    real = vars(threading.Barrier)[name]

    def read(barrier: threading.Barrier) -> object:
        execution = current.controlled()
        if execution is None or execution.current is None:
            return real.fget(barrier)
        state = BarrierState.of(execution, barrier)
        execution.point(me_of(execution), f"Barrier.{name}", state)
        return model(state)

    return Patch(threading.Barrier, name, property(read))


def rows() -> list[Patch]:
    """Return the patches for `threading.Barrier`."""
    out: list[Patch] = []
    for name, model in (("__init__", _init), ("wait", _wait), ("reset", _reset), ("abort", _abort)):
        method(threading.Barrier, name, model, out)
    out.append(_view("n_waiting", lambda state: state.filling.arrived))
    out.append(_view("broken", lambda state: state.broken))
    return out
