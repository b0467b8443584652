"""The lock order of real threads: the traced locks as its source, whole processes, a pytest session."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from traces.lock_order import Graph, Mode
from verify.lock_order import live, store
from verify.lock_order.findings import Standing, findings, silent
from verify.lock_order.merge import across, merged
from verify.observe import install
from verify.sites import short

from . import lock_order_cases as cases
from .test_lock_order import graph_of
from .test_pytest_plugin import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Callable

    Body = Callable[[], None]

ROOT = Path(__file__).parents[2]


def observed(directory: Path, *bodies: Body) -> Graph:
    """Return the lock order of bodies on real threads, each a run."""
    graphs = []
    live.begin()
    try:
        with install.observed(directory):
            for body in bodies:
                body()
                graphs.append(live.end_run())
    finally:
        whole = live.end()
    assert merged(graphs).edges == whole.edges
    return whole


def reasons(graph: Graph) -> set[str]:
    return {cycle.reason for cycle in silent(graph, findings(graph))}


@pytest.mark.parametrize(
    ("body", "reason"), cases.SILENT.items(), ids=lambda each: str(getattr(each, "__name__", each))
)
def test_silent_cycles(body: Body, reason: str, tmp_path: Path) -> None:
    """What is no deadlock is silent with its reason, on real threads as under control."""
    graph = observed(tmp_path, body)

    assert ([], {reason}) == (findings(graph), reasons(graph))


@pytest.mark.parametrize("body", [cases.in_flags, cases.shelves, cases.keyed, cases.falling])
def test_as_under_control(body: Body, tmp_path: Path) -> None:
    """Classes, findings and reasons have the names that a check gives them, so that both go into one file."""
    real, controlled = observed(tmp_path, body), graph_of(body)

    assert set(controlled.classes) - {"Books.free"} == set(real.classes)
    assert [each.fingerprint for each in findings(controlled)] == [
        each.fingerprint for each in findings(real)
    ]
    assert reasons(controlled) == reasons(real)
    assert controlled.edges.keys() == real.edges.keys()


def test_halves_in_different_runs(tmp_path: Path) -> None:
    """Halves of a cycle in two runs of one process are found, though joins order them in it."""
    graph = observed(tmp_path, cases.only_ab, cases.only_ba)

    (cycle,) = across(graph)
    assert "different runs" == cycle.reason
    assert f"{short(cases.__file__)}:" in cycle.links[0].wanted_at


def test_insides_of_composed_objects_are_left_out(tmp_path: Path) -> None:
    """A queue's mutex and an event's condition are nobody's to take: they are no locks of the program's."""

    def body() -> None:
        lock = threading.Lock()
        jobs: queue.Queue[int] = queue.Queue()
        with lock:
            jobs.put(1)
            jobs.get()
            threading.Event().set()

    assert {} == observed(tmp_path, body).edges


def test_condition_gives_its_lock_back(tmp_path: Path) -> None:
    """While a thread waits for a notification it does not hold the lock, and takes it again as it had it."""

    def body() -> None:
        inner = threading.Lock()
        ready = threading.Condition()
        done = threading.Event()

        def wake() -> None:
            done.wait()
            with ready:
                ready.notify()

        thread = threading.Thread(target=wake)
        thread.start()
        with ready, ready:
            done.set()
            ready.wait()
            with inner:
                pass
        thread.join()

    modes = {key.mode for key in observed(tmp_path, body).edges}

    assert {Mode.WAITS} == modes


def test_a_wait_under_a_lock_is_noted(tmp_path: Path) -> None:
    """A wait for a notification while another lock is held, and what is held at every notification."""

    def body() -> None:
        outer = threading.Lock()
        ready = threading.Condition()
        began = threading.Event()

        def wait() -> None:
            with outer, ready:
                began.set()
                ready.wait()

        thread = threading.Thread(target=wait)
        thread.start()
        began.wait()
        with ready:
            ready.notify()
        thread.join()

    graph = observed(tmp_path, body)

    (wait,) = graph.waits.values()
    assert "outer" == graph.classes[wait.held].name
    assert [()] == [each.held for each in graph.notified.values()]
    assert [] == findings(graph)


def test_everything_is_put_back(tmp_path: Path) -> None:
    """After a collection `threading` is as before, and a second one starts from nothing."""
    before = [vars(threading.Thread)["start"], vars(threading.Condition)["wait"], threading.Lock]

    observed(tmp_path, cases.only_ab)
    second = observed(tmp_path, cases.only_ba)

    after = [vars(threading.Thread)["start"], vars(threading.Condition)["wait"], threading.Lock]
    assert before == after
    assert ["Pair.b"] == [second.classes[key.before].name for key in second.edges]


PROGRAM = """
import multiprocessing, threading
class Pair:
    def __init__(self):
        self.a = threading.Lock()
        self.b = threading.Lock()
    def forth(self):
        with self.a, self.b: pass
    def back(self):
        with self.b, self.a: pass
