"""The scenarios of the engine: every fault is found where it can show, and nothing on the corrected design."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mig import wire
from mig.bitmap import Bitmap
from mig.designs.thread import Thread
from mig.dirtylog import ByteLog
from mig.ram import PAGE_SIZE, RamBlock
from mig.ram_save import RamSave
from stress.migration import closed, scenarios, whole
from stress.migration.oracle import Account
from traces import token as tokens
from traces.certificate import Certificate
from verify import PCT, RandomWalk, UsageError, explore, load, replay
from verify.certificate.checking import Judgement, check
from verify.certificate.writing import Keeping, certificate_of
from verify.explore import Exploration, Verdict
from verify.strategies import DPOR

if TYPE_CHECKING:
    from mig.return_path import ReturnPath

FAULTS = [
    ("skip-setup-harvest", "harvest_against_write", "broken invariant", "dirty at sync"),
    ("skip-setup-harvest", "migration", "broken invariant", "dirty at sync"),
    (
        "drain-without-refill+close-under-big-lock+estimate-by-append",
        "busy_migration",
        "spin",
        "holding Machine.big_lock",
    ),
    ("close-under-big-lock", "channel_close", "deadlock", "migration -> peer -> migration"),
    ("ramlist-mutex-leak", "destination_dies", "self-deadlock", "RamList.mutex"),
    ("stop-by-bottom-half", "stop_handshake", "broken invariant", "guest stands still"),
    ("notify-one-stopper", "stop_handshake", "lost wake-up", "pause condition"),
    ("state-after-pause", "reset_meanwhile", "broken invariant", "guest stands still"),
    ("cancel-without-swap", "cancel_against_complete", "broken invariant", "one outcome"),
    ("walk-without-mutex", "hot_add_against_walk", "broken invariant", "no stale block"),
]

VARIANTS = (
    "migration?return_path=1",
    "migration?again=1&pause=1&return_path=1&pages=4",
    "held?return_path=1",
    "link_cut?late=1",
    "cancelled?return_path=1",
)
"""Scenarios with capabilities of the migration."""


def target(scenario: str, design: str) -> str:
    """Return the target of a scenario, whose name may already have arguments."""
    name, _, more = scenario.partition("?")
    return f"stress.migration.scenarios:{name}?design={design.replace('+', '%2B')}" + (
        f"&{more}" if more else ""
    )


def search(scenario: str, design: str, executions: int) -> Exploration:
    """Explore half the budget with each strategy and return the one that found something, or the last."""
    state = explore(load(target(scenario, design)), RandomWalk(1), executions=executions // 2)
    if state.groups:
        return state
    return explore(load(target(scenario, design)), PCT(1), executions=executions // 2)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "scenario", "cause", "words"), FAULTS)
def test_each_fault_is_found(fault: str, scenario: str, cause: str, words: str) -> None:
    """One fault of July 2012 in the otherwise corrected design is found under its cause class, and replays."""
    state = search(scenario, f"thread+{fault}", 600)

    hits = [
        g for g in state.groups.values() if g.finding.cause == cause and words in g.finding.message
    ]
    assert hits, [group.finding.message for group in state.groups.values()]
    again = replay(state.program, tokens.decode(hits[0].token), trace=hits[0].trace, times=5)
    assert [""] * 5 == [run.difference for run in again]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [RandomWalk, PCT])
@pytest.mark.parametrize("scenario", [*scenarios.CLOSED, *scenarios.WHOLE, *VARIANTS])
def test_corrected_design_is_not_blamed(scenario: str, strategy: type[RandomWalk | PCT]) -> None:
    """No schedule of design `thread` is reported, in any scenario."""
    state = explore(load(target(scenario, "thread")), strategy(2), executions=150)

    assert [] == [group.finding.message for group in state.groups.values()]
    assert [] == [note.finding.message for note in state.notes.values()]
    assert Verdict.NOT_FOUND == state.verdict


@pytest.mark.parametrize("scenario", scenarios.CLOSED)
def test_closed_scenarios_are_small(scenario: str) -> None:
    """A closed scenario has fewer than 100 steps in an ordinary execution."""
    state = explore(load(target(scenario, "thread")), RandomWalk(1, stay=1.0), executions=1)

    assert state.steps < 100


@pytest.mark.slow
def test_audit() -> None:
    """The audit names the write under the big lock of `rfc_v1`."""
    notes = explore(load(target("locking", "rfc_v1")), PCT(1), executions=60).notes.values()

    assert any(
        "Channel._write while holding Machine.big_lock" in note.finding.message for note in notes
    )


@pytest.mark.slow
def test_races() -> None:
    """Nothing orders the stop flag of the design as posted; the design as merged has no declared access unordered."""
    (group,) = explore(
        load(target("races", "rfc_v1")), PCT(1), executions=10, shrink=0
    ).groups.values()

    assert ("data race", ("stop_flag",)) == (group.finding.cause, group.finding.key)
    assert {} == explore(load(target("races", "thread")), PCT(1), executions=20).groups


@pytest.mark.slow
@pytest.mark.parametrize("name", ["locking", "locking_on_error"])
def test_audit_of_the_corrected_design(name: str) -> None:
    """The audit has nothing to say about `thread`."""
    assert {} == explore(load(target(name, "thread")), PCT(1), executions=60).notes


@pytest.mark.parametrize(
    "body", [whole.migration, whole.busy_migration, whole.tunnelled, whole.cancelled]
)
def test_same_code_on_real_threads(body: object) -> None:
    """Without a check a scenario is an ordinary threaded program that ends well."""
    assert callable(body)
    body()


def test_a_mark_during_a_harvest_counts_for_both() -> None:
    """A mark between a harvest's look and its clearing belongs to this sync and to the next one; no later one does."""
    account = Account()
    account.mark(0)
    account.harvest(0, 2)
    account.mark(1)
    account.clear(0, 1)
    account.mark(3)
    account.clear(0, 2)
    account.mark(0)

    assert ({0, 1}, {0, 1, 3}) == (account.before_harvest, account.since_harvest)


