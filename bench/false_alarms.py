"""False alarms: correct programs under every detector, 2,000 schedules each; none may be found.

`python -m bench.false_alarms [--executions N] [PROGRAM...]`. The programs are those of `bench.programs` that must
pass, the 22 of `bench.correct`, and CPython's own queue, condition and thread pool, stepped through (`bench.pure`). All
detectors watch, those on request too (`lockset` is left out: it notes breaches of a discipline, not faults).

Some programs synchronise by plain variables (Peterson's algorithm, a polled flag, the owner that CPython's reentrant
lock in Python reads before it has the lock). Those fields race by the definition of a race, and by design; the race
detector is told to ignore them, and a search of its own shows in the last column that it finds them. Exit code 1 if
anything else is found.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import correct, pure
from bench.programs import PROGRAMS, SOUND
from verify import registry
from verify.detectors import Atomicity, Leaks, Race, Starvation, Undrained
from verify.explore import Exploration, explore
from verify.program import of_code

if TYPE_CHECKING:
    from verify.program import Program

BY_DESIGN = {
    "spin_good": {"State.first"},
    "spin_noyield": {"State.first"},
    "peterson": {"State.a", "State.first", "State.second"},
    "bluetooth_fixed": {"State.first", "State.second", "State.third"},
    "work_steal_queue_fixed": {"StealQueue.head", "StealQueue.tail", "list.items[]"},
    "own_condition": {"_RLock._owner"},
    "own_pool": {"_RLock._owner"},
}
"""Fields by which the threads of a program synchronise, and which race for that reason."""


@dataclass(frozen=True)
class Case:
    """One program, and where it is from."""

    origin: str
    name: str
    program: Program

    @property
    def watched(self) -> Program:
        """The program under every detector, less what it does by design."""
        ignore = frozenset(BY_DESIGN.get(self.name, ()))
        own = self.program.detectors
        return replace(
            self.program,
            detectors=lambda: [
                Race(ignore=ignore), Atomicity(ignore=ignore), Starvation(), Leaks(), Undrained(), *own(),
            ],
        )  # fmt: skip

    def races(self, executions: int) -> str:
        """Return the fields that race by design, as far as they are found."""
        if self.name not in BY_DESIGN:
            return ""
        state = search(self.program.watched(["race"]), executions)
        found = {group.finding.key[0] for group in state.groups.values()}
        return ", ".join(sorted(found & BY_DESIGN[self.name]))


def cases() -> list[Case]:
    """Return all programs."""
    must_pass = [
        Case("must pass", entry.name, entry.program) for entry in PROGRAMS if entry.kind == SOUND
    ]
    own = [
        Case("correct", name, of_code(body, f"bench.correct:{name}").at("access"))
        for name, body in correct.PROGRAMS.items()
    ]
    return [
        *must_pass,
        *own,
        *(Case("library", name, pure.program_of(name)) for name in pure.PROGRAMS),
    ]


def search(program: Program, executions: int) -> Exploration:
    """Explore with the default strategy."""
    return explore(program, registry.make("portfolio", 1), executions=executions)


def told(state: Exploration) -> list[str]:
    """Return what an exploration found, noted or stopped at, a line each."""
    groups = [*state.groups.values(), *state.notes.values()]
    lines = [
        f"{group.finding.cause}: {group.finding.message} ({group.count:,})" for group in groups
    ]
    return [*lines, *([state.diverged] if state.diverged else []), *state.unmet]


def main() -> None:
    """Print a row a program, what was found, and the sum."""
    parser = argparse.ArgumentParser(prog="python -m bench.false_alarms")
    parser.add_argument("names", nargs="*", metavar="PROGRAM")
    parser.add_argument("--executions", type=int, default=2000)
    args = parser.parse_args()
    alarms = programs = runs = 0
    print(
        f"{'program':34} {'schedules':>9} {'steps':>10} {'seconds':>8} {'alarms':>7}  races by design"
    )
    for case in cases():
        if args.names and case.name not in args.names:
            continue
        state = search(case.watched, args.executions)
        lines = told(state)
        ended = " (all there are)" if state.exhausted else ""
        print(
            f"{case.origin + ': ' + case.name:34} {state.executions:>9,} {state.steps:>10,} {state.seconds:>8.1f} "
            f"{len(lines):>7}  {case.races(min(args.executions, 200))}{ended}",
            flush=True,
        )
        for line in lines:
            print(f"    {line}")
        alarms, programs, runs = alarms + len(lines), programs + 1, runs + state.executions
    print(f"{programs} programs, {runs:,} schedules, {alarms} false alarms")
    sys.exit(bool(alarms))


if __name__ == "__main__":
    main()
