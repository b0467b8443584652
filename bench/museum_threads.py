"""A scenario on real threads, over and over: `python -m bench.museum_threads ID SECONDS FIXED`; a line a run."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Final

from stress.migration import exhibits

SWITCH_S: Final = 1e-5
"""Seconds between two switches of the interpreter: as much noise as it makes by itself."""


def main() -> None:
    """Run until a run fails or the time is over."""
    name, seconds, fixed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    sys.setswitchinterval(SWITCH_S)
    threading.excepthook = lambda told: failed(told.exc_value)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            exhibits.exhibit(name, fixed)
        except Exception as error:  # noqa: BLE001 - whatever ends a run is a find
            failed(error)
        print("ran", flush=True)


def failed(error: BaseException | None) -> None:
    """Say how a run failed, and leave: what it left behind cannot be cleaned up."""
    print(f"failed: {type(error).__name__}: {str(error)[:80]}".replace("\n", " "), flush=True)
    os._exit(1)


if __name__ == "__main__":
    main()
