"""vCPU threads on real threads: stop, resume, two who stop, and the repairs of the hand-shake."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from mig.cpus import Cpus, Vcpu
from mig.designs.faults import NotifyOneCpus, StateAfterPauseCpus
from mig.runstate import RunState, StateError
from mig.tracepoints import Tracepoints
from tests.mig.machines import WAIT, Notes

if TYPE_CHECKING:
    from collections.abc import Iterator


class Endless:
    """Runs until asked to leave; counts its steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.moved = threading.Event()

    def run(self, cpu: Vcpu) -> float | None:
        """Step on and on."""
        while not cpu.leave():
            self.steps += 1
            self.moved.set()
        return 0.0

    def interrupt(self) -> None:
        """It looks by itself."""

    def save(self) -> bytes:
        """No registers."""
        return b""

    def load(self, state: bytes) -> None:
        """No registers."""


class Idle(Endless):
    """Idles at once, for good or for a moment."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self.seconds = seconds

    def run(self, cpu: Vcpu) -> float | None:
        """Idle."""
        self.steps += 1
        self.moved.set()
        return self.seconds


@pytest.fixture
def notes() -> Notes:
    """What the vCPUs tell."""
    return Notes()


@pytest.fixture
def programs() -> list[Endless]:
    """Three that run, two that idle."""
    return [Endless(), Endless(), Endless(), Idle(None), Idle(0.001)]


@pytest.fixture
def cpus(programs: list[Endless], notes: Notes) -> Iterator[Cpus]:
    """Running vCPUs, ended after the test."""
    made = Cpus(threading.Lock(), Tracepoints("source"), programs, RunState.PRELAUNCH)
    with made.big_lock:
        made.vm_start("start")
    for program in programs:
        assert program.moved.wait(WAIT)
    made.trace.listener = notes
    yield made
    with made.big_lock:
        made.end()
    made.join()


def test_stop(cpus: Cpus, programs: list[Endless]) -> None:
    """After a stop nobody steps; after a start everybody who does not sleep does."""
    with cpus.big_lock:
        assert cpus.vm_stop("stop")
        steps = [program.steps for program in programs]
        assert cpus.all_stopped()
    for program in programs[:3]:
        program.moved.clear()
    with cpus.big_lock:
        assert RunState.PAUSED is cpus.state.value
        assert steps == [program.steps for program in programs]
        cpus.vm_start("start")
    for program in programs[:3]:
        assert program.moved.wait(WAIT)


def test_two_who_stop(cpus: Cpus) -> None:
    """The user and a migration stop at once: both return, and all vCPUs are stopped."""
    results: list[bool] = []

    def stop(event: str) -> None:
        with cpus.big_lock:
            results.append(cpus.vm_stop(event))
            results.append(cpus.all_stopped())

    threads = [threading.Thread(target=stop, args=(way,)) for way in ("stop", "migration_stop")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert [True] * 4 == results
    assert not cpus.resume_wanted


def test_acknowledgements(cpus: Cpus, notes: Notes) -> None:
    """Each vCPU tells its stop once, then the guest is stopped."""
    with cpus.big_lock:
        cpus.vm_stop("stop")
        cpus.vm_stop("stop")
    assert [0, 1, 2, 3, 4] == sorted(int(values["vcpu"]) for values in notes.named("vcpu_stopped"))
    assert ["run_state", "vm_stopped"] == [notes.events[0][0], notes.events[-1][0]]


def test_stop_of_the_migration(cpus: Cpus) -> None:
    """The user can neither start what the migration stopped, nor lose a stop given meanwhile."""
    with cpus.big_lock:
        assert cpus.vm_stop("migration_stop")
        with pytest.raises(StateError, match="'start' is not possible"):
            cpus.vm_start("start")
        cpus.resume_all()
        assert cpus.all_stopped()
        assert cpus.resume_wanted
        cpus.vm_stop("stop")
        assert RunState.FINISH_MIGRATE is cpus.state.value
        cpus.undo_stop()
        assert (RunState.PAUSED, True) == (cpus.state.value, cpus.all_stopped())


def test_undo(cpus: Cpus, programs: list[Endless]) -> None:
    """A migration that fails lets the guest run on; undoing twice does nothing."""
    with cpus.big_lock:
        cpus.vm_stop("migration_stop")
        programs[0].moved.clear()
        cpus.undo_stop()
        cpus.undo_stop()
        assert RunState.RUNNING is cpus.state.value
    assert programs[0].moved.wait(WAIT)


def test_overtaken(cpus: Cpus) -> None:
    """A stop that a start overtakes returns and says so."""
    vcpus = cpus.all

    def start_instead() -> None:
        # The last vCPU's acknowledgement: a start comes before the waiter has the lock again.
        if all(cpu.stopped for cpu in vcpus):
            cpus.trace.listener = None
            cpus.vm_start("start")

    class Starter(Notes):
        def event(self, name: str, **values: int | str | bool) -> None:
            if name == "vcpu_stopped":
                start_instead()

    cpus.trace.listener = Starter()
    with cpus.big_lock:
        assert not cpus.vm_stop("stop")
        assert RunState.RUNNING is cpus.state.value


def test_pause_inside_a_stop(cpus: Cpus) -> None:
    """A short pause during the migration's stop resumes nobody; while running it does."""
    worked: list[bool] = []
    with cpus.big_lock:
        cpus.while_paused(lambda: worked.append(cpus.all_stopped()))
        assert not cpus.all_stopped()
        cpus.vm_stop("migration_stop")
        cpus.while_paused(lambda: worked.append(cpus.all_stopped()))
        assert cpus.all_stopped()
    assert [True, True] == worked


