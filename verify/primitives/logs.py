"""Logging: CPython's own code on the adopted locks, less what it remembers from one execution to the next.

Promises: a logger's first question for a level takes the module's lock in every execution, as it
does in a fresh process; CPython keeps the answer, so that only the first execution would take it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from verify.primitives.patches import Patch, method

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

_is_enabled_for = logging.Logger.isEnabledFor


def _ask(execution: Execution, _me: Task, logger: logging.Logger, level: int) -> bool:
    asked = (logger, level)
    if asked not in execution.user:
        execution.user[asked] = True
        vars(logger)["_cache"].pop(level, None)
    return _is_enabled_for(logger, level)


def rows() -> list[Patch]:
    """Return the patch for `logging`."""
    out: list[Patch] = []
    method(logging.Logger, "isEnabledFor", _ask, out)
    return out
