"""The engine's closed scenarios exhausted, their certificates checked; and who finds what in the design of July 2012.

    python -m bench.closed          both tables; the second takes `--seconds` (180) for all algorithms together

The first table: each closed scenario of design `thread`, at granularity auto, by DPOR: executions, classes, seconds;
what the checker of certificates came to; and the first execution of the same search that finds the faulty twin's fault.
The second: one whole scenario of `rfc_v1`, the same time for each algorithm: the execution that first shows each fault.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stress import cli as _all_of_it  # noqa: F401 - what is imported belongs to a program's text: as for the command
from stress import hunt
from stress.migration.scenarios import EXHAUSTIBLE, Exhaustible
from verify import program as programs
from verify.certificate.checking import Judgement, check
from verify.certificate.writing import Keeping, certificate_of
from verify.explore import Verdict, explore
from verify.strategies import STRATEGIES

if TYPE_CHECKING:
    from verify.explore import Group

MOST = 20_000
WHOLE = "migration"
ALGORITHMS = ("random", "pct", "pos", "urw", "surw", "reads_from", "dfs", "dpor", "portfolio")


@dataclass(frozen=True)
class Row:
    """What came of one closed scenario; `wrong` says what did not come out as promised."""

    name: str
    executions: int
    classes: int
    seconds: float
    checked: str
    races: int
    check_s: float
    twin: str
    wrong: str

    def __str__(self) -> str:
        return (
            f"{self.name:24}{self.executions:>11,}{self.classes:>9,}{self.seconds:>8.1f}  {self.checked:8}"
            f"{self.races:>7,}{self.check_s:>8.1f}  {self.twin}"
        )


def closed(each: Exhaustible, seed: int) -> Row:
    """Exhaust one scenario, check the certificate, and look for the twin's fault."""
    program = programs.load(each.target()).at("auto")
    strategy = Keeping(STRATEGIES["dpor"](seed))
    state = explore(program, strategy, executions=MOST)
    made = certificate_of(state, strategy)
    if isinstance(made, str):
        return Row(each.name, state.executions, 0, state.seconds, "none", 0, 0.0, "", made)
    begin = time.monotonic()
    checked = check(made, program)
    took = time.monotonic() - begin
    twin, found = faulty(each, seed)
    wrong = checked.why or ("" if found else f"{each.fault} was not found")
    return Row(
        each.name,
        state.executions,
        made.classes or 0,
        state.seconds,
        "valid" if checked.judgement is Judgement.VALID else str(checked.judgement),
        checked.races,
        took,
        twin,
        wrong,
    )


def faulty(each: Exhaustible, seed: int) -> tuple[str, bool]:
    """Search the faulty twin for its first failure; return what was found, and whether anything was."""
    program = programs.load(each.target(faulty=True)).at("auto")
    state = explore(program, STRATEGIES["dpor"](seed), executions=MOST, first_only=True, shrink=0)
    if state.verdict is not Verdict.FOUND:
        return str(state.verdict), False
    (group,) = state.groups.values()
    return f"{group.first:,} {each.fault}: {group.finding.message[:60]}", True


def first_finds(seconds: float, seed: int) -> list[tuple[str, int, dict[str, int]]]:
    """Return, of each algorithm, its executions and the one that first showed each fault, by its name."""
    program = programs.load(hunt.target(WHOLE, "rfc_v1"))
    rows = []
    for name in ALGORITHMS:
        state = explore(
            program,
            STRATEGIES[name](seed),
            executions=None,
            seconds=seconds / len(ALGORITHMS),
            confirming=False,
        )
        firsts: dict[str, int] = {}
        for group in state.groups.values():
            fault = known(group)
            firsts[fault] = min(group.first, firsts.get(fault, group.first))
        rows.append((name, state.executions, firsts))
    return rows


def known(group: Group) -> str:
    """Return the name of the fault that a group of failures is."""
    finding = group.finding
    for each in hunt.KNOWN:
        if each.cause == finding.cause and any(
            each.word in part for part in (*finding.key, finding.message)
        ):
            return each.name
    return f"{finding.cause}: {finding.message.partition(':')[0]}"


def main() -> int:
    """Print both tables; exit code 1 if a scenario was not exhausted with a valid certificate, or a fault not found."""
    parser = argparse.ArgumentParser(prog="python -m bench.closed", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=float, default=180.0, help="for the second table; 0: leave it out"
    )
    args = parser.parse_args()
    print(
        "closed scenarios of design `thread`, exhausted at granularity auto by dpor; and their faulty twins"
    )
    print(
        f"{'scenario':24}{'executions':>11}{'classes':>9}{'s':>8}  {'checked':8}{'races':>7}{'s':>8}  "
        "first execution that finds the twin's fault"
    )
    wrong = []
    for each in EXHAUSTIBLE:
        row = closed(each, args.seed)
        print(row, flush=True)
        wrong += [f"{row.name}: {row.wrong}"] if row.wrong else []
    for line in wrong:
        print(f"not as promised: {line}")
    if args.seconds > 0:
        share = args.seconds / len(ALGORITHMS)
        print(
            f"\n{WHOLE} of `rfc_v1`, {share:.0f} s for each algorithm: the execution that first shows a fault"
        )
        for name, executions, firsts in first_finds(args.seconds, args.seed):
            said = "; ".join(f"{fault} at {first:,}" for fault, first in sorted(firsts.items()))
            print(f"{name:12}{executions:>7,} executions  {said or '-'}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
