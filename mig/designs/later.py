"""Faults of what was merged after July 2012, found and repaired later: one class, one replaced step, a fault.

Promises: each class is design `thread` with that one fault and the moment of the stop as merged
(`mig.designs.thread.Merged`), usable alone or added to others by `mig.designs.combine`.
Does not: belong to `mig.designs.rfc_v1`; nothing is known of these steps in the series as posted.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from mig.designs.thread import Merged, Thread
from mig.ram_save import RamSave
from mig.runstate import UNDECIDED, MigrationState

if TYPE_CHECKING:
    from collections.abc import Sequence


class CancelWithoutSwap(Merged):
    """A cancel looks at the state and then writes it, whatever it has become meanwhile.

    1. The monitor's cancel sees an active migration; 2. the migration thread commits and hands everything over, so
    that the destination runs; 3. the cancel writes its state, and the source runs on, too.
    Established: QEMU until f4410a5d99 (February 2013), which made every move of the state a compare-and-swap.
    """

    name = "thread+cancel-without-swap"

    def cancel_now(self) -> None:
        """Look, write, and make a blocked write return."""
        if self.state.value not in UNDECIDED:
            return
        with self.state.lock:
            self.state.value = MigrationState.CANCELLING
        self.migration.cancel_requested = True
        self.channel.abort(OSError(errno.ECANCELED, "the migration was cancelled"))
        self.migration.interrupt()


class UnlockedRamSave(RamSave):
    """A walk over the block list as it was once, whatever happens to it meanwhile."""

    def iterate(self) -> list[bytes]:
        """Body of a PART section, without the ramlist mutex."""
        if self.channel.error is not None:
            return []
        return self.portion()

    def portion(self) -> list[bytes]:
        """The walk, without a look at the list's version."""
        return self._walk(self.parameters.portion_pages, None, None)


class WalkWithoutMutex(Merged):
    """The walk neither takes the ramlist mutex nor looks at the version of the block list.

    1. The walk takes the next dirty pages of a block; 2. the block is unplugged; 3. the walk reads memory that is not
    the guest's any more, and sends it under the name of a block that the machine does not have.
    Established: the mutex and the version are there for a walk outside the big lock (QEMU b2a8658ef5, f798b07f51); this
    is such a walk without them.
    """

    name = "thread+walk-without-mutex"
    ram_save_class: ClassVar[type[RamSave]] = UnlockedRamSave


LATER: Final[Sequence[type[Thread]]] = (CancelWithoutSwap, WalkWithoutMutex)
"""Each fault alone."""
