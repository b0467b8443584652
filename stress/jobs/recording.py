"""The recorder in a worker of a stress job, and the delays that it puts at synchronisation operations.

Promises: a worker started with `environment` is recorded from its first line, and so is every Python process below it;
`begin` gives a run the delays of its seed alone, in threads and in child processes, whatever ran before it.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Final

from verify.observe import launch
from verify.observe.install import note
from verify.observe.noise import Noise as Delays
from verify.observe.recorder import enter, local, recorder

if TYPE_CHECKING:
    from pathlib import Path

    from stress.jobs.noise import Noise


BEGAN: Final = "run began (ns)"
"""The note that says when the last run began, on the recording's clock: what is older belongs to other runs."""


def environment(base: dict[str, str], flights: Path, slot: int) -> dict[str, str]:
    """Return the environment of the worker in place `slot`, with an empty directory for its flights."""
    place = flights / str(slot)
    shutil.rmtree(place, ignore_errors=True)  # what an earlier, killed worker left
    place.mkdir(parents=True, exist_ok=True)
    return launch.environment(place, base=base)


def begin(seed: int, noise: Noise, target: str) -> None:
    """Prepare the recorder of this process, if there is one, for a run."""
    if recorder.path is None:
        return
    note("seed", str(seed))
    note("target", target)
    note(BEGAN, str(time.monotonic_ns()))
    delays = Delays(seed, noise.delays, switch_interval_s=noise.switch_interval or None)
    if noise.delays or noise.switch_interval:
        os.environ[launch.NOISE] = delays.text()
    if noise.delays:
        if not hasattr(local, "me"):
            enter()
        recorder.noise = delays.of
        recorder.renew(local.me)
