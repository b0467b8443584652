"""One process as a diagnosis sees it: threads from the recording and from the dump, joined.

Promises: pure; a thread known to both is one `Actor`. Threads of the toolkit's own are left out.
Assumes: a kernel thread id or Python ident means the same thread in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stress.hang import stacks
from verify.backtraces import StackFrame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from verify.backtraces import ProcessDump, ThreadDump
    from verify.observe.snapshot import Frame, ObjectState, Snapshot, ThreadState

__all__ = ["Actor", "Scene", "frames_of", "scenes"]

BUSY_SHARE: Final = 0.1
"""Share of the time from which a thread counts as computing: polling takes a hundredth."""
LONGEST_S: Final = 86_400.0
"""A time-out of a day or more counts as none."""


def frames_of(stack: Iterable[Frame]) -> tuple[StackFrame, ...]:
    """Return a recorded stack (innermost first) as frames with the innermost last."""
    return tuple(StackFrame(each.file, each.line, each.function) for each in stack)[::-1]


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """One thread.

    `share` is the part of the last while that it computed or wanted to, `moving` says that its stack or
    its variables changed between samples, `stale` that an earlier report has told of it already.
    """

    pid: int
    state: ThreadState | None
    dump: ThreadDump | None
    share: float = 0.0
    moving: bool = False
    stale: bool = False

    @property
    def name(self) -> str:
        """The thread's name."""
        if self.state is not None and self.state.name:
            return self.state.name
        if self.dump is not None and self.dump.name:
            return self.dump.name
        return f"thread {self.native_id or 'unknown'}"

    @property
    def native_id(self) -> int | None:
        """The kernel's thread id."""
        if self.state is not None and self.state.native_id:
            return self.state.native_id
        return self.dump.native_id if self.dump is not None else None

    @property
    def main(self) -> bool:
        """Whether it is the process's main thread, whose id is the process's."""
        return self.native_id == self.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.state is None or self.state.alive

    @property
    def daemon(self) -> bool:
        """Whether the program ends without it."""
        return self.state is not None and self.state.daemon

    @property
    def busy(self) -> bool:
        """Whether it computes."""
        if self.state is not None and self.state.waiting is not None:
            return False
        return self.share >= BUSY_SHARE

    @property
    def operation(self) -> str:
        """What it is in: as recorded, else as its stack shows; "" for plain Python."""
        seen = stacks.operation(self.dump) if self.dump is not None else ""
        if self.state is not None and self.state.waiting is not None:
            return self.state.waiting.operation
        return seen

    @property
    def stack(self) -> tuple[StackFrame, ...]:
        """Its frames, innermost last: of the dump, else those recorded where it began to wait."""
        if self.dump is not None and self.dump.frames:
            return self.dump.frames
        if self.state is not None and self.state.waiting is not None:
            return frames_of(self.state.waiting.stack)
        return ()

    def timeout_s(self) -> float | None:
        """Return the time-out of its wait in seconds, None for none."""
        waiting = self.state.waiting if self.state is not None else None
        if waiting is None or waiting.timeout_ns is None:
            return None
        seconds = waiting.timeout_ns / 1e9
        return None if seconds >= LONGEST_S else seconds


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One process; `now_ns` is when it was looked at, on the recording's clock."""

    pid: int
    command: tuple[str, ...]
    actors: tuple[Actor, ...]
    snapshot: Snapshot | None
    dump: ProcessDump | None
    numbered: Mapping[int, Actor]
    """The recorded threads by their number."""

    @property
    def living(self) -> tuple[Actor, ...]:
        """The threads that have not ended."""
        return tuple(actor for actor in self.actors if actor.alive)

    @property
    def main(self) -> Actor | None:
        """The main thread, where it is known."""
        return next((actor for actor in self.actors if actor.main), None)

    def by_slot(self, slot: int | None) -> Actor | None:
        """Return the recorded thread with that number."""
        return self.numbered.get(slot) if slot is not None else None

    def object_of(self, actor: Actor) -> ObjectState | None:
        """Return what `actor` waits for, where it was recorded."""
        if self.snapshot is None or actor.state is None or actor.state.waiting is None:
            return None
        return self.snapshot.object(actor.state.waiting.object)

    def waited_s(self, actor: Actor) -> float | None:
        """Return how long `actor` has waited, in seconds."""
        if self.snapshot is None or actor.state is None or actor.state.waiting is None:
            return None
        return max(0.0, (self.snapshot.taken_ns - actor.state.waiting.since_ns) / 1e9)


def scenes(
    snapshots: Iterable[Snapshot],
    dumps: Iterable[ProcessDump],
    activity: Mapping[int, float],
    moving: Iterable[int],
    stale: Iterable[int] = (),
) -> tuple[Scene, ...]:
    """Return one scene for each process in `dumps` and `snapshots`, in that order."""
    recorded = {snapshot.pid: snapshot for snapshot in snapshots}
    seen = {dump.pid: dump for dump in dumps}
    moved, old = frozenset(moving), frozenset(stale)
    return tuple(
        _scene(pid, recorded.get(pid), seen.get(pid), activity, moving=moved, stale=old)
        for pid in dict.fromkeys([*seen, *recorded])
    )


def _scene(
    pid: int,
    snapshot: Snapshot | None,
    dump: ProcessDump | None,
    activity: Mapping[int, float],
    *,
    moving: frozenset[int],
    stale: frozenset[int],
) -> Scene:
    dumped = list(dump.threads) if dump is not None else []
    actors: list[Actor] = []

    def add(state: ThreadState | None, thread: ThreadDump | None) -> None:
        thread = stacks.without_tracer(thread) if thread is not None else None
        native = (state.native_id if state else 0) or (thread.native_id if thread else 0) or 0
        share = activity.get(native, 0.0)
        actors.append(Actor(pid, state, thread, share, native in moving, native in stale))

    for state in snapshot.threads if snapshot is not None else ():
        thread = next((each for each in dumped if state.alive and _same(state, each)), None)
        if thread is not None:
            dumped.remove(thread)
        add(state, thread)
    for thread in dumped:
        add(None, thread)
    command = snapshot.argv if snapshot is not None else ()
    numbered = {actor.state.slot: actor for actor in reversed(actors) if actor.state is not None}
    return Scene(pid, command, tuple(actors), snapshot, dump, numbered)


def _same(state: ThreadState, thread: ThreadDump) -> bool:
    if thread.native_id and state.native_id:
        return thread.native_id == state.native_id
    return thread.ident is not None and thread.ident == state.ident
