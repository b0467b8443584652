"""Finalizers run to their end on the task that dropped the last reference, and add nothing to the schedule."""

from __future__ import annotations

import builtins
import gc
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from verify import RandomWalk, explore
from verify.determinism import Log
from verify.explore import Verdict
from verify.program import of
from verify.runtime.carriers import BACKENDS, GREENLETS, THREADS
from verify.session import Session
from verify.strategies import Replay

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

    Act = Callable[[], object]

both = pytest.mark.parametrize("backend", BACKENDS)


class Noisy:
    """Does something when it goes."""

    def __init__(self, act: Act) -> None:
        self.act = act

    def __del__(self) -> None:
        self.act()


class Plain:
    """Does nothing when it goes, of itself."""

    itself: object


def with_del(act: Act) -> object:
    return Noisy(act)


def with_callback(act: Act) -> object:
    thing = Plain()
    kept.append(weakref.ref(thing, lambda _: act()))
    return thing


def with_proxy(act: Act) -> object:
    thing = Plain()
    kept.append(weakref.proxy(thing, lambda _: act()))
    return thing


def with_finalize(act: Act) -> object:
    thing = Plain()
    weakref.finalize(thing, act)
    return thing


def with_local_class(act: Act) -> object:
    class Local:
        def __del__(self) -> None:
            act()

    return Local()


WAYS = (with_del, with_callback, with_proxy, with_finalize, with_local_class)
kept: list[object] = []


def drops(make: Callable[[Act], object], *, noisy: bool) -> Act:
    """Return a program in which two threads drop what `make` makes, between two sections under a lock."""

    def body() -> None:
        kept.clear()
        lock, other = threading.Lock(), threading.Lock()
        marks: list[str] = []

        def act() -> None:
            for mark in "([{" if noisy else "":
                with other:
                    marks.append(mark)

        def work() -> None:
            thing = make(act)
            with lock:
                pass
            del thing
            with lock:
                pass

        zoo.together(work, work)
        assert "".join(marks) == ("([{" * 2 if noisy else "")

    return body


@both
@pytest.mark.parametrize("make", WAYS)
def test_adds_no_choice(make: Callable[[Act], object], backend: str) -> None:
    """A schedule of a program with silent finalizers fits the one whose finalizers take locks; all run at once."""
    silent, noisy = (of(drops(make, noisy=loud)) for loud in (False, True))
    for seed in range(5):
        first, second, third = Log(), Log(), Log()
        with Session(silent, backend) as session:
            quiet = session.run(RandomWalk(seed), [first, *silent.detectors()])
        with Session(noisy, backend) as session:
            once = session.run(Replay(quiet.choices), [second, *noisy.detectors()])
            again = session.run(Replay(quiet.choices), [third, *noisy.detectors()])

        assert (None, None) == (once.abort, once.finding)
        assert quiet.choices == once.choices == again.choices
        assert len(first.steps) + 12 == len(second.steps)
        assert second.steps == third.steps


@both
def test_collections(backend: str) -> None:
    """`gc.collect()` is undisturbed as a whole: cycles with finalizers, and the collector's own callbacks."""

    def body() -> None:
        lock = threading.Lock()
        marks: list[str] = []

        def mark(what: str) -> None:
            with lock:
                marks.append(what)

        def called(phase: str, _: object) -> None:
            mark(phase)

        def work() -> None:
            thing = Plain()
            thing.itself = thing, Noisy(lambda: mark("del"))
            del thing
            gc.collect()

        gc.callbacks.append(called)
        try:
            zoo.together(work, lambda: mark("other"))
        finally:
            gc.callbacks.remove(called)
        marks.remove("other")
        assert marks == ["start", "del", "stop"]

    state = explore(of(body), RandomWalk(1), executions=50, backend=backend)

    assert Verdict.NOT_FOUND == state.verdict, state.groups