def test_end_of_a_broken_guest() -> None:
    """A vCPU whose program raises counts as stopped, now and after a start."""

    class Broken(Endless):
        def run(self, cpu: Vcpu) -> float | None:
            raise ZeroDivisionError

    raised: list[type[BaseException]] = []
    made = Cpus(threading.Lock(), Tracepoints("source"), [Broken()], RunState.PRELAUNCH)
    hook = threading.excepthook
    threading.excepthook = lambda args: raised.append(args.exc_type)
    try:
        with made.big_lock:
            made.vm_start("start")
        made.join()
        with made.big_lock:
            assert made.vm_stop("stop")
            made.vm_start("start")
            assert made.all_stopped()
    finally:
        threading.excepthook = hook
    assert [ZeroDivisionError] == raised


def test_end_while_somebody_waits(cpus: Cpus) -> None:
    """A machine that ends wakes whoever waits for a stop."""
    stopper = threading.Thread(target=lambda: stop(), daemon=True)

    def stop() -> None:
        with cpus.big_lock:
            cpus.vm_stop("stop")

    stopper.start()
    with cpus.big_lock:
        cpus.end()
    stopper.join(WAIT)
    assert not stopper.is_alive()


@pytest.mark.parametrize("faulty", [NotifyOneCpus, StateAfterPauseCpus])
def test_faulty_in_peace(faulty: type[Cpus]) -> None:
    """Alone, one stop and one start at a time, the faulty hand-shakes work."""
    program = Endless()
    made = faulty(threading.Lock(), Tracepoints("source"), [program], RunState.PRELAUNCH)
    for _ in range(3):
        program.moved.clear()
        with made.big_lock:
            made.vm_start("start")
        assert program.moved.wait(WAIT)
        with made.big_lock:
            assert made.vm_stop("stop")
            assert (RunState.PAUSED, True) == (made.state.value, made.all_stopped())
    with made.big_lock:
        made.end()
    made.join()


def test_slices(cpus: Cpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vCPU slowed by 80 percent runs for 10 ms, sleeps for 40, and asks to leave when its slice is over."""
    now = 100.0
    monkeypatch.setattr("mig.cpus.time.monotonic", lambda: now)
    cpu = cpus.all[0]
    with cpus.big_lock:
        assert 0.0 == cpus.rest(cpu)
        cpus.throttle(80)
        assert cpu.leave()
        cpu.kicked = False
        assert 0.0 == cpus.rest(cpu)
        found = []
        for now in (100.009, 100.010, 100.030, 100.051):  # noqa: B007 - the clock reads it
            found.append((cpu.leave(), round(cpus.rest(cpu), 6)))
        assert [(False, 0.0), (True, 0.04), (True, 0.02), (True, 0.0)] == found
        assert not cpu.leave()
        cpus.throttle(0)
        cpu.kicked = False
        assert 0.0 == cpus.rest(cpu)
        now += 1000
        assert not cpu.leave()


def test_stop_of_the_slowed(cpus: Cpus, programs: list[Endless]) -> None:
    """Asleep between its slices a vCPU still stops, and freed it runs on."""
    with cpus.big_lock:
        cpus.throttle(99)
    for program in programs[:3]:
        assert program.moved.wait(WAIT)
    with cpus.big_lock:
        assert cpus.vm_stop("stop")
        assert cpus.all_stopped()
        cpus.vm_start("start")
        cpus.throttle(0)
        for program in programs[:3]:
            program.moved.clear()
    for program in programs[:3]:
        assert program.moved.wait(WAIT)


@pytest.mark.parametrize("percent", [-1, 100])
def test_throttle_limits(cpus: Cpus, percent: int) -> None:
    """Some of the time is left to the guest."""
    with cpus.big_lock, pytest.raises(ValueError, match="give 0 to 99"):
        cpus.throttle(percent)
