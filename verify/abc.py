"""The extension surface: what a strategy and a detector are, and what they may see.

A strategy is three methods. A detector is a listener: it overrides the hooks it needs and costs
nothing for the others. Both get read-only views of tasks; neither imports anything else of
`verify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType

    Place = tuple[CodeType, int]
    """A place in the program: the code, and the offset of the instruction under way."""


T = TypeVar("T", bound="TaskView")


class TaskView(Protocol):
    """What strategies and detectors may read of a task.

    `index` is the creation order, `runnable` says whether the pending operation `op` on `target`
    could run now without a timer firing, `yields` grows whenever the task gives way of its own will
    (sleep, failed try, time-out).
    """

    @property
    def index(self) -> int:
        """Place in creation order; 0 is the main task."""
        ...

    @property
    def path(self) -> str:
        """Creation path, stable from run to run: `main/1`."""
        ...

    @property
    def title(self) -> str:
        """What the program calls it."""
        ...

    @property
    def op(self) -> str:
        """The pending operation."""
        ...

    @property
    def target(self) -> object:
        """What the pending operation is on."""
        ...

    @property
    def runnable(self) -> bool:
        """Whether that operation could take effect now."""
        ...

    @property
    def done(self) -> bool:
        """Whether the task has ended."""
        ...

    @property
    def daemon(self) -> bool:
        """Whether the execution may end without it."""
        ...

    @property
    def yields(self) -> int:
        """How often it has given way of its own will."""
        ...

    @property
    def deadline(self) -> float | None:
        """Virtual time at which its wait ends by itself."""
        ...


class ScheduleMismatchError(BaseException):
    """A schedule does not fit the program that runs: it is not the one recorded, or it is not deterministic.

    A BaseException, so that the program under test does not catch it by accident on its way out.
    """


class UsageError(ValueError):
    """Something the user gave cannot be used; the text names it and says what to do. Exit code 2.

    A program under test may raise it for arguments it cannot work with: the search stops there.
    """


class InvariantError(AssertionError):
    """Raised by an invariant: `invariant` is its name, the text says what is wrong."""

    def __init__(self, invariant: str, wrong: str) -> None:
        super().__init__(f"{invariant}: {wrong}")
        self.invariant = invariant


class CheckError(AssertionError):
    """A check did not pass: the text is the whole report, `headline` its verdict and cause in one line."""

    def __init__(self, headline: str, text: str) -> None:
        super().__init__(text)
        self.headline = headline


class CheckFailed(CheckError):  # noqa: N818 - says what happened, as a test's failure does
    """A check found something, and its schedule failed again in the same way when it was recorded."""


class CheckInconclusive(CheckError):  # noqa: N818 - as above
    """A check came to nothing: something outside the schedule decides, or nothing ran. No pass, and no find."""


class ForeignBuild(UserWarning):
    """A failure that the running build of Python cannot show, where only those that it can show were asked for."""


class Strategy(Protocol):
    """Decides which task goes on. Three methods; recording, budgets and checks are the search loop's business.

    Besides these a strategy may have what `listener_of`, `restart`, `tell`, `drawn_by`, `remaining`, `short_of` and
    `is_complete` look for.
    """

    def new_execution(self) -> bool:
        """Prepare for the next execution; return False when there is nothing left to explore."""
        ...

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Pick one of `enabled` (two or more, in creation order). `current` ran last and may itself be blocked."""
        ...

    def draw(self, bound: int) -> int:
        """Draw a whole number in [0, bound) for the program under test."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a detector found in one execution.

    `cause` is the cause class ("deadlock", "spin", ...), `message` one sentence, `key` what groups
    it with the same finding in other executions, `cycle` the wait-for cycle where there is one,
    `culprits` the paths of the tasks it is about. `fatal` findings end the execution; others are
    noted and the execution goes on.
    """

    cause: str
    message: str
    key: tuple[str, ...]
    details: tuple[str, ...] = ()
    cycle: tuple[str, ...] = ()
    culprits: tuple[str, ...] = ()
    fatal: bool = True


UNFINISHED = "unfinished"
"""Cause class of an execution that was stopped at its last bound: neither a pass nor a find."""


class CycleStep(NamedTuple):
    """One step of a cycle: creation path of the task, operation, name of the object, source site."""

    task: str
    op: str
    object: str
    site: str


@dataclass(frozen=True, slots=True)
class Cycle:
    """The lasso of an execution that does not end: after `stem` steps it goes round `steps`, in this order.

    `giving_way` are the paths of the tasks that give way in each round, `waiting` of those that could go on at each
    of its steps and never do. `changing` are the variables whose value differs from round to round; if there are none,
    the program comes back to the same state.
    """

    stem: int
    steps: tuple[CycleStep, ...]
    giving_way: frozenset[str] = frozenset()
    waiting: tuple[str, ...] = ()
    changing: tuple[str, ...] = ()


