"""The run-twice check: the same schedule must give the same operations; the first that differs, and why.

Promises: a divergence names the operation in both runs and the likely cause with the line it was
read off. The cause is a guess from the program's own code, looked for where the runs part, then in
what was on the stacks until then, then in what that calls; it is said as likely, and never more.

What is looked for: finalizers on the stack; the order of sets; `id()` and `hash()`; the wall clock;
random values without a seed; files and the environment; and, if nothing else fits, state kept from
run to run.
"""

from __future__ import annotations

import dis
import linecache
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, NamedTuple

from verify.abc import Detector, name_of
from verify.sites import frames, short
from verify.strategies.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from verify.abc import ExecutionView, TaskView
    from verify.runtime.execution import Execution
    from verify.session import Outcome, Session

STATE = "state kept between runs (a module's globals, a cache, a class attribute)"
FINALIZERS = "a finalizer (__del__ or a weak reference's callback) that ran in one run only"
RANDOM = "random values without a seed"
DEEP = 3  # levels of callees that are looked at


class Cause(NamedTuple):
    """A cause, the names that a function under suspicion loads, and the instructions it has."""

    title: str
    names: frozenset[str]
    instructions: frozenset[str] = frozenset()


CAUSES = (
    Cause(
        "the order of a set: objects without a hash of their own are ordered by address",
        frozenset({"set", "frozenset"}),
        frozenset({"BUILD_SET", "SET_ADD", "SET_UPDATE"}),
    ),
    Cause("id() or hash(): they follow addresses", frozenset({"id", "hash"})),
    Cause(
        "the wall clock: only `time.time`, `monotonic`, `perf_counter` and `sleep` are virtual",
        frozenset(
            {
                "datetime",
                "utcnow",
                "today",
                "localtime",
                "gmtime",
                "strftime",
                "ctime",
                "process_time",
                "process_time_ns",
                "thread_time",
                "thread_time_ns",
                "clock_gettime",
                "clock_gettime_ns",
                "getrusage",
            }
        ),
    ),
    Cause(
        RANDOM,
        frozenset(
            {
                "random",
                "randrange",
                "randint",
                "choice",
                "shuffle",
                "getrandbits",
                "urandom",
                "secrets",
                "uuid4",
                "uuid1",
                "default_rng",
                "SystemRandom",
                "Random",
                "getrandom",
            }
        ),
    ),
    Cause(
        "files, processes or the environment",
        frozenset(
            {"open", "environ", "getenv", "listdir", "scandir", "glob", "subprocess", "getpid"}
        ),
    ),
)


@dataclass
class Log(Detector):
    """The operations of one run: (task, operation, object), and the code that stood on the stack."""

    steps: list[tuple[str, str, str]] = field(default_factory=list)
    stacks: list[tuple[tuple[CodeType, int], ...]] = field(default_factory=list)
    spaces: dict[CodeType, Mapping[str, object]] = field(default_factory=dict)

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Keep one operation."""
        self.steps.append((task.path, op, name_of(target)))
        self.stacks.append(tuple(self._stack(_frame_of(execution, task))))

    def _stack(self, innermost: FrameType | None) -> Iterator[tuple[CodeType, int]]:
        for frame in frames(innermost):
            self.spaces[frame.f_code] = frame.f_globals
            yield frame.f_code, frame.f_lineno


def _frame_of(execution: ExecutionView, task: TaskView) -> FrameType | None:
    whole: Execution = execution  # type: ignore[assignment] # the view's frames are not for detectors
    return whole.frame_of(task)


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first operation in which two runs of one schedule differ, and why, probably."""

    step: int
    first: str
    second: str
    cause: str

    def __str__(self) -> str:
        return (
            f"two runs of one schedule differ at step {self.step}: {self.first} in the first, "
            f"{self.second} in the second\n  likely cause: {self.cause}"
        )


def second_run(session: Session, outcome: Outcome, first: Log) -> Divergence | None:
    """Run the schedule of `outcome`, whose operations are `first`, once more; return where the two part."""
    again = Log()
    replay = Replay(outcome.choices)
    replay.new_execution()
    repeated = session.run(replay, [again, *session.program.detectors()])
    at = next(
        (
            place
            for place, (one, other) in enumerate(zip(first.steps, again.steps, strict=False))
            if one != other
        ),
        min(len(first.steps), len(again.steps)),
    )
    ends = _end(outcome), _end(repeated)
    if at == len(first.steps) == len(again.steps) and ends[0] == ends[1]:
        return None
    cause = likely_cause((first, again), at, seeded=session.seeding.wanted)
    return Divergence(at, _said(first, at, ends[0]), _said(again, at, ends[1]), cause)


def _end(outcome: Outcome) -> str:
    if outcome.abort is not None:
        return f"the end ({outcome.abort})"
    if outcome.finding is not None:
        return f"the end ({outcome.finding.cause}: {outcome.finding.message})"
    return "the end"


def _said(log: Log, at: int, end: str) -> str:
    if at >= len(log.steps):
        return end
    stack = log.stacks[at]
    site = f" at {_line(*stack[0])}" if stack else ""
    return f"{' '.join(log.steps[at])}{site}"


def likely_cause(logs: tuple[Log, Log], at: int, *, seeded: bool) -> str:
    """Return the most likely reason, with the line that speaks for it; `seeded`: random values are in the schedule."""
    for log in logs:
        for code, line in log.stacks[at] if at < len(log.stacks) else ():
            if code.co_name == "__del__" or "finaliz" in code.co_name:
                return f"{FINALIZERS}: {_line(code, line)}"
    for code in _suspects(logs, at):
        hits = [
            f"{title}: {where}" for title, where in _hits(code) if not (seeded and title == RANDOM)
        ]
        if hits:
            return "; or ".join(hits)
    return STATE


def _suspects(logs: tuple[Log, Log], at: int) -> list[CodeType]:
    """Return the functions to look at: those where the runs part, those before, what they call."""
    spaces = {**logs[0].spaces, **logs[1].spaces}
    found: dict[CodeType, None] = {}
    for place in range(at, -1, -1):
        for log in logs:
            if place < len(log.stacks):
                found.update(dict.fromkeys(code for code, _ in log.stacks[place]))
    for log in logs:
        found.update(dict.fromkeys(log.spaces))
    level = list(found)
    for _ in range(DEEP):
        level = [
            called for code in level for called in _called(code, spaces) if called not in found
        ]
        found.update(dict.fromkeys(level))
    return list(found)


def _called(code: CodeType, spaces: dict[CodeType, Mapping[str, object]]) -> Iterator[CodeType]:
    space = spaces.get(code, {})
    for const in code.co_consts:
        if isinstance(const, CodeType):
            spaces[const] = space
            yield const
    for name in code.co_names:
        value = space.get(name)
        if isinstance(value, FunctionType):
            spaces[value.__code__] = value.__globals__
            yield value.__code__


def _hits(code: CodeType) -> Iterator[tuple[str, str]]:
    for cause in CAUSES:
        line = _first_line(code, cause)
        if line:
            yield cause.title, _line(code, line)


def _first_line(code: CodeType, cause: Cause) -> int:
    for instruction in dis.get_instructions(code):
        if instruction.opname in cause.instructions or (
            instruction.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD"))
            and str(instruction.argval) in cause.names
        ):
            positions = instruction.positions
            return (positions.lineno if positions is not None else None) or code.co_firstlineno
    return 0


def _line(code: CodeType, line: int) -> str:
    source = linecache.getline(code.co_filename, line).strip()
    return f"{short(code.co_filename)}:{line} {code.co_qualname}: {source}"
