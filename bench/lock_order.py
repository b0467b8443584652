"""The eight cases of lock order, the engine's locks, and what collecting costs on real threads.

`python -m bench.lock_order [--cases] [--engine] [--cost]` (all three without options). Each real cycle has to be
confirmed by a schedule that replays, each silent one has to come with its reason: exit code 1 if one does not. For
the engine's designs the graph is printed with everything that breaks the declared order, the cycles, what the
executions ended in, and the state that no lock protects. Costs are processor time, the best of N rounds: plain,
recorded by the flight recorder, and with lock orders, in turn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager, nullcontext
from time import thread_time
from typing import TYPE_CHECKING

from mig import locks
from tests.verify import lock_order_cases as cases
from traces import token
from traces.lock_order import Status
from verify import Portfolio, _real
from verify.explore import replay
from verify.lock_order import live
from verify.lock_order.collect import collect
from verify.lock_order.confirm import steer_into_all
from verify.lock_order.findings import Order, findings, silent
from verify.lock_order.merge import merged
from verify.lock_order.text import lines
from verify.observe import install
from verify.program import load, of
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from verify.program import Program

EXECUTIONS = 100
DESIGNS = ("rfc_v1", "thread")
SCENARIOS = ("migration", "busy_migration", "destination_dies", "cancelled", "reset_meanwhile")
TIMES = 2000


def case(body: Callable[[], None], reason: str) -> bool:
    """Print one case; return whether it came out right."""
    program = of(body).at("sync")
    start = _real.perf_counter()
    graph = collect(program, Portfolio(1), executions=EXECUTIONS).graph
    found = findings(graph)
    quiet = silent(graph, found)
    if reason:
        right = not found and {cycle.reason for cycle in quiet} == {reason}
        said = "silent: " + "; ".join(f"{cycle.reason}: {cycle.detail}" for cycle in quiet)
    else:
        cycles = [each.cycle for each in found if each.cycle is not None]
        steered = steer_into_all(program, cycles)
        right = len(steered) == 1 and steered[0].outcome.status is Status.CONFIRMED
        said = "; ".join(f"{each.title}: {each.standing.value}" for each in found)
        for each in steered:
            code = each.outcome.token
            again = bool(code) and replay(program, token.decode(code))[0].identical
            right = right and again
            said = (
                f"{found[0].title}: {each.outcome.status.value} in directed execution {each.outcome.runs}, "
                f"{'replays' if again else 'does not replay'} ({code[:24]}...)"
            )
    seconds = _real.perf_counter() - start
    print(f"{'ok  ' if right else 'BAD '} {body.__name__:8} {seconds:5.2f} s  {said}")
    return right


def eight() -> bool:
    """Print the eight cases."""
    print(f"The eight cases, {EXECUTIONS} executions each (at most 200 directed ones for a cycle):")
    rows = [*((body, "") for body in cases.REAL), *cases.SILENT.items()]
    right = [case(body, reason) for body, reason in rows]
    print(f"{sum(right)} of {len(right)} right")
    return all(right)


def audited(program: Program, executions: int) -> Counter[str]:
    """Return the state that no lock protects, as the locking audit sees it."""
    out: Counter[str] = Counter()
    strategy = Portfolio(1)
    with Session(program) as session:
        for _ in range(executions):
            strategy.new_execution()
            outcome = session.run(strategy, program.detectors(), record_sites=True)
            out.update({f"{note.cause}: {note.message}" for note in outcome.notes})
    return out


def engine(executions: int) -> None:
    """Print graph and violations of both designs: the answer to "which locking issues have I missed?"."""
    order = Order(locks.ORDER, locks.LEAVES)
    for design in DESIGNS:
        print(f"\nDesign {design}: {', '.join(SCENARIOS)}, {executions} executions each")
        print(f"declared: {' > '.join(locks.ORDER)}; leaves: {', '.join(locks.LEAVES)}")
        graphs, endings = [], Counter[str]()
        for name in SCENARIOS:
            program = load(f"stress.migration.scenarios:{name}?design={design}")
            done = collect(program, Portfolio(1), executions=executions)
            graphs.append(done.graph)
            endings.update(
                {text: n for text, n in done.failures.items() if "lock" in text or "waits" in text}
            )
        graph = merged(graphs)
        found = findings(graph, order)
        for line in lines(graph, found, every=True):
            print(f"  {line}")
        print(
            "  executions that ended in a wait for a lock:"
            if endings
            else "  no execution ended in a wait for a lock"
        )
        for text, times in endings.most_common():
            print(f"    {times} x {text}")
        audit = Counter[str]()
        for name in ("locking", "locking_on_error"):
            audit += audited(load(f"stress.migration.scenarios:{name}?design={design}"), executions)
        print("  the locking audit:" if audit else "  the locking audit: nothing")
        for text in sorted(audit):
            print(f"    {text}")


def nested(depth: int) -> Callable[[], float]:
    """Return what measures one `with` block inside `depth` others, in ns."""

    def timed() -> float:
        outer = [threading.Lock() for _ in range(depth)]
        lock = threading.Lock()
        for each in outer:
            each.acquire()
        start = thread_time()
        for _ in range(TIMES):
            with lock:
                pass
        took = (thread_time() - start) / TIMES * 1e9
        for each in reversed(outer):
            each.release()
        return took

    return timed


def reentrant() -> float:
    """Measure one `with` block of an RLock."""
    lock = threading.RLock()
    start = thread_time()
    for _ in range(TIMES):
        with lock:
            pass
    return (thread_time() - start) / TIMES * 1e9


def making() -> float:
    """Measure making a lock."""
    start = thread_time()
    for _ in range(TIMES):
        threading.Lock()
    return (thread_time() - start) / TIMES * 1e9


ROWS = {
    "with lock, 0 held": nested(0),
    "with lock, 1 held": nested(1),
    "with lock, 2 held": nested(2),
    "with rlock, 0 held": reentrant,
    "making a lock": making,
}


@contextmanager
def ordered(directory: str) -> Iterator[None]:
    """Collect lock orders for the length of a `with` block."""
    live.begin()
    try:
        with install.observed(directory):
            yield
    finally:
        live.end()


def cost(rounds: int) -> None:
    """Print what collecting costs."""
    best: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as directory:
        ways: dict[str, Callable[[], AbstractContextManager[object]]] = {
            "plain": nullcontext,
            "recorded": lambda: install.observed(directory),
            "lock order": lambda: ordered(directory),
        }
        for _ in range(rounds):
            for way, within in ways.items():
                with within():
                    for name, timed in ROWS.items():
                        best[name, way] = min(best.get((name, way), 1e12), timed())
    print(f"\n{'ns, best of ' + str(rounds):22}" + "".join(f"{way:>12}" for way in ways))
    for name in ROWS:
        print(f"{name:22}" + "".join(f"{best[name, way]:12.0f}" for way in ways))


def main() -> int:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.lock_order")
    for name in ("cases", "engine", "cost"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--executions", type=int, default=40, help="of each scenario of the engine")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    every = not (options.cases or options.engine or options.cost)
    right = True
    if options.cases or every:
        right = eight()
    if options.engine or every:
        engine(options.executions)
    if options.cost or every:
        cost(options.rounds)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
