"""Uncaught exceptions: whatever leaves a task, the main one included."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from verify.abc import Detector, Finding, InvariantError
from verify.sites import is_framework, short

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView


MOST_LINES = 30  # of an exception's text: pytest's assertions come with a diff


class Exceptions(Detector):
    """Turns an exception that leaves a task into a finding."""

    name = "exceptions"

    def raised(self, execution: ExecutionView, task: TaskView, exception: BaseException) -> Finding:
        """Name the exception and the place that raised it."""
        del execution
        if isinstance(exception, InvariantError):
            return Finding(
                cause="broken invariant",
                message=str(exception),
                key=(exception.invariant,),
                culprits=(task.path,),
            )
        stack = [
            frame
            for frame in traceback.extract_tb(exception.__traceback__)
            if not is_framework(frame.filename)
        ]
        site = f"{short(stack[-1].filename)}:{stack[-1].lineno} {stack[-1].name}" if stack else ""
        kind = type(exception).__name__
        text = str(exception).strip().splitlines()
        return Finding(
            cause="uncaught exception",
            message=f"{kind} in {task.title} at {site}" + (f": {text[0]}" if text else ""),
            key=(kind, site),
            details=(
                *text[1:MOST_LINES],
                *(
                    f"{short(frame.filename)}:{frame.lineno} {frame.name}: {frame.line}"
                    for frame in stack
                ),
            ),
            culprits=(task.path,),
        )