pair = Pair()
def child():
    thread = threading.Thread(target=pair.back)
    thread.start()
    thread.join()
thread = threading.Thread(target=pair.forth)
thread.start()
thread.join()
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
raise SystemExit(3)
"""


def python(*words: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=50, check=False, cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.slow
def test_watch(tmp_path: Path) -> None:
    """`stage3 watch --lock-order` merges all processes of a command into the file, and keeps its exit code."""
    program, file = tmp_path / "program.py", tmp_path / "order.json"
    program.write_text(PROGRAM)
    words = ["-m", "stress.cli", "watch", "--lock-order", str(file), "--"]

    done = python(*words, sys.executable, str(program), directory=tmp_path)

    assert 3 == done.returncode, done.stderr
    (found,) = findings(store.load(file))
    assert ({"Pair.a", "Pair.b"}, Standing.POTENTIAL) == (set(found.names), found.standing)


def test_watch_refuses(tmp_path: Path) -> None:
    """What cannot be recorded, or is no lock-order file, is refused before the command runs."""
    from stress.cli import main

    file = tmp_path / "order.json"
    file.write_text("{}")

    assert 2 == main(["watch", "--lock-order", str(file), "--", "true"])
    assert 2 == main(["watch", "--lock-order", "x.json", "--no-record", "--", "true"])


SUITE = """
import threading
class Pair:
    def __init__(self):
        self.a = threading.Lock()
        self.b = threading.Lock()
def run(first, second):
    def body():
        with first, second: pass
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
def test_forth():
    pair = Pair()
    run(pair.a, pair.b)
def test_back():
    pair = Pair()
    run(pair.b, pair.a)
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["-n2"], ["--stage3-hang-limit", "60"]])
def test_pytest_session(more: list[str], tmp_path: Path) -> None:
    """A session's tests are runs of their own, merged into the file, also by workers and beside a hang limit."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    plugins = [*PLUGIN, *(["-p", "stress.pytest_plugin"] if PLUGIN else [])]
    words = [
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        *plugins,
        "--stage3-lock-order",
        "order.json",
    ]

    done = python(*words, *more, directory=tmp_path)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "lock order: 1 finding in " in done.stdout
    (found,) = findings(store.load(tmp_path / "order.json"))
    assert {"Pair.a", "Pair.b"} == set(found.names)


def test_pytest_refuses_another_file(tmp_path: Path) -> None:
    """A file that is there and is something else is a usage error, and stays as it was."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "order.json").write_text("mine")

    done = python("-m", "pytest", *PLUGIN, "--stage3-lock-order", "order.json", directory=tmp_path)

    assert 4 == done.returncode
    assert "--stage3-lock-order: " in done.stderr
    assert "mine" == (tmp_path / "order.json").read_text()


@pytest.mark.slow
def test_runs_end_while_threads_go_on(tmp_path: Path) -> None:
    """Runs that end in the middle of what threads do lose no class, and no thread is disturbed."""
    over = threading.Event()
    wrong: list[BaseException] = []

    def work() -> None:
        signal = threading.Lock()
        pair = cases.Pair()
        try:
            while not over.is_set():
                pair.forth()
                signal.acquire()
                other = threading.Thread(target=signal.release)
                other.start()
                other.join()
        except BaseException as error:  # noqa: BLE001 - told below
            wrong.append(error)

    live.begin()
    try:
        with install.observed(tmp_path):
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            runs = [live.end_run() for _ in range(40)]
            over.set()
            for thread in threads:
                thread.join()
    finally:
        whole = live.end()

    assert [] == wrong
    assert 41 == whole.runs
    assert {"Pair.a", "Pair.b", "signal"} >= {
        each.name for run in runs for each in run.classes.values() if each.name
    }
    assert [] == findings(whole)
