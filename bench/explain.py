"""What shrinking and explaining make of every fault that a search finds in the programs of `bench.programs`.

    python -m bench.explain                 all programs, 5 seconds for each find; three minutes on a quiet core
    python -m bench.explain --seconds 2     as `stage3 explore` does by default
    python -m bench.explain --programs deadlock01 stringbuffer

A column each: preemptions as found and as shrunk (`*`: every schedule with fewer was run and none fails in this way),
the fewest that are known (of an abstract model of the same descriptions, all of whose interleavings were run), orders
and how many of them are necessary, the share of sampled schedules meeting them that fail, executions and seconds for
all of it. Exit code 1 where a known minimum was missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.programs import PROGRAMS, SOUND, Entry
from bench.programs.threads import State, together
from examples import bank
from verify import Portfolio, explore
from verify.builds import EVERY
from verify.explain.simplifying import Simplified, simplify
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.explore import Group


def lost_update() -> None:
    """Two threads add one each, without a lock."""
    state = State()

    def add() -> None:
        state.a += 1

    together(add, add)
    assert state.a == 2


def two_locks() -> None:
    """The README's example: two locks in opposite orders."""
    bank.transfer()


SMALLEST = (Entry("ab_ba", two_locks), Entry("lost_update", lost_update))
ALL = {entry.name: entry for entry in (*SMALLEST, *PROGRAMS) if entry.kind != SOUND}
KNOWN = {
    "ab_ba": 1,
    "lost_update": 1,
    "deadlock01": 1,
    "carter01": 1,
    "bluetooth_driver": 1,
    "twostage": 1,
    "account": 0,
    "lazy01": 0,
    "token_ring": 0,
    "stringbuffer": 2,
    "reorder_3": 1,
    "wronglock_3": 1,
    "philosophers_3": 1,
    "circular_buffer": 1,
}
"""The fewest preemptions with which each fails; `wronglock_3` is modelled with one thread less."""
HEAD = (
    f"{'program':18}{'cause':27}{'preemptions':>14}{'known':>7}{'orders':>8}{'necessary':>11}"
    f"{'failing':>9}{'executions':>12}{'seconds':>9}"
)


@dataclass(frozen=True)
class Row:
    """One fault: what was made of it, and in how many seconds."""

    name: str
    cause: str
    simple: Simplified
    seconds: float

    @property
    def missed(self) -> bool:
        """Whether fewer preemptions are known to do."""
        return self.simple.best.preemptions > KNOWN.get(self.name, self.simple.best.preemptions)

    def text(self) -> str:
        """Return the line of the table."""
        simple, why = self.simple, self.simple.explanation
        shrunk = f"{simple.found.preemptions} -> {simple.best.preemptions}"
        orders = necessary = failing = "-"
        if why is not None:
            orders = str(len(why.orders))
            necessary = f"{sum(order.necessary for order in why.orders)}/{len(why.orders)}"
            failing = f"{why.failing}/{why.sampled}"
        return (
            f"{self.name:18}{self.cause:27}{shrunk + ('*' if simple.fewest else ' '):>14}"
            f"{KNOWN.get(self.name, '?'):>7}{orders:>8}{necessary:>11}{failing:>9}{simple.executions:>12,}"
            f"{self.seconds:>9.2f}"
        )


def found(entry: Entry, seed: int, searching: float) -> Group | None:
    """Return the first failure that the portfolio finds."""
    state = explore(
        entry.program, Portfolio(seed), executions=10_000, seconds=searching, first_only=True
    )
    return next(iter(state.groups.values()), None)


def simplified(entry: Entry, group: Group, seconds: float) -> Row | None:
    """Shrink and explain one failure."""
    stock = group.build == EVERY and "+" in group.granularity
    with (
        Session(entry.program) as session,
        session.at(group.granularity, labelling=stock),
    ):
        start = time.perf_counter()
        simple = simplify(session, group.finding, group.choices, seconds=seconds, stock=stock)
        taken = time.perf_counter() - start
    return None if simple is None else Row(entry.name, group.finding.cause, simple, taken)


def summary(rows: Sequence[Row]) -> list[str]:
    """Return what the table comes to."""
    known = [row for row in rows if row.name in KNOWN]
    orders = [order for row in rows if row.simple.explanation for order in row.simple.explanation.orders]  # fmt: skip
    explained = [row.simple.explanation for row in rows if row.simple.explanation]
    seconds = sorted(row.seconds for row in rows)
    at_95 = seconds[max(0, -(-95 * len(seconds) // 100) - 1)]
    sampled, failing = (
        sum(getattr(why, name) for why in explained) for name in ("sampled", "failing")
    )
    middle = statistics.median(len(why.orders) for why in explained) if explained else 0
    reached = sum(not row.missed for row in known)
    fewest = sum(row.simple.fewest for row in rows)
    necessary = sum(order.necessary for order in orders)
    return [
        f"preemptions: {reached} of {len(known)} known minima reached; {fewest} of {len(rows)} shown to be the fewest",
        f"explained: {len(explained)} of {len(rows)}, with {middle:g} orders in the median",
        f"orders: {necessary} of {len(orders)} necessary; {failing} of {sampled} sampled schedules that meet them fail",
        f"seconds for one find: median {statistics.median(seconds):.2f}, p95 {at_95:.2f}",
    ]


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(prog="python -m bench.explain")
    parser.add_argument("--programs", nargs="+", choices=sorted(ALL), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each find")
    parser.add_argument("--search", type=float, default=5.0, help="seconds to find one")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Print the table; return 1 where a known minimum was missed."""
    args = parse(given)
    print(HEAD)
    rows: list[Row] = []
    left_out: list[str] = []
    for name in args.programs or ALL:
        entry = ALL[name]
        group = found(entry, args.seed, args.search)
        row = None if group is None else simplified(entry, group, args.seconds)
        if row is None:
            left_out.append(name)
        else:
            rows.append(row)
            print(row.text(), flush=True)
    if rows:
        print("\n" + "\n".join(summary(rows)))
    if left_out:
        print(f"not found within {args.search:g} s: {', '.join(left_out)}")
    return 1 if any(row.missed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
