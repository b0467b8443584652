"""A session: the standard library patched, loops counted, garbage collection out of the way, for many executions.

Promises: between the executions of a session nothing of the program's is left running; after it
nothing of the toolkit's is left in the process. Collections happen between executions only, so that
a finalizer never runs in whichever task happened to allocate.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from verify.abc import ScheduleMismatchError, UsageError, listener_of
from verify.accesses_watch import Watch
from verify.patching import patched
from verify.runtime import greenlets, os_threads
from verify.runtime.carriers import BACKENDS, GREENLETS, THREADS, quiet_endings
from verify.runtime.execution import Execution
from verify.runtime.interrupts import from_outside, remember_handlers
from verify.seeding import Seeding
from verify.watchdog import Watchdog, print_hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from verify.abc import Detector, Finding, Strategy
    from verify.program import Program
    from verify.runtime.carriers import Backend

COLLECT_EVERY = 64


@contextmanager
def _collecting_by_hand() -> Iterator[None]:
    """Keep the collector off, and what there was before out of its sight.

    What the program left behind is collected before it comes in sight again, which takes as long as there is of it; a
    whole collection at the beginning would take as long as there is of the process.
    """
    gc.collect(1)
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        gc.enable()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one execution came to. `steps` counts operations, `abort` is an error that is not a finding.

    `granularity` is where its scheduling points lay: part of what `choices` mean. `tasks` counts the
    threads there were.
    """

    choices: tuple[int, ...]
    steps: int
    finding: Finding | None
    notes: tuple[Finding, ...]
    abort: BaseException | None
    granularity: str = "sync"
    tasks: int = 1


class Session:
    """Runs executions of one program; use as a context manager.

    `backend` is who carries the tasks: "greenlets" (fast) or "threads" (an OS thread each).
    `on_hang` gets the text about a task that is blocked in a call nothing can interrupt. `learn` lets
    the granularities `access` and `auto` look for pairs; without it those they name are all.
    """

    def __init__(
        self,
        program: Program,
        backend: str = GREENLETS,
        *,
        on_hang: Callable[[str], None] = print_hang,
        learn: bool = False,
    ) -> None:
        if backend not in BACKENDS:
            raise UsageError(f"no backend {backend!r}; there are: {', '.join(BACKENDS)}")
        self.program = program
        self.watch = Watch(program.files, program.settings.granularity, learn=learn)
        self.backend = backend
        self.stack = ExitStack()
        self.runs = 0
        self.pool = greenlets.Pool()
        self.watchdog = Watchdog(on_hang)
        self.seeding = Seeding(program)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            remember_handlers()
            functions = stack.enter_context(patched())
            stack.callback(self.watch.close)
            self.watch.open(functions)
            functions.clear()  # they may be let go
            if gc.isenabled():
                stack.enter_context(_collecting_by_hand())
            stack.enter_context(self.seeding)
            stack.enter_context(quiet_endings())
            self.watchdog.start()
            stack.callback(self.watchdog.stop)
            if self.backend == THREADS:
                stack.enter_context(os_threads.one_core())
            self.stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stack.close()

    @contextmanager
    def anew(self, program: Program | None = None) -> Iterator[Self]:
        """Begin another search in this open session: what the last one learned is forgotten.

        `program`, if given, is another body of the same files and settings.
        """
        if program is not None:
            self.program = program
            self.seeding.body = program.body
        self.watch.renew()
        yield self

    @contextmanager
    def at(self, granularity: str, *, labelling: bool = False) -> Iterator[None]:
        """Run at `granularity`, learning nothing, for the length of a `with` block.

        `labelling` also keeps track of where a stock build could have switched.
        """
        program = self.program
        self.program = program.at(granularity)
        try:
            with self.watch.held(granularity, labelling=labelling):
                yield
        finally:
            self.program = program

    def run(
        self,
        strategy: Strategy,
        detectors: Sequence[Detector],
        *,
        record_sites: bool = False,
        on_stop: Callable[[Execution], None] | None = None,
        backend: str = "",
    ) -> Outcome:
        """Run the program once; `backend` other than the session's if given."""
        self.runs += 1
        self.watchdog.run = self.runs
        if self.runs % COLLECT_EVERY == 0:
            gc.collect()
        threads = (backend or self.backend) == THREADS
        pool: Backend = os_threads.Pool() if threads else self.pool
        watch = self.watch
        survey = watch.before() if watch.hooked else None
        granularity = watch.granularity.text
        if survey is not None:
            detectors = [*detectors, survey]
        listener = listener_of(strategy)
        if listener is not None:
            detectors = [listener, *detectors]
        execution = Execution(
            strategy,
            self.program.settings,
            detectors,
            pool,
            record_sites=record_sites,
            on_stop=on_stop,
        )
        body = self.seeding.body_of(execution)
        # A session on OS threads is pinned as a whole: moving to one core costs as much as a short run.
        with os_threads.one_core() if threads and self.backend != THREADS else nullcontext():
            execution.run(body)
        if survey is not None:
            watch.after()
        abort = execution.abort
        if (
            abort is not None
            and from_outside(abort)
            and not isinstance(abort, ScheduleMismatchError)
        ):
            raise abort
        return Outcome(
            tuple(execution.choices),
            execution.steps,
            execution.finding,
            tuple(execution.notes),
            execution.abort,
            granularity,
            len(execution.tasks),
        )
