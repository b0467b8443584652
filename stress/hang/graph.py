"""Who waits for whom, and who can therefore never go on.

Promises: pure. An edge means that only the threads it leads to can end the wait; where anybody might
(a notification, an item, an event) there is no edge. `stuck` is exact for what was recorded: the largest
set of threads each of which needs somebody of the set, or somebody who has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stress.hang.scene import Actor, Scene
    from verify.observe.snapshot import ObjectState

__all__ = ["blockers", "cycle_from", "stuck"]

_OWNED = ("Lock", "RLock")


def blockers(scene: Scene, actor: Actor) -> tuple[Actor, ...]:
    """Return the threads of which one must act for `actor` to go on; empty where anybody could."""
    thing = scene.object_of(actor)
    if thing is None or scene.snapshot is None:
        return ()
    if thing.kind == "Thread":
        target = scene.by_slot(thing.value)
        return (target,) if target is not None else ()
    if thing.kind == "Future":
        return _workers(scene, thing)
    if thing.kind == "Condition" and actor.operation != "Condition.wait":
        thing = scene.snapshot.object(thing.lock) or thing
    if thing.kind in _OWNED:
        owner = scene.by_slot(thing.owner)
        return (owner,) if owner is not None else _holders(scene, thing)
    if thing.kind == "Semaphore":
        return _holders(scene, thing) or _permit_holders(scene, thing)
    return ()


def _holders(scene: Scene, thing: ObjectState) -> tuple[Actor, ...]:
    return tuple(
        actor
        for actor in scene.actors
        if actor.state is not None and any(hold.object == thing.id for hold in actor.state.holds)
    )


def _permit_holders(scene: Scene, semaphore: ObjectState) -> tuple[Actor, ...]:
    """Return who took permits and has not given them back, by the recorded operations.

    Empty where a thread gave back what it never took: then permits are no locks but signals, and anybody
    can give one.
    """
    assert scene.snapshot is not None
    balance: dict[int, int] = {}
    for entry in scene.snapshot.ring:
        if entry.object == semaphore.id and entry.result is not False:
            step = -1 if entry.operation.endswith(".release") else 1
            balance[entry.slot] = balance.get(entry.slot, 0) + step
            if balance[entry.slot] < 0:
                return ()
    held = [scene.by_slot(slot) for slot, permits in balance.items() if permits > 0]
    return tuple(actor for actor in held if actor is not None)


def _workers(scene: Scene, future: ObjectState) -> tuple[Actor, ...]:
    """Return the pool's workers if the future is one that only they finish; any other is anybody's to set."""
    if future.limit is None:
        return ()
    return tuple(
        actor
        for actor in scene.living
        if actor.state is not None and actor.state.role == "pool worker"
    )


def stuck(scene: Scene, *, firm: bool = False) -> dict[Actor, tuple[Actor, ...]]:
    """Return the threads that can never go on, each with the threads that it waits for.

    A plain lock and a permit can be given back by any thread. With `firm`, waits that somebody else may well
    end are left out: for a permit, for a lock that the waiting thread itself took (a signal, perhaps), for a
    lock whose holder has ended (handed on, perhaps).
    """
    waiting = {
        actor: needed
        for actor in scene.living
        if actor.timeout_s() is None
        and (needed := blockers(scene, actor))
        and not (firm and _by_anybody(scene, actor, needed))
    }
    joins = {actor for actor in waiting if _joins(scene, actor)}
    while True:
        free = [
            actor
            for actor, needed in waiting.items()
            if any(
                # A thread that has ended gives nothing back, but to wait for its end is over.
                (each.alive and each not in waiting) or (not each.alive and actor in joins)
                for each in needed
            )
        ]
        if not free:
            return waiting
        for actor in free:
            del waiting[actor]


def _by_anybody(scene: Scene, actor: Actor, needed: tuple[Actor, ...]) -> bool:
    thing = scene.object_of(actor)
    if thing is None or thing.kind == "Semaphore":
        return True
    return thing.kind == "Lock" and any(each is actor or not each.alive for each in needed)


def _joins(scene: Scene, actor: Actor) -> bool:
    thing = scene.object_of(actor)
    return thing is not None and thing.kind == "Thread"


def cycle_from(start: Actor, waiting: dict[Actor, tuple[Actor, ...]]) -> tuple[Actor, ...]:
    """Return the cycle that `start` leads to, or the path to a thread that has ended (its last element)."""
    path = [start]
    while True:
        needed = waiting.get(path[-1])
        if needed is None:  # has ended
            return tuple(path)
        # Of the holders of a semaphore another one tells more than the waiting thread itself; a way back is
        # shown rather than a longer path.
        needed = tuple(each for each in needed if each is not path[-1]) or needed
        following = next((each for each in needed if each in path), needed[0])
        if following in path:
            return tuple(path[path.index(following) :])
        path.append(following)
