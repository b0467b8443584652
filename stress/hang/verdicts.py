"""The verdict on one process: which of the eight, the cause in a sentence, the cycle.

Promises: pure; every scene gets a verdict, the strongest that its evidence bears, in the words that the
detectors of a check use. Rules are tried in a fixed order; each returns None where it does not apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stress.hang import stacks
from stress.hang.circles import circles
from stress.hang.graph import blockers, cycle_from, stuck

if TYPE_CHECKING:
    from collections.abc import Callable

    from stress.hang.scene import Actor, Scene
    from verify.observe.snapshot import Entry

__all__ = ["Finding", "judge", "subject"]

IDLE: Final = frozenset(
    {"Selector.select", "select.select", "select.poll", "select.epoll", "socket.accept"}
)
"""Where threads wait by design: listed, blamed only when nothing else is left."""
JOINS: Final = ("Thread.join", "threading._shutdown")
_LOCKS: Final = ("Lock.acquire", "RLock.acquire", *JOINS)


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict of `stress.hang.model.VERDICTS`, its narrower kind, its cause, further lines, the cycle."""

    verdict: str
    kind: str
    cause: str
    details: tuple[str, ...] = ()
    cycle: tuple[str, ...] = ()


def subject(scene: Scene, actor: Actor) -> str:
    """Return what `actor` waits for, by its name in the program; "" where nobody recorded it."""
    thing = scene.object_of(actor)
    if thing is None:
        return ""
    if thing.kind == "Thread":
        target = scene.by_slot(thing.value)
        return target.name if target is not None else thing.label
    return thing.label


def _waits(scene: Scene, actor: Actor) -> str:
    what = subject(scene, actor)
    return f"{actor.name} waits in {actor.operation}" + (f" for {what}" if what else "")


def judge(scene: Scene, patience_s: float, *, stands_still: bool = False) -> Finding:
    """Return the verdict on one process that made no progress for `patience_s` seconds.

    `stands_still`: the program's own measure says so, whatever its threads do meanwhile.
    """
    rules: tuple[Callable[[Scene, float], Finding | None], ...] = (
        _gil_held, _stuck, _livelock, _alive, _gil_kept, _slow, _spin, _unrecorded_locks, _outside, _nobody_left,
    )  # fmt: skip
    if not scene.living:
        return Finding(
            "blocked I/O", "unknown", "no thread of it could be seen: see what could not be had"
        )
    for rule in rules:
        if stands_still and rule in {_alive, _slow}:
            continue
        finding = rule(scene, patience_s)
        if finding is not None:
            return finding
    return Finding("merely slow", "merely slow", "no thread of it was seen blocked")


def _gil_held(scene: Scene, patience_s: float) -> Finding | None:
    """A foreign call (ctypes, cffi) that keeps the interpreter lock: as sure as a stack can be."""
    return _gil_holder(scene, patience_s, foreign=True)


def _gil_kept(scene: Scene, patience_s: float) -> Finding | None:
    """Another C function that keeps it and does not run: a moment's sight, so surer signs are asked first."""
    return _gil_holder(scene, patience_s, foreign=False)


def _gil_holder(scene: Scene, patience_s: float, *, foreign: bool) -> Finding | None:
    if scene.snapshot is not None and (scene.snapshot.gil_free or _works(scene, patience_s)):
        return None
    for actor in scene.living:
        dump = actor.dump
        if dump is None or not dump.owns_gil or actor.moving:
            continue
        call = stacks.native_call(dump)
        # Python code that computes holds the lock too, but gives it up when others ask.
        if not call and (foreign or not dump.native_tail() or dump.active is not False):
            continue
        site = stacks.innermost(dump.frames)
        where = f" at {site.file}:{site.line} {site.function}" if site is not None else ""
        named = f"the C call {call}" if call else f"C code ({dump.native_tail()[-1].function})"
        others = sum(1 for each in scene.living if each is not actor)
        cause = (
            f"{actor.name} holds the interpreter lock in {named}{where}; "
            f"no Python code of the other {others} threads can run"
        )
        return Finding("GIL held", "GIL held", cause)
    return None


