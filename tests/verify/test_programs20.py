"""Twenty programs, one schedule each: replayed here, in a fresh process, and refused by another Python."""

from __future__ import annotations

import logging
import sys
import threading
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor, _base
from dataclasses import replace

import pytest

from bench import determinism
from traces import token as tokens
from verify import RandomWalk, UsageError, explore
from verify.explore import Verdict
from verify.program import of, refuse_other

each = pytest.mark.parametrize("name", determinism.names())
RUNS = 20


@pytest.fixture(scope="module")
def recorded() -> dict[str, str]:
    """Record a token of each program."""
    return {name: determinism.record(name, determinism.SYNC, 1) for name in determinism.names()}


def test_there_are_twenty() -> None:
    """The list is whole."""
    assert 20 == len(set(determinism.names()))


@each
def test_runs_are_identical(name: str, recorded: dict[str, str]) -> None:
    """Every replay makes the recorded steps."""
    assert {"": RUNS} == determinism.replay(name, recorded[name], RUNS)


@each
def test_recording_is_repeatable(name: str, recorded: dict[str, str]) -> None:
    """The same seed finds the same schedule with the same steps: the tokens are equal."""
    assert recorded[name] == determinism.record(name, determinism.SYNC, 1)


@pytest.mark.slow
def test_a_fresh_process_is_identical(recorded: dict[str, str]) -> None:
    """So do replays in a process with another hash seed."""
    differences = determinism.elsewhere(sys.executable, "replay", recorded, seed=7)

    assert dict.fromkeys(determinism.names(), "") == differences


def test_sync_tokens_belong_to_no_version(recorded: dict[str, str]) -> None:
    """At `sync` a token names no Python."""
    assert {""} == {tokens.decode(line).python for line in recorded.values()}


@pytest.mark.slow
def test_access_tokens_belong_to_one_version() -> None:
    """At `access` the token names its Python, is the same in a replay there, and another one refuses it."""
    line = determinism.record("early_imports", determinism.ACCESS, 1)
    token = tokens.decode(line)

    assert determinism.OWN == token.python
    assert {"": RUNS} == determinism.replay("early_imports", line, RUNS)
    with pytest.raises(UsageError, match=r"belongs to Python 3\.99"):
        refuse_other(determinism.program("early_imports"), replace(token, python="3.99"))


def test_order_of_making_is_the_order_in_sets() -> None:
    """Threads and futures have the order of their making in sets, pools their number, in every execution."""
    seen: list[tuple[bool, bool, list[str]]] = []

    def body() -> None:
        threads = [threading.Thread() for _ in range(20)]
        futures: list[Future[None]] = [Future() for _ in range(20)]
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
            titles = [p.submit(lambda: threading.current_thread().name) for p in (one, two)]
        names = [title.result() for title in titles]
        seen.append((list(set(threads)) == threads, list(set(futures)) == futures, names))

    explore(of(body), RandomWalk(1), executions=3)

    wanted = (True, True, ["ThreadPoolExecutor-0_0", "ThreadPoolExecutor-1_0"])
    assert [wanted] * 3 == seen


def test_hashes_and_ids_are_put_back() -> None:
    """After a check nothing is left of the stand-ins for what was inherited or built in."""
    explore(of(lambda: None), RandomWalk(1), executions=1)

    assert "__hash__" not in {**vars(threading.Thread), **vars(Future)}
    assert "id" not in vars(_base)


def test_a_pool_whose_initializer_fails_is_broken() -> None:
    """What the workers' loop does about it is CPython's, whatever the version."""

    def fail() -> None:
        raise ValueError

    def body() -> None:
        with ThreadPoolExecutor(1, initializer=fail) as pool:
            with pytest.raises(BrokenExecutor):
                pool.submit(int).result()
            with pytest.raises(BrokenExecutor):
                pool.submit(int)

    logging.getLogger("concurrent.futures").disabled = True
    try:
        state = explore(of(body), RandomWalk(1), executions=20)
    finally:
        logging.getLogger("concurrent.futures").disabled = False

    assert Verdict.NOT_FOUND == state.verdict


def test_a_difference_is_counted(recorded: dict[str, str]) -> None:
    """A token whose run ends otherwise is told as a difference, and the total says so."""
    token = tokens.decode(recorded["conditions"])
    wrong = tokens.encode(replace(token, final=bytes(8)))
    tally = determinism.Tally()
    tally.add("here", "conditions", determinism.replay("conditions", wrong))

    tally.add(determinism.REFUSALS, "conditions", {"": 2})
    assert (0, 1) == tally.total()
    assert (2, 2) == tally.total(refusals=True)
    assert "identical: 0 of 1" == list(tally.lines())[-1]
    assert "the digest of the run does not" in tally.wrong[0]
