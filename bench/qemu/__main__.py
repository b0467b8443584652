"""Memory compared in every cell of content x coding x way x transport: `python -m bench.qemu`.

`--only WORD` (again and again) keeps the cells that have it. Exit code 0: identical everywhere; 1: a cell differs or
did not come about; 2: no QEMU.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from bench.qemu import cells, process
from bench.qemu.process import QemuError

if TYPE_CHECKING:
    from bench.qemu.cells import Cell, Outcome


def _line(outcome: Outcome) -> str:
    cell = outcome.cell
    return (
        f"{cell.way:13} {cell.content:8} {cell.coding:7} {cell.transport:5}"
        f" {outcome.pages:6} {outcome.differing:7} {outcome.syncs:6} {outcome.deltas:7}"
        f" {outcome.transferred:11} {outcome.seconds:6.2f}"
    )


def measure(chosen: list[Cell]) -> bool:
    """Run the cells and print a line each; whether memory was identical in all of them."""
    print("way           content  coding  by     pages  differ  syncs  deltas transferred      s")
    good = 0
    for cell in chosen:
        try:
            outcome = cells.run(cell)
        except QemuError as error:
            print(f"{cell.way:13} {cell.content:8} {cell.coding:7} {cell.transport:5} {error}")
        else:
            good += outcome.identical
            print(_line(outcome), flush=True)
    print(f"memory identical in {good} of {len(chosen)} cells")
    return good == len(chosen)


def main() -> None:
    """Choose cells and run them."""
    parser = argparse.ArgumentParser(prog="python -m bench.qemu")
    parser.add_argument("--only", action="append", default=[], metavar="WORD")
    words: list[str] = parser.parse_args().only
    chosen = [cell for cell in cells.cells() if all(word in cell for word in words)]
    if not chosen:
        parser.error(f"--only {' --only '.join(words)}: no cell has it; words are {cells.WORDS}")
    if not process.present():
        print(f"bench.qemu: no {process.NAME} on PATH; install the package qemu-system-x86")
        sys.exit(2)
    begin = time.monotonic()
    identical = measure(chosen)
    print(f"{time.monotonic() - begin:.0f} s")
    sys.exit(not identical)


if __name__ == "__main__":
    main()
