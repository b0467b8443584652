"""A concurrency-verification toolkit: runs threaded code under a schedule it chooses and repeats.

Knows nothing of the engine. Read in this order: `abc` (what a strategy and a detector
are), `runtime` (one execution), `primitives` and `patching` (what stands in for the standard
library), `strategies` (who goes on), `detectors` (what counts as wrong), `explore` (the search
loop), `report` (what a failure says), `check`, `cli` and `pytest_plugin` (the ways in).

Importing it saves the untouched primitives and nothing else: every public name is loaded from its
home when it is first used, so that a test suite with stage3 installed pays nothing until a check runs.

PYTEST_DONT_REWRITE: where pytest is started inside a worker, this is imported already.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from verify import _real as _real  # first: the untouched primitives

if TYPE_CHECKING:
    from verify.abc import (
        CheckFailed,
        CheckInconclusive,
        Detector,
        Finding,
        ForeignBuild,
        InvariantError,
        Settings,
        Strategy,
        UsageError,
    )
    from verify.api import (
        access,
        advance,
        broken,
        draw,
        invariant,
        is_controlled,
        is_free,
        label,
        linearizable,
        sometimes,
    )
    from verify.check import check, interleavings
    from verify.durable.regression import regression
    from verify.explore import Exploration, Verdict, explore, replay
    from verify.linear.history import History
    from verify.linear.specs import Counter, Fifo, KeyValue, Lifo, Register
    from verify.lock_order.declared import lock_acquiring, lock_releasing
    from verify.lock_order.keys import lock_order_key
    from verify.observe.install import note
    from verify.program import Program, load, scenario
    from verify.strategies import DFS, DPOR, PCT, POS, SURW, URW, Portfolio, RandomWalk, ReadsFrom

__all__ = [
    "DFS",
    "DPOR",
    "PCT",
    "POS",
    "SURW",
    "URW",
    "CheckFailed",
    "CheckInconclusive",
    "Counter",
    "Detector",
    "Exploration",
    "Fifo",
    "Finding",
    "ForeignBuild",
    "History",
    "InvariantError",
    "KeyValue",
    "Lifo",
    "Portfolio",
    "Program",
    "RandomWalk",
    "ReadsFrom",
    "Register",
    "Settings",
    "Strategy",
    "UsageError",
    "Verdict",
    "access",
    "advance",
    "broken",
    "check",
    "draw",
    "explore",
    "interleavings",
    "invariant",
    "is_controlled",
    "is_free",
    "label",
    "linearizable",
    "load",
    "lock_acquiring",
    "lock_order_key",
    "lock_releasing",
    "note",
    "regression",
    "replay",
    "scenario",
    "sometimes",
]

_HOMES = {
    "abc": "CheckFailed CheckInconclusive Detector Finding ForeignBuild InvariantError Settings Strategy UsageError",
    "api": "access advance broken draw invariant is_controlled is_free label linearizable sometimes",
    "check": "check interleavings",
    "durable.regression": "regression",
    "linear.history": "History",
    "linear.specs": "Counter Fifo KeyValue Lifo Register",
    "observe.install": "note",
    "explore": "Exploration Verdict explore replay",
    "lock_order.declared": "lock_acquiring lock_releasing",
    "lock_order.keys": "lock_order_key",
    "program": "Program load scenario",
    "strategies": "DFS DPOR PCT POS SURW URW Portfolio RandomWalk ReadsFrom",
}
_HOME = {name: f"verify.{home}" for home, names in _HOMES.items() for name in names.split()}


class _Package(ModuleType):
    """This package: `verify.explore` and `verify.check` are the functions, not the modules they live in."""

    def __setattr__(self, name: str, value: object) -> None:
        # The import system binds each submodule in its package; a function of that name stays.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(_HOME[name]), name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *__all__})


sys.modules[__name__].__class__ = _Package
