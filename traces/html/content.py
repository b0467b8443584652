"""A trace as the compact JSON that the timeline reads: tables of names, steps by column, intervals by number.

Promises: every text is free of characters that cannot be printed; every number is a place in a table or a step of the
run, so that the page need not check. About 20 characters a step.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from traces.html.answers import answers, decided
from traces.printing import plain
from traces.text import PYTEST, Titles, replay_line

if TYPE_CHECKING:
    from traces.explanation import Event
    from traces.html.shell import Json
    from traces.schema import TaskRecord, Trace

__all__ = ["content"]

NANO: Final = 1_000_000_000
MOST_FRAMES: Final = 60


class _Table:
    """Texts by number, in order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


class _Content:
    """One trace on its way into JSON."""

    def __init__(self, trace: Trace, file: str) -> None:
        self.trace = trace
        self.file = file
        self.titles = Titles.of(trace)
        self.tasks, self.objects, self.ops, self.sites = _Table(), _Table(), _Table(), _Table()
        for task in trace.tasks:
            self.tasks.of(task.path)

    def all(self) -> Json:
        steps = self._steps()
        scene = self._scene()
        return {
            "target": plain(self.trace.program.target),
            "failure": self._failure(),
            "answers": answers(self.trace, self.titles),
            "orders": self._orders(),
            "turning": -1 if self.trace.turning is None else self.trace.turning.step,
            "steps": steps,
            **scene,
            "ops": [plain(op) for op in self.ops.numbers],
            "objects": [[self.titles.object(n), plain(n)] for n in self.objects.numbers],
            "sites": [plain(site) for site in self.sites.numbers],
            "ends": [self._end(task) for task in self.trace.tasks],
            "tasks": [[self.titles.task(path), plain(path)] for path in self.tasks.numbers],
            "replay": replay_line(self.trace, self.file),
            "facts": self._facts(),
        }

    def _steps(self) -> Json:
        steps = self.trace.steps
        times = [round(step.time * NANO) for step in steps]
        return {
            "task": [self.tasks.of(step.task) for step in steps],
            "op": [self.ops.of(step.op) for step in steps],
            "object": [self.objects.of(step.object) for step in steps],
            "site": [self.sites.of(step.site) for step in steps],
            "nanoseconds": [now - then for then, now in zip([0, *times], times, strict=False)],
            "preempted": [step.index for step in steps if step.switch],
            "results": {str(step.index): plain(step.result) for step in steps if step.result},
        }

    def _scene(self) -> dict[str, Json]:
        scene = self.trace.scene
        if scene is None:
            return {"kept": -1, "holds": [], "waits": [], "sources": []}
        holds = sorted(scene.holds, key=lambda hold: hold.first)
        waits = sorted(scene.waits, key=lambda wait: wait.first)
        return {
            "kept": scene.kept,
            "holds": [
                [self.objects.of(h.lock), self.tasks.of(h.task), h.first, _end(h.last)]
                for h in holds
            ],
            "waits": [
                [
                    self.tasks.of(w.task), self.ops.of(w.op), self.objects.of(w.object),
                    self.tasks.of(w.owner) if w.owner else -1, w.first, _end(w.last),
                ]
                for w in waits
            ],
            "sources": [
                [plain(s.file), s.line, [plain(line.expandtabs(4)) for line in s.lines]]
                for s in scene.sources
            ],
        }  # fmt: skip

    def _failure(self) -> Json:
        failure = self.trace.failure
        if failure is None:
            return None
        return {
            "cause": plain(failure.cause),
            "message": plain(failure.message),
            "details": [plain(line) for line in failure.details],
            "cycle": [plain(link) for link in failure.cycle],
        }

    def _orders(self) -> Json:
        found = self.trace.explanation
        return [
            {
                "before": self._event(order.before),
                "after": self._event(order.after),
                "critical": at == (found.critical if found else None),
                "decided": decided(self.trace, order),
            }
            for at, order in enumerate(found.orders if found else ())
        ]

    def _event(self, event: Event) -> Json:
        inside = event.step is not None and event.step < len(self.trace.steps)
        step = event.step if inside else None
        return [
            self.tasks.of(event.task),
            self.ops.of(event.op),
            self.objects.of(event.object),
            step,
        ]

    def _end(self, task: TaskRecord) -> Json:
        return {
            "task": self.tasks.of(task.path),
            "state": plain(task.state),
            "role": plain(task.role),
            "waits": self.titles.object(task.waits_for) if task.waits_for else "",
            "held": [[self.titles.object(lock.name), plain(lock.site)] for lock in task.held],
            "stack": [
                [f"{plain(f.file)}:{f.line} {plain(f.function)}", plain(f.source.strip())]
                for f in task.stack[-MOST_FRAMES:]
            ],
        }

    def _facts(self) -> Json:
        program = self.trace.program
        facts = [
            ("program", program.target),
            ("found by", f"{self.trace.strategy}, seed {self.trace.seed}"),
            ("granularity", program.granularity),
            ("versions", f"Python {program.python}, stage3 {program.stage3}"),
            ("options", " ".join(f"{k}={v}" for k, v in sorted(program.options.items()))),
            ("trace", self.file),
            ("ends well", self._ends_well()),
        ]
        return [[name, plain(value)] for name, value in facts if value]

    def _ends_well(self) -> str:
        """Return the command that replays and keeps the run that ended well, to set beside this one."""
        turned, target = self.trace.turning, self.trace.program.target
        if turned is None or not turned.token or PYTEST in target:
            return ""
        return f"stage3 replay {shlex.quote(target)} {turned.token} --keep DIR"


def _end(last: int | None) -> int:
    return -1 if last is None else last


def content(trace: Trace, file: str = "") -> Json:
    """Return what the page is made of; `file` is where the trace is stored, for the replay line."""
    return _Content(trace, file).all()