def _works(scene: Scene, patience_s: float) -> bool:
    """Say whether some thread still makes operations: then the interpreter lock goes round."""
    if scene.snapshot is None or not scene.snapshot.ring:
        return False
    return (scene.snapshot.taken_ns - scene.snapshot.ring[-1].ns) / 1e9 < patience_s / 2


def _stuck(scene: Scene, patience_s: float) -> Finding | None:
    # While somebody works, a lock may yet be given back by a thread that did not take it.
    working, _ = _latest_work(scene, patience_s)
    works = working is not None or any(each.moving for each in scene.living)
    waiting = stuck(scene, firm=works)
    if all(actor.stale for actor in waiting):
        return None
    # Where the program's own main thread leads is told first.
    fresh = [actor for actor in waiting if not actor.stale]
    order = sorted(fresh, key=lambda actor: (not actor.main, actor.daemon))
    paths = [cycle_from(actor, waiting) for actor in order]
    cycles = [path for path in paths if path[-1] in waiting]
    if not cycles:
        return _dead_owner(scene, paths[0])
    return _of_cycle(scene, cycles[0], waiting)


def _dead_owner(scene: Scene, path: tuple[Actor, ...]) -> Finding:
    last, owner = path[-2], path[-1]
    return Finding(
        "lock held by a dead thread", "lock held by a dead thread",
        f"{_waits(scene, last)}, whose holder {owner.name} has ended without giving it back",
        details=tuple(_waits(scene, actor) for actor in path[:-2]),
    )  # fmt: skip


def _of_cycle(
    scene: Scene, cycle: tuple[Actor, ...], waiting: dict[Actor, tuple[Actor, ...]]
) -> Finding:
    names = (*(actor.name for actor in cycle), cycle[0].name)
    following = (*cycle[1:], cycle[0])
    operations = {actor.operation for actor in cycle}
    details = []
    for actor, after in zip(cycle, following, strict=True):
        others = [each.name for each in waiting.get(actor, ()) if each is not after]
        also = f" (or {', '.join(others)})" if others else ""
        details.append(f"{_waits(scene, actor)}, which {after.name}{also} must {_give(actor)}")
    verb = ", ".join(sorted(operations))
    if any(operation.startswith("Future.") for operation in operations):
        kind = "thread-pool starvation"
        cause = f"every worker of the pool waits for work that only the pool could do: {' -> '.join(names)} ({verb})"
    elif len(cycle) == 1:
        kind = "self-deadlock"
        cause = f"{_waits(scene, cycle[0])}, which it holds itself"
    else:
        kind = "join cycle" if operations <= set(JOINS) else "deadlock"
        cause = f"{len(cycle)} threads wait for each other: {' -> '.join(names)} ({verb})"
    return Finding("deadlock", kind, cause, tuple(details), names)


def _give(actor: Actor) -> str:
    if actor.operation in JOINS:
        return "end first"
    return "finish first" if actor.operation.startswith("Future.") else "give back first"


def _livelock(scene: Scene, patience_s: float) -> Finding | None:
    # On a loaded machine a second can pass without an operation of anybody.
    if scene.snapshot is None or not _works(scene, max(2 * patience_s, 2.0)):
        return None
    found = {
        slot: circle
        for slot, circle in circles(scene.snapshot.ring).items()
        if (actor := scene.by_slot(slot)) is None or not actor.stale
    }
    if not found:
        return None
    details, names = [], []
    for slot, circle in sorted(found.items()):
        actor = scene.by_slot(slot)
        thing = scene.snapshot.object(circle.object)
        name = actor.name if actor is not None else f"thread {slot}"
        label = thing.label if thing is not None else "a lock"
        names.append(name)
        details.append(
            f"{name} was refused {label} {circle.refusals:,} times at {circle.site}, and never given it"
        )
    cause = (
        f"{' and '.join(names)} make operations and get nowhere: each is refused what the other takes; "
        f"{details[0]}"
    )
    return Finding("livelock", "livelock", cause, tuple(details))


