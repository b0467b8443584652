"""Targets of the tests of stress jobs: what each does follows from its seed."""

from __future__ import annotations

import ctypes
import os
import random
import threading
import time

import pytest

FOR_EVER = 3600
seed = int(os.environ.get("STAGE3_SEED", "0"))


def seed_now() -> int:
    return int(os.environ["STAGE3_SEED"])


def passes() -> None:
    print("nothing to see")


def draws_its_seed() -> None:
    assert random.random() == random.Random(seed_now()).random()


def third_fails() -> None:
    print("to out", seed_now())
    if seed_now() % 3 == 2:
        raise ValueError("a third")


def thread_fails() -> None:
    thread = threading.Thread(target=int, args=("x",), name="worker bee")
    thread.start()


def late_failure() -> None:
    def later() -> None:
        time.sleep(0.05)
        raise KeyError("late")

    threading.Thread(target=later).start()


def leaves_a_daemon() -> None:
    threading.Thread(target=time.sleep, args=(FOR_EVER,), name="idle hands", daemon=True).start()


def exits() -> None:
    raise SystemExit(3)


def exits_well() -> None:
    raise SystemExit(0)


def all_sorts() -> None:
    what = seed_now()
    if what == 1:
        ctypes.string_at(0)
    if what == 2:
        os._exit(7)
    if what == 3:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
    if what == 4:
        raise ValueError("four <b>&")


def dawdles() -> None:
    time.sleep(FOR_EVER)


def same_delays() -> None:
    from verify.observe import launch, noise
    from verify.observe.recorder import local, recorder

    assert noise.Noise(seed_now(), 0.5).text() == os.environ[launch.NOISE]
    paths = []
    thread = threading.Thread(target=lambda: paths.append(local.me.path))
    thread.start()
    thread.join()
    assert (["main/1"], True) == (paths, recorder.noise is not None)


def takes(argument: int) -> None:
    assert argument


def pinned() -> None:
    assert 1 == len(os.sched_getaffinity(0))


class TestNode:
    """Run by pytest inside a worker; not collected here, for the file's name."""

    @pytest.fixture
    def fresh(self) -> list[int]:
        """See the class."""
        return []

    def test_fresh(self, fresh: list[int]) -> None:
        """See the class."""
        fresh.append(1)
        assert [1] == fresh

    def test_odd_seeds(self) -> None:
        """See the class."""
        assert 0 == seed_now() % 2

    def test_skips(self) -> None:
        """See the class."""
        pytest.skip("not today")
