"""One execution: the scheduling step, the list of enabled tasks, and how it ends.

Promises
- A scheduling point stands before every operation; from one point to the next a task runs alone. So
  the operations of an execution are totally ordered, and the order is a function of the choices.
- `choices` is the schedule: 0 for "go on with the current task", else the k-th other enabled task
  in creation order; a step with one enabled task is no choice and records nothing. A value drawn
  for the program stands in the same list.
- `enabled` holds the runnable tasks and the one sleeper whose deadline is next, in creation order.
  Gates keep it so.
- Whatever goes wrong ends in `stop`: what was found is captured while every stack still stands,
  then the tasks are taken down from the root.

Assumes that one task runs at a time; who carries tasks is the backend's business
(`verify.runtime.carriers`). Does not know what a lock is: models are in `verify.primitives`.
"""

from __future__ import annotations

import sys
from bisect import insort
from typing import TYPE_CHECKING

from verify import _real, abc
from verify.abc import Detector as _Base
from verify.abc import Finding, ScheduleMismatchError, Settings
from verify.runtime import current, loops
from verify.runtime.carriers import MAX_KILLS, Killed
from verify.runtime.enabled import EnabledTasks, order_of
from verify.runtime.fair import Endgame, judged
from verify.runtime.finalizing import Pin, unpin, wait
from verify.runtime.gate import Gate
from verify.runtime.interrupts import deliver, from_outside, heard, wake_all
from verify.runtime.task import Task
from verify.sites import site_of_frame, stack_of_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from weakref import ReferenceType

    from verify.abc import Detector, Place, Strategy, TaskView
    from verify.runtime.carriers import Backend
    from verify.runtime.naming import Holdable

    Snapshot = Callable[["Execution"], None]
    Choose = Callable[[Sequence[Task], Task], Task]

budget = loops.budget


