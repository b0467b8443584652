"""A process that competes for the CPU: `python -m stress.jobs.load PARENT SEED`.

Promises: ends with its parent. Busy for 1 to 50 ms and idle for up to 10, drawn from the seed: load that comes and goes
moves the moments at which the kernel takes a CPU away, load that stays only makes everything slower.
"""

from __future__ import annotations

import random
import sys
import time

from verify.supervise.worker import end_with_parent


def main(argv: list[str]) -> None:
    """Burn and rest, for ever."""
    end_with_parent(int(argv[1]))
    draw = random.Random(int(argv[2]))
    while True:
        until = time.monotonic() + draw.uniform(0.001, 0.05)
        while time.monotonic() < until:
            pass
        time.sleep(draw.uniform(0, 0.01))


if __name__ == "__main__":
    main(sys.argv)
