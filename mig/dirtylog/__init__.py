"""Dirty logs: who finds out which pages of guest memory were stored to, under one contract.

`accessor` keeps a byte a page, set by whoever stores (`ByteLog`); `pagescan` asks the kernel's page
tables (`PageScanLog`), `kvm` the hypervisor (`mig.dirtylog.kvm`). `contract` says what they share.
"""

from __future__ import annotations

from mig.dirtylog.accessor import ByteLog
from mig.dirtylog.contract import DirtyLog, DirtyLogError, Harvest, MakeLog

__all__ = ["ByteLog", "DirtyLog", "DirtyLogError", "Harvest", "MakeLog"]
