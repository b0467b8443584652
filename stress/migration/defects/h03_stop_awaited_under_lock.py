"""H3. The stop is left to the iothread, and awaited with the big lock held.

Upstream: candidate for v1, where only the iothread stopped in place; aa723c2314 (2012) made it legal from any thread.
1. migration: schedules the stop, and waits for it, big lock held.
2. source iothread: wakes up, and waits for the big lock to run what was scheduled.
3. migration: waits for the iothread, the iothread for the lock.
Fix: whoever holds the big lock stops the guest itself, on a condition of that lock.
"""

from __future__ import annotations

import threading

from mig.designs.base import Steps
from stress.migration.defects.frame import Defect, Step


def stop_vm(self: Steps) -> bool:
    """Have the iothread stop the guest, and wait."""
    done = threading.Event()

    def stop() -> None:
        self.cpus.vm_stop("migration_stop")
        done.set()

    self.machine.mainloop.schedule(stop)
    done.wait()
    return True


DEFECT = Defect(
    __doc__,
    "stop_handshake",
    "deadlock",
    "big_lock",
    (Step(Steps, "stop_vm", stop_vm, "dff1b16a"),),
    arguments={"vcpus": 1},
    also=(("lost wake-up", "stop_vm"),),
)
