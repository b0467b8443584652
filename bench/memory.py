"""What a long search keeps in memory: how much the process grows over many executions of one program.

`python -m bench.memory [--executions N]`. A random walk runs five philosophers N times in one session; the process is
looked at after the first thousand executions, when everything that is made once has been made, and at the end.
Exit code 1 if it grew by 10 MB or more.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench.exploration import philosophers
from verify import RandomWalk
from verify.program import of
from verify.session import Session

MOST_BYTES = 10_000_000
WARM = 1_000


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown(executions: int) -> int:
    """Run the program, and return by how many bytes the process grew after the first `WARM` executions."""
    program = of(philosophers)
    strategy, watching = RandomWalk(1), program.detectors()
    before = 0
    with Session(program) as session:
        for number in range(executions):
            if number == WARM:
                before = resident()
            strategy.new_execution()
            session.run(strategy, watching)
        return resident() - before


def main() -> None:
    """Print the growth."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory")
    parser.add_argument("--executions", type=int, default=200_000)
    executions: int = parser.parse_args().executions
    if executions <= WARM:
        parser.error(f"--executions {executions}: give more than {WARM:,}")
    bytes_more = grown(executions)
    print(
        f"{executions:,} executions of 5 philosophers: {bytes_more / 1000:+,.0f} kB (less than 10,000 kB)"
    )
    sys.exit(bytes_more >= MOST_BYTES)


if __name__ == "__main__":
    main()