def _alive(scene: Scene, patience_s: float) -> Finding | None:
    """At a time limit: whoever still makes operations that are no time-outs gets on."""
    entry, actor = _latest_work(scene, patience_s)
    if entry is None or actor is None:
        return None
    where = f"{entry.site.file}:{entry.site.line} {entry.site.function}"
    return _merely_slow(f"{actor.name} makes operations, the last one {entry.operation} at {where}")


def _latest_work(scene: Scene, patience_s: float) -> tuple[Entry | None, Actor | None]:
    """Return the latest operation that got its thread on, if it is recent enough to matter, and the thread."""
    if scene.snapshot is not None:
        for entry in reversed(scene.snapshot.ring):
            if (scene.snapshot.taken_ns - entry.ns) / 1e9 >= patience_s / 2:
                break
            actor = scene.by_slot(entry.slot)
            told = actor is None or actor.stale or _ours(actor)
            if entry.result is not False and not told:
                return entry, actor
    return None, None


def _slow(scene: Scene, patience_s: float) -> Finding | None:
    for actor in scene.living:
        if actor.moving and not actor.stale:
            site = stacks.innermost(actor.stack)
            where = f" in {site.function}" if site is not None else ""
            return _merely_slow(
                f"{actor.name} gets on{where}, without operations that are recorded"
            )
    for actor in scene.living:
        if actor.state is None and actor.operation == "time.sleep":
            return _merely_slow(f"{actor.name} sleeps, for how long was not recorded")
        timeout, waited = actor.timeout_s(), scene.waited_s(actor)
        if timeout is None or waited is None or waited < patience_s * 0.8 or _ours(actor):
            continue  # a short wait that is over again and again is polling
        # A heartbeat in a daemon thread mends nothing; the timer of an event loop may.
        beats = actor.daemon and actor.operation not in IDLE
        if beats and not all(each.daemon or each.main for each in scene.living):
            continue
        if waited < timeout:
            return _merely_slow(
                f"{_waits(scene, actor)}, for {timeout:g} s at most, and goes on in {timeout - waited:.1f} s"
            )
    return None


def _ours(actor: Actor) -> bool:
    """Say whether a thread is a test runner's clock, whose time-out mends nothing."""
    return actor.name.startswith("pytest_timeout ")


def _merely_slow(cause: str) -> Finding:
    return Finding("merely slow", "merely slow", cause)


def _spin(scene: Scene, _patience_s: float) -> Finding | None:
    for actor in scene.living:
        if not actor.busy or actor.stale:
            continue
        if actor.operation and not actor.operation.startswith("C call"):
            return Finding(
                "livelock", "livelock",
                f"{actor.name} uses the processor around {actor.operation}, and nothing it computes with changes: "
                "it tries again and again",
            )  # fmt: skip
        site = stacks.innermost(actor.stack)
        where = f" at {site.file}:{site.line} {site.function}" if site is not None else ""
        holds = actor.state.holds if actor.state is not None else ()
        details = []
        for hold in holds:
            thing = scene.snapshot.object(hold.object) if scene.snapshot is not None else None
            if thing is not None:
                details.append(f"{actor.name} holds {thing.label} meanwhile")
        cause = f"{actor.name} computes{where}, makes no operation, and nothing it computes with changes"
        return Finding("spin", "spin", cause, tuple(details))
    return None


def _unrecorded_locks(scene: Scene, _patience_s: float) -> Finding | None:
    """Without a recording: every thread waits for locks or threads, so no thread can give one back."""
    if scene.snapshot is not None or not scene.living:
        return None
    operations = [actor.operation for actor in scene.living]
    locks = [operation for operation in operations if operation in _LOCKS]
    if len(locks) < len(operations):
        return None
    return Finding(
        "deadlock", "deadlock",
        f"all {len(locks)} threads wait for locks or for each other's end ({', '.join(sorted(set(locks)))}); "
        "which holds what was not recorded: start the program under `stage3 watch -- COMMAND`",
    )  # fmt: skip


