"""The museum's target: `stress.migration.exhibits:exhibit?defect=A3` runs the scenario of a defect, with it.

Promises: the defect is in the engine from before the machine is built until the scenario ends; `fixed=1` is the same
scenario on the whole engine; scope, settings and detectors are those of every scenario, whatever the defect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.migration import closed, defects, more, whole
from stress.migration.scenarios import PACKAGES, SETTINGS, judges
from verify import UsageError, scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MODULES: Final = (whole, closed, more)
SCENARIOS: Final[Mapping[str, Callable[..., None]]] = {  # type: ignore[explicit-any] # each has parameters of its own
    name: value
    for module in _MODULES
    for name, value in vars(module).items()
    if callable(value)
    and getattr(value, "__module__", "") == module.__name__
    and not name.startswith("_")
}
"""Scenarios by name."""


def found(name: str) -> defects.Defect:
    """The defect of that id; raises `UsageError`."""
    try:
        return defects.find(name)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from None


@scenario(packages=PACKAGES, settings=SETTINGS, detectors=judges)
def exhibit(defect: str, fixed: int = 0) -> None:
    """Run the scenario of a defect, with or without it."""
    piece = found(defect)
    with defects.seeded(None if fixed else piece) as seeded:
        design = piece.whole_design if fixed else seeded
        SCENARIOS[piece.scenario](design, **piece.arguments)


def target(defect: defects.Defect, *, fixed: bool = False) -> str:
    """What the command line calls it."""
    return f"{__name__}:exhibit?defect={defect.ids[0]}{'&fixed=1' if fixed else ''}"