@pytest.mark.slow
def test_what_the_oracle_keeps_adds_no_scheduling_points() -> None:
    """At granularity auto the engine's own fields become points, and the listener's accounts do not."""
    program = load(target("stop_handshake?vcpus=1", "thread")).at("auto")

    assert "auto+Vcpu.kicked" == explore(program, RandomWalk(1), executions=20).granularity


def test_unknown_design_is_a_usage_error() -> None:
    """A design that does not exist stops the search with one sentence."""
    with pytest.raises(UsageError, match="unknown design 'nonsense'; choose"):
        explore(load(target("migration", "nonsense")), RandomWalk(1), executions=5)


def found(words: str, *, scenario: str = "migration", executions: int = 400) -> str:
    """Return the message of the first failure that has `words`, or all messages."""
    state = search(scenario, "thread", executions)
    messages = [group.finding.message for group in state.groups.values()]
    return next((message for message in messages if words in message), "; ".join(messages))


def mark_first(self: ByteLog, block: RamBlock, address: int, data: bytes) -> None:
    """Mark the page, then store to it: whoever harvests in between loses the store."""
    page = address // PAGE_SIZE
    self.mark(block, page)
    if self.trace.listener is not None:
        self.trace.listener.access(
            "guest_page", block.first_page + page, block.first_page + page + 1, True
        )
    block.view[address : address + len(data)] = data


@pytest.mark.slow
def test_the_oracle_sees_lost_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """With mark before store a page goes stale, and the memory comparison says which."""
    monkeypatch.setattr(ByteLog, "store", mark_first)

    assert found("memory equal", executions=800).startswith("memory equal: pages [")


@pytest.mark.slow
def test_a_source_that_resumes_without_knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the link breaks in the hand-over, a source that just runs on makes two of one guest."""

    def resume(self: Thread, listening: ReturnPath) -> bool:
        if not listening.await_end():
            self.migration.undo(OSError("gone"))
        return listening.shut == 0

    monkeypatch.setattr(Thread, "taken_over", resume)
    program = load(target("link_cut?late=1", "thread"))
    state = explore(program, RandomWalk(1), executions=60, shrink=0)
    (group,) = state.groups.values()

    assert "source both run the guest" in group.finding.message


def test_the_oracle_sees_a_drifting_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter that misses one page differs from the population as soon as the lock is free."""

    def careless(self: Bitmap, lo: int, hi: int) -> int:
        newly = honest(self, lo, hi)
        self.count -= 1
        return newly

    honest = Bitmap.set_run
    monkeypatch.setattr(Bitmap, "set_run", careless)

    assert found("bitmap counter") == "bitmap counter: it says 15, 16 bits are set"


@pytest.mark.slow
def test_the_oracle_sees_a_skipped_last_harvest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the harvest after the stop, pages marked late are not in the final dirty set."""

    def hasty(self: RamSave) -> list[bytes]:
        with self.ram.mutex:
            return self._walk(self.bitmap.pages, None, None) or [wire.ram_eos()]

    monkeypatch.setattr(RamSave, "complete", hasty)

    assert found("final dirty set").startswith("final dirty set: pages [")


@pytest.mark.slow
def test_the_oracle_sees_a_guest_on_two_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that runs on after handing over is caught."""

    def greedy(self: Thread) -> None:
        end(self)
        with self.big_lock:
            self.cpus.state.value = type(self.cpus.state.value).FINISH_MIGRATE
            self.cpus.undo_stop()

    end = Thread.end
    monkeypatch.setattr(Thread, "end", greedy)

    assert "one side runs" in found("one side runs")


def test_closed_scenarios_run_on_real_threads() -> None:
    """The closed scenarios are plain code, too."""
    closed.harvest_against_write()
    closed.channel_close()
    closed.stop_handshake()
    closed.cancel_against_complete()
    closed.hot_add_against_walk(changes=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hot_add_against_walk"])
def test_exhausted_with_a_certificate(name: str) -> None:
    """A closed scenario is exhausted at granularity auto, its certificate is valid, and not without an execution."""
    (each,) = [each for each in scenarios.EXHAUSTIBLE if each.name == name]
    program = load(each.target()).at("auto")
    strategy = Keeping(DPOR(0))
    state = explore(program, strategy, executions=2000)
    made = certificate_of(state, strategy)
    assert isinstance(made, Certificate), made

    assert "" == check(made, program).why
    short = replace(made, executions=made.executions[1:])
    assert Judgement.REJECTED is check(short, program).judgement
    faulty = explore(load(each.target(faulty=True)).at("auto"), DPOR(0), first_only=True)
    assert Verdict.FOUND is faulty.verdict