class LockView(Protocol):
    """What detectors may read of a modelled lock."""

    @property
    def name(self) -> str:
        """Creation-path name."""
        ...

    @property
    def title(self) -> str:
        """What reports call it."""
        ...

    @property
    def site(self) -> str:
        """Where it was made, in recorded runs."""
        ...

    @property
    def holder(self) -> TaskView | None:
        """Who holds it."""
        ...


VALUE, WHOLE, COMPUTED = "value", "whole", "computed"
"""What an access touches: one value; a container by an operation that CPython keeps atomic; code of the class's own."""


class AccessView(Protocol):
    """What detectors may read of the target of a `read` or `write`: elements [lo, hi) of `object`, or its `item`.

    `pair` is the class and field, which tells one variable from another in every schedule alike;
    `how` is one of `VALUE`, `WHOLE` and `COMPUTED`; `item` is the key or index where there is one ("" otherwise).
    """

    @property
    def object(self) -> str:
        """Name of the object and its part."""
        ...

    @property
    def lo(self) -> int:
        """First element of a declared range."""
        ...

    @property
    def hi(self) -> int:
        """End of a declared range; 0 for a single value."""
        ...

    @property
    def pair(self) -> str:
        """Class and field."""
        ...

    @property
    def item(self) -> str:
        """The key or index as text."""
        ...

    @property
    def how(self) -> str:
        """What is touched."""
        ...


class ExecutionView(Protocol):
    """What detectors may read of the execution under way."""

    @property
    def tasks(self) -> Sequence[TaskView]:
        """All tasks, in creation order."""
        ...

    @property
    def steps(self) -> int:
        """Operations so far."""
        ...

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        ...

    @property
    def choices(self) -> Sequence[int]:
        """The schedule so far."""
        ...

    def held_by(self, task: TaskView) -> Sequence[LockView]:
        """Return the locks that `task` holds, in creation order."""
        ...

    def waits_for(self, task: TaskView) -> tuple[object, TaskView | None] | None:
        """Return what `task` is blocked on and who alone could open it, or None when it is not blocked."""
        ...

    def site_of(self, task: TaskView) -> str:
        """Return `file:line function` of the program under test where `task` stands."""
        ...

    @property
    def unseen(self) -> int:
        """What was touched that no operation names, counted up, in units of `CLOCK`, `NUMBERS` and `ON_WAKING`."""
        ...

    @property
    def record_sites(self) -> bool:
        """Whether this is the run that a report is made of: what is costly and only told is kept in it alone."""
        ...

    def stack_of(self, task: TaskView) -> tuple[Place, ...]:
        """Return where `task` stands, innermost first, in the program's own code."""
        ...


CLOCK, NUMBERS, ON_WAKING = 1, 1 << 20, 1 << 40
"""Units of `ExecutionView.unseen`.

The running step read or moved the clock, or changed whose timer fires next; it took the next of the numbers that
threads, futures and ports are told apart by; the step that begins now did the first of these on waking from a timed
wait.
"""


SPAWN, BEGIN, FINISHED, TIMEOUT = "spawn", "begin", "finished", "timeout"
DRAW, PIN, UNPIN, ALL = "draw", "pin", "unpin", "all"
INTERRUPT, UNCONTROLLED, WATCHED, HALT = "interrupt", "uncontrolled", "watched", "halt"
ASIDES = (
    SPAWN,
    BEGIN,
    FINISHED,
    TIMEOUT,
    DRAW,
    PIN,
    UNPIN,
    ALL,
    INTERRUPT,
    UNCONTROLLED,
    WATCHED,
    HALT,
)
"""What `Detector.aside` tells.

A task was made by the running one; it runs its first step; it ended of itself; its wait on a condition ended by time;
it drew the last of the choices; a finalizer begins, or ends, in it; it looked at what any step may change; something
was posted to it from outside; it made a call that no schedule controls; it asked for an invariant that is looked at
between any two steps. `HALT`: the execution is over, while every task still stands where it ends.
"""


