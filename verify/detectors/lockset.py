"""Shared state touched without its lock: the lockset discipline of Eraser (Savage et al., TOCS 1997).

Watches what the program declares by `verify.access` (object, range, read or write). For each object
the locks held at every access are intersected; once a second task has touched it and one of them
writes, an empty intersection is noted with the site and thread of the access and of the others'
last ones. The execution goes on. Deviation from the paper: instead of a state for initialisation,
what a task did to an object that nobody else had touched is forgotten when it starts a thread,
which is ordered after it. Objects whose accesses are ordered otherwise (a stop hand-shake) can be
left out by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView


class _Shared:
    __slots__ = ("candidates", "first", "last", "reported", "shared", "written")

    def __init__(self, first: str) -> None:
        self.first = first
        self.shared = False
        self.written = False
        self.candidates: frozenset[str] | None = None
        self.last: dict[str, str] = {}
        self.reported = False


class Lockset(Detector):
    """Notes declared objects that no lock protects."""

    name = "lockset"

    def __init__(self, *, ignore: frozenset[str] = frozenset()) -> None:
        self.ignore = ignore
        self.objects: dict[str, _Shared] = {}

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self.objects = {}

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Refine the candidate locks of a declared object."""
        if op == "Thread.start":
            self._forget_own(task)
        if op not in {"read", "write"}:
            return None
        name = str(getattr(target, "object", target))
        if name in self.ignore:
            return None
        state = self.objects.get(name)
        if state is None:
            state = self.objects[name] = _Shared(task.path)
        held = frozenset(lock.title for lock in execution.held_by(task))
        site = execution.site_of(task)
        finding = None
        if task.path != state.first:
            state.shared = True
        state.written = state.written or op == "write"
        state.candidates = held if state.candidates is None else state.candidates & held
        if state.shared and state.written and not state.candidates and not state.reported:
            state.reported = True
            finding = self._finding(name, task, op, site, held, state)
        state.last[task.path] = (
            f"{task.title}: {op} at {site}, holding {', '.join(sorted(held)) or 'no lock'}"
        )
        return finding

    def _forget_own(self, task: TaskView) -> None:
        own = [
            name
            for name, state in self.objects.items()
            if not state.shared and state.first == task.path
        ]
        for name in own:
            del self.objects[name]

    @staticmethod
    def _finding(  # noqa: PLR0917 - one sentence of many parts
        name: str, task: TaskView, op: str, site: str, held: frozenset[str], state: _Shared
    ) -> Finding:
        others = tuple(text for path, text in state.last.items() if path != task.path)
        return Finding(
            cause="shared state without its lock",
            message=f"no lock protects {name}: {task.title} does a {op} at {site}, "
            f"holding {', '.join(sorted(held)) or 'no lock'}",
            key=(name,),
            details=others,
            culprits=(task.path,),
            fatal=False,
        )
