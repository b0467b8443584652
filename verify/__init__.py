"""A concurrency-verification toolkit: runs threaded code under a schedule it chooses and repeats.

Knows nothing of the engine. Read in this order: `abc` (what a strategy, a detector and a backend
are), `runtime` (one execution), `primitives` and `patching` (what stands in for the standard
library), `strategies` (who goes on), `detectors` (what counts as wrong), `explore` (the search
loop), `report` (what a failure says).
"""

from verify import _real as _real  # first: the untouched primitives
from verify.abc import Detector, Finding, InvariantError, Settings, Strategy, UsageError
from verify.api import access, advance, broken, draw, invariant, is_controlled, is_free, label
from verify.explore import Exploration, Verdict, explore, replay
from verify.program import Program, load, scenario
from verify.strategies import PCT, RandomWalk

__all__ = [
    "PCT",
    "Detector",
    "Exploration",
    "Finding",
    "InvariantError",
    "Program",
    "RandomWalk",
    "Settings",
    "Strategy",
    "UsageError",
    "Verdict",
    "access",
    "advance",
    "broken",
    "draw",
    "explore",
    "invariant",
    "is_controlled",
    "is_free",
    "label",
    "load",
    "replay",
    "scenario",
]