class Detector:
    """Base of the detectors: every hook does nothing. `operation` is only paid for by detectors that override it."""

    name = "detector"
    lazy = False  # True: `operation` is called only once the execution has been told to (verify.invariant)

    def start(self, execution: ExecutionView) -> None:
        """Begin a new execution: forget the last one."""

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """See one operation at the moment it takes effect."""

    def outcome(
        self, execution: ExecutionView, task: TaskView, op: str, target: object, *, result: bool
    ) -> Finding | None:
        """See how an operation that can fail ended (a try-acquire, a timed wait)."""

    def aside(self, execution: ExecutionView, task: TaskView, what: str) -> None:
        """See what is no operation: one of `ASIDES`, of `task`, at the moment when it happens."""

    def stuck(self, execution: ExecutionView) -> Finding | None:
        """No task can go on and not all are finished."""

    def spinning(self, execution: ExecutionView, task: TaskView, jumps: int) -> Finding | None:
        """A task made `jumps` backward jumps without an operation."""

    def endless(self, execution: ExecutionView, cycle: Cycle | None) -> Finding | None:
        """The fair suffix after the step bound came to a `cycle`, or to its own bound (None: nothing repeats)."""

    def raised(
        self, execution: ExecutionView, task: TaskView, exception: BaseException
    ) -> Finding | None:
        """An exception left a task."""

    def end(self, execution: ExecutionView) -> Finding | None:
        """The execution ended and every task that had to finish did."""

    def hopes(self) -> Mapping[str, tuple[int, int]]:
        """Return what the whole search is to reach, by name: how often it was asked for, and how often reached."""
        return {}


def listener_of(strategy: Strategy) -> Detector | None:
    """Return the strategy's attribute `listener`, if it has one: a detector that sees every operation of its runs."""
    listener: Detector | None = getattr(strategy, "listener", None)
    return listener


def restart(strategy: Strategy) -> None:
    """Call the strategy's method `restart`, if it has one: the program's scheduling points are others from now on."""
    if (method := getattr(strategy, "restart", None)) is not None:
        method()


def tell(strategy: Strategy, choices: tuple[int, ...], *, news: bool, cut: bool) -> None:
    """Call the strategy's method `ended`, if it has one: an execution is over, with these choices.

    `news` says that it failed in a way not seen before, `cut` that it reached the step bound, from
    which on the strategy was not asked.
    """
    if (method := getattr(strategy, "ended", None)) is not None:
        method(choices, news=news, cut=cut)


def drawn_by(strategy: Strategy) -> str:
    """Return the strategy's attribute `independent`: a name for what the execution under way is drawn from.

    Executions of one name are drawn independently of each other, from one distribution. A strategy that
    learns from its executions, or enumerates, has none or an empty one.
    """
    return str(getattr(strategy, "independent", ""))


def remaining(strategy: Strategy) -> str:
    """Return what the strategy's method `remaining`, if it has one, says is left to do; for whoever watches."""
    method = getattr(strategy, "remaining", None)
    return str(method()) if method is not None else ""


def short_of(strategy: Strategy) -> str | None:
    """Return the strategy's attribute `short`: what is missing to what was asked of it, "" where nothing is.

    A strategy that nothing is asked of has none.
    """
    short: str | None = getattr(strategy, "short", None)
    return short


def is_thorough(strategy: Strategy) -> bool:
    """Say whether a strategy needs every access in conflict to be a scheduling point (attribute `thorough`)."""
    return bool(getattr(strategy, "thorough", False))


def is_complete(strategy: Strategy) -> bool:
    """Say whether a strategy that has nothing left has left nothing out (attribute `complete`, True without it)."""
    return bool(getattr(strategy, "complete", True))


@dataclass(frozen=True, slots=True)
class Settings:
    """The knobs of one execution, the same in exploration and replay (they are part of a schedule's meaning).

    `max_steps`: operations until the fair suffix starts. `fair_steps`: operations it may take to
    end. `max_jumps`: backward jumps a task may make without an operation. `clock_tick`: virtual
    seconds one clock read takes. `link_bytes_per_s`: byte rate of in-memory sockets (0: no time
    passes). `socket_buffer`: bytes a socket buffers. `seed_random`: where the program imports `random`,
    `uuid` or `secrets`, seed them from the schedule.
    """

    max_steps: int = 20_000
    fair_steps: int = 20_000
    max_jumps: int = 100_000
    clock_tick: float = 1e-6
    link_bytes_per_s: float = 0.0
    socket_buffer: int = 65_536
    granularity: str = "sync"
    seed_random: bool = True


def name_of(target: object) -> str:
    """Return the stable name of an operation's target: a modelled object, a task, or a plain string."""
    if isinstance(target, str):
        return target
    name = getattr(target, "name", None)
    return name if isinstance(name, str) else type(target).__name__


def title_of(target: object) -> str:
    """Return what a report calls an operation's target."""
    title = getattr(target, "title", None)
    return title if isinstance(title, str) else name_of(target)


__all__ = [
    "CheckFailed",
    "CheckInconclusive",
    "Cycle",
    "CycleStep",
    "Detector",
    "ExecutionView",
    "Finding",
    "ForeignBuild",
    "LockView",
    "Settings",
    "Strategy",
    "TaskView",
]
