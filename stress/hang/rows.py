"""The rows of a report's thread table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.hang import stacks
from stress.hang.graph import blockers
from stress.hang.model import HeldRow, ThreadRow
from stress.hang.scene import frames_of
from stress.hang.verdicts import subject

if TYPE_CHECKING:
    from stress.hang.scene import Actor, Scene
    from verify.observe.snapshot import Notify

__all__ = ["ROLES", "rows"]

_ENGINE: Final = ("mig.", "stress.watchdog.")
_MAIN: Final = "MainThread"
ROLES: Final[tuple[tuple[str, str], ...]] = (
    ("migration", "walks and sends guest memory"),
    ("iothread", "main loop: descriptors, timers, bottom halves"),
    ("incoming", "receives the guest"),
    ("vcpu", "runs the guest"),
    ("watchdog", "writes this report"),
    (_MAIN, "main thread"),
)
"""Name (or its beginning) of a thread of the migration engine and what it does, in the order of the report."""
_KEPT_S: Final = 30.0
"""Threads that ended longer ago and hold nothing are left out."""


def _rank(actor: Actor) -> int:
    for place, (prefix, _) in enumerate(ROLES):
        if actor.name.startswith(prefix) and (prefix == _MAIN or _of_engine(actor)):
            return place
    return len(ROLES)


def _of_engine(actor: Actor) -> bool:
    """Say whether a thread is the engine's: other programs have a "watchdog" or an "incoming" thread, too."""
    if actor.state is not None:
        return actor.state.target.startswith(_ENGINE)
    return any("/mig/" in frame.file for frame in actor.stack)


def role(actor: Actor) -> str:
    """Return what the thread does in its program: by its name, else as it was recorded."""
    rank = _rank(actor)
    if rank < len(ROLES):
        return ROLES[rank][1]
    if actor.state is None:
        return "not recorded"
    target = f", runs {actor.state.target}" if actor.state.target else ""
    return f"{actor.state.role}{target}"


def rows(scene: Scene) -> list[ThreadRow]:
    """Return one row a thread: those that can be to blame first, ended ones last."""
    shown = [actor for actor in scene.actors if actor.alive or _matters(scene, actor)]
    shown.sort(key=lambda actor: (not actor.alive, _rank(actor), not actor.operation))
    return [_row(scene, actor) for actor in shown]


def _matters(scene: Scene, actor: Actor) -> bool:
    if actor.state is None or scene.snapshot is None:
        return False
    ended = actor.state.ended_ns or 0
    return bool(actor.state.holds) or (scene.snapshot.taken_ns - ended) / 1e9 < _KEPT_S


def _row(scene: Scene, actor: Actor) -> ThreadRow:
    operation = actor.operation
    what = subject(scene, actor)
    return ThreadRow(
        pid=scene.pid,
        name=actor.name,
        role=role(actor),
        native_id=actor.native_id,
        state=_state(actor),
        waits_for=f"{operation} {what}".strip(),
        holder=", ".join(f"{each.name}" for each in blockers(scene, actor)) if operation else "",
        since_s=scene.waited_s(actor),
        daemon=actor.daemon,
        owns_gil=bool(actor.dump is not None and actor.dump.owns_gil),
        notify=_notify(scene, actor),
        held=_held(scene, actor),
        stack=actor.stack,
    )


def _state(actor: Actor) -> str:
    if not actor.alive:
        return "ended"
    if actor.busy:
        return "runs"
    operation = actor.operation
    if operation.startswith("C call"):
        return "in a C call"
    return "waits" if operation else "in Python code"


def _notify(scene: Scene, actor: Actor) -> str:
    thing = scene.object_of(actor)
    last: Notify | None = thing.last_notify if thing is not None else None
    if last is None or scene.snapshot is None:
        return ""
    by = scene.by_slot(last.slot)
    ago = (scene.snapshot.taken_ns - last.ns) / 1e9
    frames = frames_of(last.stack)
    site = stacks.innermost(frames)
    where = f" at {site.file}:{site.line} {site.function}" if site is not None else ""
    waiters = f"{last.waiters_then} waited" if last.waiters_then else "nobody waited"
    return (
        f"{ago:.3f} s ago by {by.name if by is not None else 'an unknown thread'}{where}; {waiters}"
    )


def _held(scene: Scene, actor: Actor) -> tuple[HeldRow, ...]:
    if actor.state is None or scene.snapshot is None:
        return ()
    held = []
    for hold in actor.state.holds:
        thing = scene.snapshot.object(hold.object)
        since = max(0.0, (scene.snapshot.taken_ns - hold.since_ns) / 1e9)
        label = thing.label if thing is not None else f"object {hold.object}"
        held.append(HeldRow(label, hold.count, since, frames_of(hold.stack)))
    return tuple(held)
