"""The museum's kill matrix: every historic defect, and every way of looking for it.

    python -m bench.museum                     10 s a cell; goes on where it was stopped
    python -m bench.museum --seconds 3         a quick one
    python -m bench.museum --docs              docs/museum.md and docs/museum.svg from the journal
    python -m bench.museum --record A3 H8      their pieces of the corpus anew; without ids those that do not replay

A cell is a defect under the portfolio, under each strategy alone, under the lock-order graph alone (the declared order,
random schedules), under the race detector alone, on real threads, and under the engine's own property tests; and its
scenario without the defect, where whatever is found is a false alarm. All defects get the same command, settings and
budget; the scenario is the defect's own, and nothing else is told. Results go to a journal; what stands there for this
text of the program, the seed and the budget is not run again.

Exit code 0 if the portfolio found 95 % and named the class of 90 % of what it found, every replay was identical and the
whole engine was never blamed; else 1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import museum_page as page
from bench.museum_cells import COLUMNS, Cell, Job, digest, run
from stress.migration import defects, pieces
from traces.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

JOURNAL: Final = Path("stage3-out/museum.jsonl")
DATA: Final = Path("docs/museum.json")


class Journal:
    """Cells by job, in a file of one JSON object a line."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.cells: dict[Job, Cell] = {}
        if file.exists():
            for number, line in enumerate(file.read_text().splitlines(), 1):
                self._read(line, number)

    def _read(self, line: str, number: int) -> None:
        try:
            row = json.loads(line)
            self.cells[Job(**row["job"])] = Cell(**row["cell"])
        except (ValueError, TypeError, KeyError) as error:
            sys.exit(
                f"{self.file} line {number} is no cell ({error}); delete the line, or name another --journal"
            )

    def add(self, job: Job, cell: Cell) -> None:
        """Keep one cell."""
        self.cells[job] = cell
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as stream:
            stream.write(json.dumps({"job": asdict(job), "cell": asdict(cell)}) + "\n")

    def newest(self) -> page.Matrix:
        """By defect and column the cell that was added last."""
        matrix: dict[str, dict[str, Cell]] = {}
        for job, cell in self.cells.items():
            matrix.setdefault(job.defect, {})[job.column] = cell
        return {name: matrix.get(name, {}) for name in defects.load()}


def fill(jobs: Sequence[Job], journal: Journal, processes: int, limit: float) -> None:
    """Run what is missing, or as much of it as `limit` seconds allow."""
    missing = [job for job in jobs if job not in journal.cells]
    end = time.monotonic() + limit
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for at in range(0, len(missing), processes):
            if time.monotonic() > end:
                print(f"the limit of time is reached; {len(missing) - at:,} cells are missing")
                return
            batch = missing[at : at + processes]
            for job, cell in zip(batch, pool.map(run, batch), strict=True):
                journal.add(job, cell)
                print(f"{job.defect:5}{job.column:13}{_said(cell)}", flush=True)


def _said(cell: Cell) -> str:
    if not cell.found:
        return f"- in {cell.executions:,}"
    wrong = "" if cell.right else "  (another class)"
    return f"{cell.first:,} executions, {cell.first_s:.2f} s: {cell.cause}{wrong}"


def record(names: Sequence[str]) -> int:
    """Record pieces anew: those named, or those that do not replay; return how many could not be."""
    failed = 0
    for defect in defects.load().values():
        if names and not set(names) & set(defect.ids):
            continue
        if not names and _replays(defect):
            continue
        group, right = pieces.first(defect, pieces.hunt(defect, shrink=pieces.SHRINK_S))
        if group is None or not right:
            print(
                f"{defect.ids[0]}: not found, or as another class: {group and group.finding.message}"
            )
            failed += 1
        else:
            print(pieces.keep(defect, pieces.piece_of(defect, group)))
    return failed


def _replays(defect: defects.Defect) -> bool:
    try:
        piece = pieces.kept(defect)
    except InputError:
        return False
    return pieces.is_identical(piece, pieces.again(piece)[0])


def write(matrix: page.Matrix, seconds: float) -> None:
    """Write the data, the page and the picture."""
    rows = {
        name: {column: asdict(cell) for column, cell in row.items()} for name, row in matrix.items()
    }
    DATA.write_text(json.dumps({"seconds": seconds, "cells": rows}, indent=0) + "\n")
    draw()


def draw() -> None:
    """Draw the page and the picture from the data."""
    seconds, matrix = read(DATA)
    DATA.with_suffix(".md").write_text(page.markdown(matrix, seconds))
    DATA.with_suffix(".svg").write_text(page.heat_map(matrix))


def read(file: Path) -> tuple[float, page.Matrix]:
    """Read the data; return the seconds of a cell, and the cells."""
    data = json.loads(file.read_text())
    rows = {
        name: {column: Cell(**cell) for column, cell in row.items()}
        for name, row in data["cells"].items()
    }
    return data["seconds"], rows


def plan(names: Iterable[str], columns: Iterable[str], seed: int, seconds: float) -> list[Job]:
    """All cells, column by column, so that a limit of time costs the last ones."""
    digests = {name: digest(defects.find(name)) for name in names}
    return [
        Job(name, digests[name], column, seed, seconds) for column in columns for name in digests
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.museum", description=__doc__)
    parser.add_argument("defects", nargs="*", metavar="ID", help="default: all")
    parser.add_argument("--seconds", type=float, default=10.0, help="a cell (default 10)")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds for all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--column", action="append", choices=COLUMNS, help="default: all")
    parser.add_argument("--journal", type=Path, default=JOURNAL)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--docs", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Fill the matrix, or what else was asked for."""
    args = _arguments()
    os.environ.setdefault("PYTHONHASHSEED", "0")
    if args.record:
        return int(record(args.defects) > 0)
    names = [defects.find(name).ids[0] for name in args.defects] or list(defects.load())
    journal = Journal(args.journal)
    if not args.docs:
        fill(
            plan(names, args.column or COLUMNS, args.seed, args.seconds),
            journal,
            args.processes,
            args.limit,
        )
    matrix = {name: row for name, row in journal.newest().items() if name in names}
    if args.docs:
        write(matrix, args.seconds)
    totals = page.Totals.of(matrix)
    print("\n".join(totals.lines()))
    return int(not totals.as_promised)


if __name__ == "__main__":
    sys.exit(main())
