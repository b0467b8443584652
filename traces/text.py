"""A trace as text: verdict, cause, a column per thread, backtraces, and the line that replays it.

Promises: the first line is the verdict, what follows the cause; verdict and steps are no wider than
asked (backtraces and the replay line stay whole, to be pasted); characters that would move a
terminal's cursor are shown escaped; the same trace gives the same text.
Does not judge: it prints what the trace says.

With up to six tasks each has a lane of its own; with more, or in a narrow window, a step carries
its task's name in front instead.
"""

from __future__ import annotations

import shlex
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traces.errors import TokenError, TraceError
from traces.printing import counted, plain
from traces.token import PREFIX, encode, from_trace
from traces.why import critical_pair, why

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traces.schema import Failure, Step, TaskRecord, Trace

__all__ = ["MOST_LANES", "MOST_SHOWN", "counted", "plain", "replay_line", "show"]

MOST_LANES = 6
MOST_SHOWN = 200
MOST_TOKEN = 400
PYTEST = "::"  # what tells pytest's node ids from module:function

_GUTTER = 12  # "123456 =>!! "
_LEAST_LANE = 14
_MOST_LANE = 34
_SITE = 30  # characters for `file:line function`, the end of it if longer
_LEAST_WIDTH = 60


def show(
    trace: Trace,
    *,
    first: int | None = None,
    last: int | None = None,
    stacks: bool = True,
    width: int = 120,
    file: str = "",
    closing: Sequence[str] = (),
) -> str:
    """Return `trace` as text for people, ending with a newline.

    `first` and `last` are indices of the steps to show, both included; with neither, the last 200.
    `stacks` adds a backtrace per task. `width` is in characters. `file` is where the trace is
    stored: the replay line names it when the token is too long to paste. `closing` are lines in
    place of the replay line, from a caller who replays otherwise. Raises `TraceError` when the
    window holds no step of the trace.
    """
    width = max(width, _LEAST_WIDTH)
    titles = Titles.of(trace)
    lines = [line for text in _verdict(trace) for line in wrapped(text, width)]
    lines += [line for text in why(trace, titles) for line in _unless_token(text, width)]
    lines.append("")
    lines += _steps(trace, titles, _window(trace, first, last), width)
    if stacks:
        lines += critical_pair(trace, titles)
    if stacks and trace.tasks:
        lines += ["", "Tasks when it ended", *_tasks(trace.tasks, titles)]
    lines += ["", *(closing or [replay_line(trace, file)])]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def replay_line(trace: Trace, file: str = "") -> str:
    """Return the command that runs `trace` again, by its token or, where that is long, by `file`.

    The target of a test is its node id, and pytest replays it. A schedule too long for any token,
    with no file, gives a line that says so.
    """
    test = f"pytest {shlex.quote(trace.program.target)} --replay "
    of_test = PYTEST in trace.program.target
    by_file = f"replay: {test if of_test else 'stage3 replay '}{plain(file)}"
    try:
        token = encode(from_trace(trace))
    except TokenError as error:
        return by_file if file else f"no replay line: {error}"
    if file and len(token) > MOST_TOKEN:
        return by_file
    return (
        f"replay: {plain(test)}{token}"
        if of_test
        else f"replay: stage3 replay {plain(trace.program.target)} {token}{_scope(trace)}"
    )


def _scope(trace: Trace) -> str:
    """Return the options that the target alone does not say and its digest covers."""
    options = trace.program.options
    words = [f"--package {name}" for name in options.get("packages", "").split()]
    if options.get("detect"):
        words.append(f"--detect {options['detect'].replace(' ', ',')}")
    return "".join(f" {plain(word)}" for word in words)


@dataclass(frozen=True, slots=True)
class Titles:
    """What tasks and objects are called in the text."""

    tasks: dict[str, str]
    objects: dict[str, str]

    @classmethod
    def of(cls, trace: Trace) -> Titles:
        """Return the titles of `trace`, with a lane for every task that made a step, in order."""
        named = {task.path: plain(task.name or task.path) for task in trace.tasks}
        seen = {step.task: plain(step.task) for step in trace.steps if step.task not in named}
        objects = {name: plain(title) for name, title in trace.titles.items() if title}
        return cls(named | seen, objects)

    def task(self, path: str) -> str:
        """Return the title of the task at `path`."""
        return self.tasks.get(path, plain(path))

    def object(self, name: str) -> str:
        """Return the title of the object (or task) called `name`."""
        return self.objects.get(name) or self.tasks.get(name) or plain(name)


def _unless_token(text: str, width: int) -> list[str]:
    return [text] if PREFIX in text else wrapped(text, width)


def _verdict(trace: Trace) -> Iterator[str]:
    """Yield what was found, in words, and how."""
    program = trace.program
    yield f"{_headline(trace.failure)} in {plain(program.target)}"
    yield from _cause(trace.failure)
    counts = [
        counted(len(trace.steps), "step"),
        counted(sum(step.switch for step in trace.steps), "preemption"),
        counted(len({step.task for step in trace.steps}), "task"),
    ]
    span = f", {trace.steps[-1].time:.6f} s of virtual time" if trace.steps else ""
    yield f"{', '.join(counts)}{span}; found by {plain(trace.strategy)}, seed {trace.seed}"
    settings = "".join(f" {plain(k)}={plain(v)}" for k, v in sorted(program.options.items()))
    versions = f"Python {plain(program.python)}, stage3 {plain(program.stage3)}"
    yield f"{versions}, granularity {plain(program.granularity)}{settings}"


def _headline(failure: Failure | None) -> str:
    return "NO FAILURE" if failure is None else plain(failure.cause).upper()


