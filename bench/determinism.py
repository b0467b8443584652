"""Twenty programs, one schedule each: whether it is the same in every run, process and version of Python.

`python -m bench.determinism [--runs N] [--processes N] [--python PATH]...`. A random walk with a fixed
seed finds a schedule of each program of `tests.verify.programs20`; its token is replayed N times in
one process and once in each of N fresh ones (each with another hash seed), every step compared.
Then every interpreter records tokens of its own at granularity `sync`, and every other one replays
them; tokens recorded at `access` must be refused by another version. Exit code 1 if anything differs.

Other interpreters need greenlet and bytecode: those of the virtual environments `.venv-3.12` and
`.venv-3.13` in the checkout if they are there, or those given; for those missing it says what to type.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.verify.programs20 import PROGRAMS
from traces import token as tokens
from verify import RandomWalk, UsageError
from verify.explore import Replayer
from verify.program import of_code, refuse_other
from verify.record import Origin, Recorder, trace_of
from verify.session import Session
from verify.strategies import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from verify.program import Program

ROOT = Path(__file__).resolve().parent.parent
TRIES = 20
"""Executions of the random walk, of which the one with the most choices is kept."""
SYNC, ACCESS = "sync", "access+*"
REFUSED, REFUSALS = "refused: ", "refused"
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
BESIDES = ("3.11", "3.12", "3.13")

Lines = dict[str, str]
"""Program to token; or program to what differs, "" for nothing."""


def program(name: str) -> Program:
    """Return one of the twenty, with the one file it stands in as its scope."""
    body = next(body for body in PROGRAMS if body.__name__ == name)
    return of_code(body, f"{body.__module__}:{name}")


def names() -> list[str]:
    """Return the names of the twenty."""
    return [body.__name__ for body in PROGRAMS]


def record(name: str, granularity: str, seed: int) -> str:
    """Find one schedule of a program and return its token."""
    target = program(name).at(granularity)
    strategy, recorder = RandomWalk(seed), Recorder()
    with Session(target) as session:
        found = []
        for _ in range(TRIES):
            strategy.new_execution()
            found.append(session.run(strategy, target.detectors()))
        best = max(found, key=lambda outcome: len(outcome.choices))
        again = session.run(Replay(best.choices), [recorder, *target.detectors()])
    if again.finding is not None or again.abort is not None:
        raise SystemExit(f"{name} is not sound and repeatable: {again.finding or again.abort}")
    trace = trace_of(target, recorder, best.choices, None, Origin(strategy.name, seed))
    return tokens.encode(tokens.from_trace(trace))


def replay(name: str, line: str, times: int = 1) -> Counter[str]:
    """Replay a token; return how often each difference was seen, "" for none."""
    token = tokens.decode(line)
    target = program(name)
    try:
        refuse_other(target, token)
    except UsageError as error:
        return Counter({f"{REFUSED}{error}": times})
    target = target.at(token.granularity)
    replayer = Replayer(target, token)
    with Session(target) as session:
        return Counter(replayer.once(session).difference for _ in range(times))


def elsewhere(python: str, argument: str, lines: Mapping[str, str], seed: int = 0) -> Lines:
    """Run this module in a fresh process of `python`: `record` gives tokens, `replay` what differs."""
    done = subprocess.run(
        [python, "-m", "bench.determinism", f"--{argument}"],
        cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": str(seed)}, input=json.dumps(lines),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{python} could not {argument}:\n{done.stderr.strip()[-2000:]}")
    result: Lines = json.loads(done.stdout)
    return result


def fresh(lines: Mapping[str, str], processes: int) -> list[Lines]:
    """Replay every token once in each of `processes` fresh processes, as many at a time as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(
            pool.map(
                lambda seed: elsewhere(sys.executable, "replay", lines, seed),
                range(1, processes + 1),
            )
        )