@both
def test_one_that_waits(backend: str) -> None:
    """A finalizer waits for a lock that another task holds, as in CPython; a note says where."""

    def body() -> None:
        lock, order = threading.Lock(), threading.Lock()

        def hold() -> None:
            with lock, order:
                pass

        def take() -> None:
            with lock:
                pass

        def drop() -> None:
            thing = Noisy(take)
            del thing

        zoo.together(hold, drop)

    target = of(body)
    state = explore(target, RandomWalk(1), executions=50, backend=backend, check_determinism=20)

    assert (Verdict.NOT_FOUND, "") == (state.verdict, state.diverged)
    messages = {group.finding.message for group in state.notes.values()}
    assert 1 == len(messages)
    assert messages.pop().startswith(
        "a finalizer that runs in Thread-2 (drop) waits in Lock.acquire for "
    )


@both
def test_one_that_waits_for_itself(backend: str) -> None:
    """A finalizer that takes a lock its own task holds is a deadlock, found in every schedule."""

    def body() -> None:
        lock = threading.Lock()

        def take() -> None:
            with lock:
                pass

        def work() -> None:
            thing = Noisy(take)
            with lock:
                del thing

        zoo.together(work, lambda: None)

    state = explore(of(body), RandomWalk(1), executions=10, backend=backend)

    assert ["self-deadlock"] == [group.finding.cause for group in state.groups.values()]
    assert [10] == [group.count for group in state.groups.values()]


def test_called_by_the_program() -> None:
    """A `weakref.finalize` object that the program calls is an ordinary call: others run in between."""

    def body() -> None:
        lock = threading.Lock()
        marks: list[str] = []

        def mark(what: str) -> None:
            for _ in range(2):
                with lock:
                    marks.append(what)

        thing = Plain()
        zoo.together(weakref.finalize(thing, mark, "a"), lambda: mark("b"))
        assert marks in (["a", "a", "b", "b"], ["b", "b", "a", "a"])

    state = explore(of(body), RandomWalk(1), executions=50)

    assert ["uncaught exception"] == [group.finding.cause for group in state.groups.values()]


def test_random_values_stay_in_the_schedule() -> None:
    """A value drawn in a finalizer is drawn again in a replay."""
    from verify.api import draw

    drawn: list[int] = []

    def body() -> None:
        thing = Noisy(lambda: drawn.append(draw(1000)))
        del thing

    with Session(of(body)) as session:
        first = session.run(RandomWalk(7), [])
        session.run(Replay(first.choices), [])

    assert (drawn[0],) == first.choices
    assert drawn[0] == drawn[1]


def test_references_are_real() -> None:
    """Types and identities of weak references are as outside, also of subclasses made during a check."""
    thing = Plain()
    early = weakref.ref(thing)

    def body() -> None:
        late = weakref.ref(thing)
        loud = weakref.ref(thing, print)

        class Mine(weakref.ref[Plain]):
            pass

        assert late is early
        assert [type(early)] == [type(loud)]
        assert all(isinstance(one, weakref.ref) for one in (early, late, loud, Mine(thing)))
        assert (True, False) == (isinstance(Mine(thing), Mine), isinstance(late, Mine))
        assert issubclass(weakref.WeakMethod, weakref.ref)
        noisy = Noisy(lambda: None)
        assert weakref.WeakMethod(noisy.__del__)() is not None

    state = explore(of(body), RandomWalk(1), executions=1)

    assert Verdict.NOT_FOUND == state.verdict, state.groups


def test_leaves_no_trace() -> None:
    """After a check classes, references and the collector are what they were."""
    before = (
        vars(Noisy)["__del__"],
        weakref.ref,
        weakref.proxy,
        gc.collect,
        vars(builtins)["__build_class__"],
    )
    made: list[type] = []

    def body() -> None:
        class Late(Noisy):
            def __del__(self) -> None:
                pass

        made.append(Late)
        assert "finalizing" in vars(Late)["__del__"].__code__.co_filename

    for backend in (GREENLETS, THREADS):
        explore(of(body), RandomWalk(1), executions=1, backend=backend)

    assert before == (
        vars(Noisy)["__del__"], weakref.ref, weakref.proxy, gc.collect, vars(builtins)["__build_class__"]
    )  # fmt: skip
    assert {__file__} == {vars(kind)["__del__"].__code__.co_filename for kind in made}