def _cause(failure: Failure | None) -> Iterator[str]:
    if failure is None:
        yield "The run ended well."
        return
    yield plain(failure.message)
    for detail in failure.details:
        yield f"  {plain(detail)}"
    if failure.cycle:
        yield f"  cycle: {' -> '.join(plain(link) for link in failure.cycle)}"


def _window(trace: Trace, first: int | None, last: int | None) -> range:
    """Return the indices of the steps to show."""
    count = len(trace.steps)
    if first is None and last is None:
        return range(max(0, count - MOST_SHOWN), count)
    low = 0 if first is None else first
    high = count - 1 if last is None else last
    shown = range(max(low, 0), min(high + 1, count))
    if not shown:
        remedy = f"ask for steps between 0 and {count - 1}" if count else "leave --steps out"
        raise TraceError(f"steps {low}:{high}", f"the trace has {counted(count, 'step')}", remedy)
    return shown


def _steps(trace: Trace, titles: Titles, shown: range, width: int) -> Iterator[str]:
    """Yield the steps of the window, in lanes or folded."""
    if not trace.steps:
        yield "No step was recorded."
        return
    steps = trace.steps[shown.start : shown.stop]
    failing = len(trace.steps) - 1 if trace.failure else -1
    lanes = list(dict.fromkeys(step.task for step in trace.steps))
    site = min(max(len(_site(step)) for step in steps), _SITE)
    room = (width - _GUTTER - site) // len(lanes)
    yield from _left_out(range(shown.start))
    if len(lanes) <= MOST_LANES and room >= _LEAST_LANE:
        yield from _in_lanes(steps, lanes, titles, failing, room)
    else:
        yield from _folded(steps, titles, failing, width - site)
    yield from _left_out(range(shown.stop, len(trace.steps)))
    yield "=> first step after a preemption" + ("; !! where it failed" if trace.failure else "")


def _left_out(indices: range) -> Iterator[str]:
    """Say which steps are not shown, and how to see them."""
    if not indices:
        return
    first, last = indices[0], indices[-1]
    what = f"step {first} is" if first == last else f"steps {first} to {last} are"
    yield f"({what} not shown: --steps {first}:{last})"


def _in_lanes(
    steps: Sequence[Step], lanes: list[str], titles: Titles, failing: int, room: int
) -> Iterator[str]:
    """Yield a header and the steps, each in its task's column, its source line at the right."""
    texts = [*map(titles.task, lanes), *(_did(step, titles) for step in steps)]
    room = min(room, _MOST_LANE, max(map(len, texts)) + 2)
    left = {task: place * room for place, task in enumerate(lanes)}
    heads = "".join(cut(titles.task(task), room - 2).ljust(room) for task in lanes)
    yield " " * _GUTTER + heads + "source"
    yield " " * _GUTTER + "".join(("-" * (room - 2)).ljust(room) for _ in lanes) + "-" * 6
    for step in steps:
        cell = " " * left[step.task] + cut(_did(step, titles), room - 2)
        yield _mark(step, failing) + cell.ljust(room * len(lanes)) + cut_front(_site(step), _SITE)


def _folded(steps: Sequence[Step], titles: Titles, failing: int, width: int) -> Iterator[str]:
    """Yield the steps with the task's name in front; `width` leaves out the source line."""
    lane = min(max(len(titles.task(step.task)) for step in steps), 24)
    room = width - _GUTTER - lane - 3
    for step in steps:
        name = cut(titles.task(step.task), lane).ljust(lane)
        did = cut(_did(step, titles), room - 2).ljust(room)
        yield f"{_mark(step, failing)}[{name}] {did}{cut_front(_site(step), _SITE)}"


def _mark(step: Step, failing: int) -> str:
    mark = ("=>" if step.switch else "  ") + ("!!" if step.index == failing else "")
    return f"{step.index:>6} {mark}".ljust(_GUTTER)


def _did(step: Step, titles: Titles) -> str:
    what = f"{plain(step.op)} {titles.object(step.object)}".rstrip()
    return f"{what} -> {plain(step.result)}" if step.result else what


def _site(step: Step) -> str:
    return plain(step.site)


def _tasks(tasks: Sequence[TaskRecord], titles: Titles) -> Iterator[str]:
    """Yield what each task waits for and holds, and where it stands."""
    for task in tasks:
        role = f", {plain(task.role)}" if task.role and task.role != task.name else ""
        name = plain(task.name) if task.name else plain(task.path)
        path = f" ({plain(task.path)}{role})" if name != task.path or role else ""
        waits = f", waits for {titles.object(task.waits_for)}" if task.waits_for else ""
        yield f"  {name}{path}: {plain(task.state)}{waits}"
        for lock in task.held:
            site = f", acquired at {plain(lock.site)}" if lock.site else ""
            yield f"    holds {titles.object(lock.name)}{site}"
        for frame in task.stack:
            yield f"    {plain(frame.file)}:{frame.line} in {plain(frame.function)}"
            if frame.source:
                yield f"      {plain(frame.source.strip())}"


def wrapped(text: str, width: int) -> list[str]:
    """Return `text` as lines of at most `width` characters, all indented as the first."""
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text, width, subsequent_indent=indent, drop_whitespace=True) or [""]


def cut(text: str, room: int) -> str:
    """Return `text`, its end replaced by two dots where it exceeds `room` characters."""
    return text if len(text) <= room else text[: max(room - 2, 0)] + ".."


def cut_front(text: str, room: int) -> str:
    """Return `text`, its beginning replaced by two dots where it exceeds `room` characters."""
    return text if len(text) <= room else ".." + text[len(text) - room + 2 :]