def _terminal(scene: Scene) -> Actor | None:
    """Return the thread that the main thread waits for in the end: where its chain of locks and joins stops."""
    actor, seen = scene.main, set[int]()
    while actor is not None and id(actor) not in seen:
        seen.add(id(actor))
        needed = [each for each in blockers(scene, actor) if each.alive]
        if not needed:
            return actor
        actor = needed[0]
    return actor


def _blamed(scene: Scene) -> list[Actor]:
    """Return the threads that may be to blame, likeliest first: the end of the main thread's chain, then others."""
    first = _terminal(scene)
    own = [
        actor
        for actor in scene.living
        if actor is not first
        and actor.operation
        and actor.operation not in JOINS
        and not actor.stale
        and not _ours(actor)
    ]
    own.sort(key=lambda actor: (actor.daemon, actor.operation in IDLE))
    known = first is not None and first.operation and first.operation not in JOINS
    return [first, *own] if first is not None and known else own


def _is_outside(actor: Actor) -> bool:
    operation = actor.operation
    return operation in stacks.INPUT_OUTPUT or operation.startswith(("C call", "socket."))


def _outside(scene: Scene, _patience_s: float) -> Finding | None:
    blamed = _blamed(scene)
    if not blamed or (not _is_outside(blamed[0]) and _lost(scene, blamed[0])):
        return None
    outside = [actor for actor in blamed if _is_outside(actor) and actor.operation not in IDLE]
    if not outside and _is_outside(blamed[0]):
        outside = [blamed[0]]
    if not outside:
        return None
    actor = outside[0]
    if actor.daemon and actor is not blamed[0] and not blamed[0].daemon:
        return None
    site = stacks.innermost(actor.stack)
    where = f" at {site.file}:{site.line} {site.function}" if site is not None else ""
    call = actor.operation.startswith("C call")
    what = "in the " if call else "in "
    cause = f"{actor.name} is blocked {what}{actor.operation}{where}, which has not returned"
    if not call:
        cause += ": the other end has not done its part"
    details = () if actor is blamed[0] else (f"{_waits(scene, blamed[0])}, perhaps for its result",)
    return Finding("blocked I/O", "blocked C call" if call else "blocked I/O", cause, details)


def _lost(scene: Scene, actor: Actor) -> bool:
    thing = scene.object_of(actor)
    if thing is None or thing.kind not in {"Condition", "Event"} or thing.last_notify is None:
        return False  # what is put into a queue stays there
    return not thing.last_notify.waiters_then


def _nobody_left(scene: Scene, _patience_s: float) -> Finding | None:
    blamed = _blamed(scene)
    if not blamed:
        return None
    # A notification that came too early is the surest sign.
    blamed.sort(key=lambda actor: not _lost(scene, actor))
    actor = blamed[0]
    thing = scene.object_of(actor)
    details = tuple(_waits(scene, each) for each in blamed[1:])
    kind, why = "lost wake-up", "and nobody is left to wake it"
    if thing is not None and thing.kind in {"Queue", "SimpleQueue"}:
        full = actor.operation.endswith(".put")
        kind = "queue starvation"
        why = "and nobody is left to take an item" if full else "and nobody is left to put an item"
    elif thing is not None and thing.kind == "Barrier" and thing.limit:
        here = sum(1 for each in scene.living if scene.object_of(each) is thing)
        why = f"where {here} of {thing.limit} have come, and nobody is left to come"
    elif thing is not None and thing.kind == "Semaphore":
        why = "and nobody is left to give a permit back"
    elif actor.operation in _LOCKS:
        kind, why = "blocked for ever", "whose holder was not recorded"
    if thing is not None and _lost(scene, actor) and thing.last_notify is not None:
        by = scene.by_slot(thing.last_notify.slot)
        who = f" by {by.name}" if by is not None else ""
        why += f"; it was notified{who} while nobody waited"
    return Finding("lost wake-up", kind, f"{_waits(scene, actor)}, {why}", details)