class Execution(EnabledTasks):
    """One run of `body` under `strategy`. Use once."""

    __slots__ = (
        "__weakref__", "abort", "announcing", "aside_hooks", "choices", "choose", "current", "detectors", "early",
         "endgame", "finding", "granted", "interrupts", "labels", "left", "listening", "locks", "max_jumps",
        "named", "notes", "on_stop", "operation_hooks", "os_ident", "pinned", "pool", "record_sites", "root",
        "settings", "stopping", "strategy", "tasks", "thread_names", "unfinished", "user",
    )  # fmt: skip

    def __init__(
        self,
        strategy: Strategy,
        settings: Settings,
        detectors: Sequence[Detector],
        pool: Backend,
        *,
        record_sites: bool = False,
        on_stop: Snapshot | None = None,
    ) -> None:
        self.strategy = strategy
        self.choose: Choose = strategy.choose
        self.settings = settings
        self.detectors = detectors
        self.pool = pool
        self.root = pool.root
        self.os_ident = _real.get_ident()
        self.record_sites = record_sites
        self.on_stop = on_stop
        super().__init__(settings.clock_tick)
        self.choices: list[int] = []
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.left = settings.max_steps
        self.granted = settings.max_steps  # `left` of which are left
        self.endgame: Endgame | None = None
        self.max_jumps = settings.max_jumps
        self.unfinished = 0
        self.early = 0
        self.named = 0
        self.thread_names = 0
        self.locks: list[ReferenceType[Holdable]] = []
        self.finding: Finding | None = None
        self.notes: list[Finding] = []
        self.abort: BaseException | None = None
        self.stopping = False
        self.labels: dict[str, int] = {}
        self.user: dict[object, object] = {}
        self.operation_hooks = [
            d for d in detectors if type(d).operation is not _Base.operation and not d.lazy
        ]
        self.aside_hooks = [d for d in detectors if type(d).aside is not _Base.aside]
        self.listening = bool(self.operation_hooks)
        self.announcing = False
        self.pinned: Pin | None = None  # while a finalizer runs
        self.interrupts: dict[Task, list[Callable[[], object]]] = {}

    # --- running

    def run(self, body: Callable[[], object]) -> None:
        """Run `body` as the main task until every non-daemon task is finished or something is found."""
        if current.execution is not None:
            raise RuntimeError(
                "a check is already running in this process: finish it before starting another"
            )
        for detector in self.detectors:
            detector.start(self)
        main = self.spawn(body, "main", daemon=False)
        current.execution = self
        self.current = main
        try:
            main.switch()
            self.aside(self.current, abc.HALT)
            self.stopping = True
            unpin(self)
            self._take_down()
        finally:
            self.stopping = True
            current.execution = None
            budget.left = 1 << 60
        if self.abort is None and self.finding is None:
            for detector in self.detectors:
                found = detector.end(self)
                if found is not None:
                    self.note_or_set(found)

    def spawn(self, body: Callable[[], object], title: str, *, daemon: bool) -> Task:
        """Make a task that is enabled from now on."""
        parent = self.current
        if parent is None:
            path = "main"
        else:
            parent.children += 1
            path = f"{parent.path}/{parent.children}"
        task = Task(len(self.tasks), path, title, body, daemon=daemon)
        gate = Gate(self, task, is_open=False)
        gate.owner = task
        gate.firm = True
        task.finished = gate
        self.pool.place(task, self)
        self.tasks.append(task)
        self.enabled.append(task)
        if not daemon:
            self.unfinished += 1
        self.aside(task, abc.SPAWN)
        return task

    def carry(self, task: Task) -> None:
        """Run a task from its first step to its last, on its carrier; then hand over."""
        task.started = True
        self.current = task
        budget.left = self.max_jumps
        self.aside(task, abc.BEGIN)
        try:
            task.body()
        except Killed:
            self._end_task(task)
            self.pool.vacate(task)
            self.root.switch()
            return
        except BaseException as exception:  # noqa: BLE001 - whatever leaves a thread is for the detectors to judge
            if not (
                isinstance(exception, SystemExit) and task.index
            ):  # a thread that calls sys.exit() just ends
                task.exception = exception
        self._end_task(task)
        self.pool.vacate(task)
        # From here on a switch to the root returns only when this carrier is used again, for
        # another task.
        if task.exception is not None and self._raised(task, task.exception):
            return
        if self.unfinished == 0 or self.stopping:
            self.root.switch()
            return
        try:
            self.next_after(task)
        except BaseException as exception:  # noqa: BLE001 - a schedule that does not fit: no task is left to raise it in
            self.stop_with(exception)

    def _end_task(self, task: Task) -> None:
        task.done = True
        task.op = "finished"
        task.body = _ended  # what the thread referred to can go now
        self.interrupts.pop(task, None)
        if not task.daemon:
            self.unfinished -= 1
        if not self.stopping:
            self.aside(task, abc.FINISHED)
            self.disable(task)
            if task.finished is not None:
                task.finished.set_open()

    def _raised(self, task: Task, exception: BaseException) -> bool:
        """Judge an exception that left a task; return True if it ended the execution."""
        if self.stopping:
            return False
        if from_outside(exception):
            self.stop_with(exception)
            return True
        for detector in self.detectors:
            found = detector.raised(self, task, exception)
            if found is not None:
                self.report(found)
                return True
        if task.excepthook is not None:
            task.excepthook(exception)
            task.excepthook = None
        return False

    def _take_down(self) -> None:
        self.choose = self._refuse
        left, self.left = self.left, 1 << 60  # a dying task's operations are not counted
        for task in self.tasks:
            if not task.done:
                self.current = task
                # So that every operation of a dying task asks `_refuse`.
                self.enabled = [task, task]
                self.pool.kill(task)
        self.left = left

    def _refuse(self, enabled: Sequence[Task], dying: Task) -> Task:
        del enabled
        dying.kills += 1
        if dying.kills > MAX_KILLS:
            self.root.switch()  # never resumed: the pool keeps the carrier
        raise Killed

    # --- the scheduling step

    def point(self, me: Task, op: str, target: object) -> None:
        """Scheduling point before an operation that can take effect whenever the task is chosen."""
        me.op = op
        me.target = target
        budget.left = self.max_jumps
        self.left = left = self.left - 1
        if left < 0:
            self._over_bound(me)
        enabled = self.enabled
        if len(enabled) > 1:
            chosen = self.choose(enabled, me)
            if chosen is me:
                self.choices.append(0)
            else:
                at = enabled.index(chosen)
                self.choices.append(at if chosen.index > me.index else at + 1)
                chosen.switch()
                self.current = me
        if self.listening:
            self.announce(me)

    def pass_gate(  # noqa: C901, PLR0912 - one step, written out: a call more would cost a tenth of it
        self, me: Task, op: str, target: object, gate: Gate, timeout: float | None = None
    ) -> bool:
        """Scheduling point before an operation that needs `gate` open; return False if `timeout` seconds ended first.

        On return with True the gate is open and nothing has run since the task was chosen.
        """
        me.op = op
        me.target = target
        budget.left = self.max_jumps
        self.left = left = self.left - 1
        if left < 0:
            self._over_bound(me)
        if gate.open:
            enabled = self.enabled
            if timeout is not None:
                self.set_timer(me, timeout)
            if len(enabled) > 1:
                chosen = self.choose(enabled, me)
                if chosen is me:
                    self.choices.append(0)
                else:
                    at = enabled.index(chosen)
                    self.choices.append(at if chosen.index > me.index else at + 1)
                    me.gate = gate
                    waiting = gate.waiting
                    waiting.append(me)
                    chosen.switch()
                    self.current = me
                    waiting.remove(me)
                    me.gate = None
                    if timeout is not None:
                        return self._after_timed_wait(me, gate)
            if timeout is not None:
                self.cancel_timer(me, abc.ON_WAKING)
            if self.listening:
                if self.interrupts:
                    return heard(self, me, gate)
                self.announce(me)
            return True
        me.gate = gate
        gate.waiting.append(me)
        if timeout is not None:
            self.set_timer(me, timeout)
        self.disable(me)
        if gate.firm and timeout is None:
            self._check_cycle(me)
        self.next_after(me)
        self.current = me
        gate.waiting.remove(me)
        me.gate = None
        if timeout is not None:
            return self._after_timed_wait(me, gate)
        if self.listening:
            if self.interrupts:
                return heard(self, me, gate)
            self.announce(me)
        return True

    def park(self, me: Task, gate: Gate, timeout: float | None) -> None:
        """Wait in the middle of an operation until the task is enabled again; the caller settles gate and timer.

        Used where the gate changes while the task waits (Condition.wait: first the notification,
        then the lock).
        """
        me.gate = gate
        gate.waiting.append(me)
        if timeout is not None:
            self.set_timer(me, timeout)
        if not gate.open:
            self.disable(me)
        self.next_after(me)
        self.current = me

    def next_after(self, me: Task) -> None:
        """Hand over from a task that cannot go on: blocked, sleeping or finished."""
        if self.stopping:
            self._refuse(self.enabled, me)
        if self.pinned is not None:
            wait(self, me)
            return
        enabled = self.enabled
        count = len(enabled)
        if count > 1:
            chosen = self.choose(enabled, me)
            self.choices.append(enabled.index(chosen) + 1)
        elif count == 1:
            chosen = enabled[0]
        elif self.interrupts and wake_all(self):
            self.next_after(me)
            return
        else:
            self._stuck()
            return
        if chosen is not me or me.done:
            chosen.switch()

    def _after_timed_wait(self, me: Task, gate: Gate) -> bool:
        passed = gate.open
        deadline, early = me.deadline, me in self.interrupts
        if not (passed or early) and deadline is not None:
            self.clock.reach(deadline)
            me.yields += 1
        self.cancel_timer(me, abc.ON_WAKING)
        me.runnable = True
        if me not in self.enabled:
            insort(self.enabled, me, key=order_of)
        if early and deadline is not None:
            return heard(self, me, gate, deadline - self.clock.now)
        if self.listening:
            self.announce(me)
        return passed

    def sleep(self, me: Task, seconds: float) -> None:
        """Sleep in virtual time: enabled through the timer alone."""
        me.yields += 1
        if seconds <= 0:
            self.point(me, "yield", "clock")
            return
        me.op = "sleep"
        me.target = "clock"
        budget.left = self.max_jumps
        self.left = left = self.left - 1
        if left < 0:
            self._over_bound(me)
        self.set_timer(me, seconds)
        self.disable(me)
        self.next_after(me)
        self.current = me
        deadline, early = me.deadline, me in self.interrupts
        if deadline is not None and not early:
            self.clock.reach(deadline)
        self.wake(me)
        if early and deadline is not None:
            deliver(self, me)
            self.sleep(me, deadline - self.clock.now)
        elif self.listening:
            self.announce(me)

    def draw(self, bound: int) -> int:
        """Draw a value in [0, bound) for the program; it becomes part of the schedule."""
        value = self.strategy.draw(bound)
        if not 0 <= value < bound:
            raise ScheduleMismatchError(
                f"the schedule draws {value} where the program asks for a value below {bound}"
            )
        (self.choices if self.pinned is None else self.pinned.choices).append(value)
        if self.current is not None:
            self.aside(self.current, abc.DRAW)
        return value

    # --- listeners

    def listen(self, detector: Detector) -> None:
        """Call a lazy detector's `operation` from now on."""
        if detector not in self.operation_hooks:
            self.operation_hooks = [*self.operation_hooks, detector]
            self.listening = True

    def announce(self, me: Task) -> None:
        """Tell the listening detectors that `me`'s operation takes effect now."""
        if self.interrupts:
            deliver(self, me)
        op, target = me.op, me.target
        self.announcing = True  # what an invariant reads is no access of the task's
        for detector in self.operation_hooks:
            found = detector.operation(self, me, op, target)
            if found is not None:
                self.note_or_report(found)
        self.announcing = False

    def result(self, me: Task, *, result: bool) -> None:
        """Tell the listening detectors how an operation that may fail ended."""
        for detector in self.operation_hooks:
            found = detector.outcome(self, me, me.op, me.target, result=result)
            if found is not None:
                self.note_or_report(found)

    def aside(self, task: Task, what: str) -> None:
        """Tell the detectors that care of something that is no operation (`verify.abc.ASIDES`)."""
        for detector in self.aside_hooks:
            detector.aside(self, task, what)

    def note_or_report(self, found: Finding) -> None:
        """Note a finding that does not end the execution, or end it."""
        if found.fatal:
            self.report(found)
        else:
            self.notes.append(found)

    def note_or_set(self, found: Finding) -> None:
        """Keep a finding made after the last step."""
        if not found.fatal:
            self.notes.append(found)
        elif self.finding is None:
            self.finding = found
            if self.on_stop is not None:
                self.on_stop(self)

    # --- endings

    def report(self, found: Finding) -> None:
        """End the execution with a finding; returns only to a caller that is being taken down."""
        if self.stopping:
            return
        unpin(self)
        self.finding = found
        if self.on_stop is not None:
            self.on_stop(self)
        self._halt()

    def stop_with(self, exception: BaseException) -> None:
        """End the execution with an error that is not a finding (divergence, interrupt)."""
        unpin(self)
        self.abort = exception
        self._halt()

    def _halt(self) -> None:
        self.stopping = True
        self.root.switch()
        # Only a task that is being taken down gets here: `throw` raises at the switch above.

    def _stuck(self) -> None:
        for detector in self.detectors:
            found = detector.stuck(self)
            if found is not None:
                self.report(found)
                return
        self.stop_with(
            RuntimeError("internal error in stage3: no task can go on and no detector says why")
        )

    def spinning(self) -> None:
        """The running task used up its backward jumps."""
        task = self.current
        if task is None or self.stopping:
            raise Killed
        for detector in self.detectors:
            found = detector.spinning(self, task, self.max_jumps)
            if found is not None:
                self.report(found)
        raise Killed

    def _check_cycle(self, me: Task) -> None:
        # A cycle of firm gates (each can be opened by its owner alone) stays closed whatever the
        # others do.
        task = me
        for _ in self.tasks:
            gate = task.gate
            if (
                gate is None
                or not gate.firm
                or gate.owner is None
                or task.runnable
                or task.timer is not None
            ):
                return
            task = gate.owner
            if task is me:
                self._stuck()
                return

    def _over_bound(self, me: Task) -> None:
        # See `verify.runtime.fair`.
        endgame = self.endgame
        if endgame is None:
            endgame = self.endgame = Endgame(self)
            unpin(self)
            self.operation_hooks = [*self.operation_hooks, endgame]
            self.listening = True
        choose, steps = endgame.next()
        if choose is not None:
            self.choose = choose
        self.granted += steps
        self.left = steps
        if steps:
            return
        found = judged(self, endgame.seen)
        if found is not None:
            self.report(found)
        self.left = 1 << 60
        self.stop_with(
            RuntimeError(f"internal error in stage3: {me.path} ran over the fair bound unjudged")
        )

    # --- views

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.clock.now

    @property
    def steps(self) -> int:
        """Operations so far."""
        return self.granted - self.left

    def held_by(self, task: TaskView) -> list[Holdable]:
        """Return the locks that `task` holds, in creation order."""
        alive = (reference() for reference in self.locks)
        return [lock for lock in alive if lock is not None and lock.holder is task]

    def waits_for(self, task: TaskView) -> tuple[object, Task | None] | None:
        """Return what `task` is blocked on and who alone could open it."""
        gate = self.tasks[task.index].gate
        if gate is None or task.runnable:
            return None
        return gate.subject, gate.owner

    def frame_of(self, task: TaskView) -> FrameType | None:
        """Return the innermost frame of a task."""
        if task is self.current and not task.done:
            return sys._getframe(1)  # noqa: SLF001 - the documented way to one's own frame
        return self.tasks[task.index].resume_frame()

    def site_of(self, task: TaskView) -> str:
        """Return `file:line function` of the program under test where `task` stands."""
        return site_of_frame(self.frame_of(task))

    def stack_of(self, task: TaskView) -> tuple[Place, ...]:
        """Return where `task` stands, innermost first, in the program's own code."""
        return stack_of_frame(self.frame_of(task))


def _ended() -> object:
    raise AssertionError("internal error in stage3: a task was run again after its end")