@dataclass
class Tally:
    """What was compared, by column and program; and the first differences."""

    columns: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, column: str, name: str, differences: Mapping[str, int]) -> None:
        """Count replays of one program."""
        cells = self.columns.setdefault(column, {})
        same, of = cells.get(name, (0, 0))
        cells[name] = same + differences.get("", 0), of + sum(differences.values())
        self.wrong += [f"{name}, {column}: {text}" for text in differences if text]

    def lines(self) -> Iterator[str]:
        """Yield the table, what differs, and the total."""
        heads = sorted(self.columns, key=lambda head: head == REFUSALS)
        yield " ".join([f"{'':18}", *(f"{head:>13}" for head in heads)])
        for name in names():
            cells = (self.columns[head].get(name, (0, 0)) for head in heads)
            yield " ".join([f"{name:18}", *(f"{f'{same}/{of}':>13}" for same, of in cells)])
        yield from self.wrong
        if REFUSALS in self.columns:
            same, of = self.total(refusals=True)
            yield f"refused by another version at access: {same:,} of {of:,}"
        same, of = self.total()
        yield f"identical: {same:,} of {of:,}"

    def total(self, *, refusals: bool = False) -> tuple[int, int]:
        """Return how many replays were identical (or tokens refused), of how many."""
        columns = [cells for head, cells in self.columns.items() if (head == REFUSALS) == refusals]
        cells = [cell for column in columns for cell in column.values()]
        return sum(same for same, _ in cells), sum(of for _, of in cells)


def here(tally: Tally, lines: Mapping[str, str], runs: int, processes: int, title: str) -> None:
    """Replay in this process and in fresh ones."""
    for name, line in lines.items():
        tally.add(f"{title} here", name, replay(name, line, runs))
    for differences in fresh(lines, processes):
        for name in names():
            tally.add(f"{title} fresh", name, {differences[name]: 1})


def between(tally: Tally, pythons: Mapping[str, str]) -> None:
    """Let every version record, and every other one replay: the same at `sync`, refused at `access`."""
    for by, recorder in pythons.items():
        synced = elsewhere(recorder, "record", {})
        accessed = elsewhere(recorder, "record-accesses", {})
        for on, replayer in pythons.items():
            if on == by:
                continue
            for name, difference in elsewhere(replayer, "replay", synced).items():
                tally.add(f"{by}->{on}", name, {difference: 1})
            for name, answer in elsewhere(replayer, "replay", accessed).items():
                right = answer.startswith(REFUSED) and f"Python {by}, not {on}" in answer
                tally.add(REFUSALS, name, {"" if right else f"not refused by {on}: {answer}": 1})


def interpreters(given: list[str]) -> dict[str, str]:
    """Return version to interpreter, this one first; those that cannot be used are said."""
    found = {OWN: sys.executable}
    paths = given or [str(ROOT / f".venv-{version}/bin/python") for version in BESIDES]
    for path in paths:
        code = "import sys, greenlet, bytecode; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        except OSError as error:
            if given:
                print(f"{path} left out: {error.strerror}")
            continue
        if done.returncode:
            print(f"{path} left out: {done.stderr.strip().splitlines()[-1]}")
        else:
            found.setdefault(done.stdout.strip(), path)
    for version in BESIDES:
        if version not in found:
            venv = f".venv-{version}"
            known = shutil.which(f"python{version}") or "no such interpreter on PATH; with one:"
            print(
                f"Python {version} left out: {known} -m venv {venv} && "
                f"{venv}/bin/pip install greenlet bytecode, or give --python PATH"
            )
    return found


def answer(arguments: argparse.Namespace) -> bool:
    """Do what another process asks for; return False if none did."""
    if arguments.record or arguments.record_accesses:
        granularity = ACCESS if arguments.record_accesses else SYNC
        # Each version with a seed of its own: not the same schedule three times over.
        out = {name: record(name, granularity, sys.version_info.minor) for name in names()}
    elif arguments.replay:
        given: Lines = json.load(sys.stdin)
        out = {name: next(iter(replay(name, line))) for name, line in given.items()}
    else:
        return False
    print(json.dumps(out))
    return True


def main() -> int:
    """Compare everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.determinism")
    parser.add_argument("--runs", type=int, default=1000, help="replays in this process")
    parser.add_argument(
        "--processes", type=int, default=20, help="fresh processes, one replay each"
    )
    parser.add_argument("--python", action="append", default=[], metavar="PATH")
    for own in ("record", "record-accesses", "replay"):
        parser.add_argument(f"--{own}", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if answer(arguments):
        return 0
    pythons = interpreters(arguments.python)
    print(f"{arguments.runs} replays in one process and one in each of {arguments.processes}")
    print(f"fresh ones on Python {OWN}; between versions {', '.join(pythons)}\n", flush=True)
    tally = Tally()
    lines = {name: record(name, SYNC, 1) for name in names()}
    here(tally, lines, arguments.runs, arguments.processes, SYNC)
    between(tally, pythons)
    print("\n".join(tally.lines()))
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
