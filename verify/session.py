"""A session: the standard library patched, loops counted, garbage collection out of the way, for many executions.

Promises: between the executions of a session nothing of the program's is left running; after it
nothing of the toolkit's is left in the process. Collections happen between executions only, so that
a finalizer never runs in whichever task happened to allocate.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from verify.abc import UsageError
from verify.instrument import counted_loops
from verify.patching import patched
from verify.runtime.execution import Execution
from verify.runtime.greenlets import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from verify.abc import Detector, Finding, Strategy
    from verify.program import Program

COLLECT_EVERY = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one execution came to. `steps` counts operations, `abort` is an error that is not a finding."""

    choices: tuple[int, ...]
    steps: int
    finding: Finding | None
    notes: tuple[Finding, ...]
    abort: BaseException | None


class Session:
    """Runs executions of one program; use as a context manager."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.stack = ExitStack()
        self.runs = 0
        self.pool = Pool()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(patched())
            stack.enter_context(counted_loops(self.program.files))
            if gc.isenabled():
                gc.collect()
                gc.freeze()
                gc.disable()
                stack.callback(gc.enable)
                stack.callback(gc.unfreeze)
            self.stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stack.close()

    def run(
        self,
        strategy: Strategy,
        detectors: Sequence[Detector],
        *,
        record_sites: bool = False,
        on_stop: Callable[[Execution], None] | None = None,
    ) -> Outcome:
        """Run the program once."""
        self.runs += 1
        if self.runs % COLLECT_EVERY == 0:
            gc.collect()
        execution = Execution(
            strategy,
            self.program.settings,
            detectors,
            self.pool,
            record_sites=record_sites,
            on_stop=on_stop,
        )
        execution.run(self.program.body)
        if isinstance(execution.abort, KeyboardInterrupt | UsageError):
            raise execution.abort
        return Outcome(
            tuple(execution.choices),
            execution.steps,
            execution.finding,
            tuple(execution.notes),
            execution.abort,
        )
