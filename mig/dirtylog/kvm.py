"""What KVM's vCPUs stored to, as a dirty log; what threads of this process store goes by the byte log.

Promises: the contract (`mig.dirtylog.contract`) for vCPUs of one `Vm` and for `store`, `increment` and
`mark`.
Assumes: the vCPUs and this log belong to the same `Vm`.
Does not: see stores to guest memory that nobody marks and no vCPU makes.

The kernel clears its bitmap and protects the pages in one call, and returns when no vCPU can store to
them unseen. A store made meanwhile is in the bitmap returned, and whoever reads after the harvest
sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mig.dirtylog.accessor import MARKED, ByteLog

if TYPE_CHECKING:
    from mig.dirtylog.contract import Harvest
    from mig.kvm import Vm
    from mig.ram import RamBlock
    from mig.tracepoints import Tracepoints


class KvmLog(ByteLog):
    """The log of one machine whose guest runs in `vm`."""

    def __init__(self, vm: Vm, trace: Tracepoints, *, born_dirty: bool = True) -> None:
        super().__init__(trace, born_dirty=born_dirty)
        self._vm = vm
        self._blocks: dict[str, RamBlock] = {}

    def add(self, block: RamBlock) -> None:
        """Give the block to the guest and log it from now on."""
        super().add(block)
        self._vm.map(block)
        self._blocks[block.name] = block
        if self.logging:
            self._vm.log(block, on=True)

    def remove(self, block: RamBlock) -> None:
        """Take the block from the guest and forget it."""
        super().remove(block)
        self._vm.unmap(block)
        self._blocks.pop(block.name, None)

    def start(self) -> None:
        """Begin to log stores."""
        if not self.logging:
            for block in self._blocks.values():
                self._vm.log(block, on=True)
        super().start()

    def stop(self) -> None:
        """Log no more; what is marked stays marked."""
        if self.logging:
            for block in self._blocks.values():
                self._fold(block)
                self._vm.log(block, on=False)
        super().stop()

    def _fold(self, block: RamBlock) -> None:
        """Set the byte of each page that a vCPU stored to: a mark like any other."""
        stored = self._vm.take(block)
        np.frombuffer(self._logs[block.name], dtype=np.uint8)[stored] = MARKED

    def harvest(self, block: RamBlock) -> Harvest:
        """Take all marks of `block` out of the log, the kernel's first."""
        if self.logging and block.name in self._blocks:
            self._fold(block)
        return super().harvest(block)
