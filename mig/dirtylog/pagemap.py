"""The kernel's page tables asked what was written and what is there: userfaultfd and PAGEMAP_SCAN.

Promises: `Tracking.take` returns the written pages of a range and write-protects them again in one
step of the kernel, so a store is either among them or is found by the next call; nothing in the
writer's way but a first write to each page after it, which the kernel serves by itself.
Assumes: Linux 6.7 or newer on x86-64, built with CONFIG_PTE_MARKER_UFFD_WP; ranges of whole pages
that stay mapped while they are tracked. The memory's own process tracks it; another one may read.
Does not: report pages that were never touched, nor need privileges.

Source: Linux Documentation/admin-guide/mm/pagemap.rst and userfaultfd.rst, include/uapi/linux/fs.h
(struct pm_scan_arg, struct page_region).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import pathlib
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from mig.dirtylog.contract import DirtyLogError
from mig.ram import PAGE_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SYS_USERFAULTFD: Final = 323
_UFFD_USER_MODE_ONLY: Final = 1
_UFFD_API: Final = 0xAA
_UFFDIO_API: Final = 0xC018AA3F
_UFFDIO_REGISTER: Final = 0xC020AA00
_UFFDIO_UNREGISTER: Final = 0x8010AA01
_REGISTER_WP: Final = 2
_FEATURES: Final = 1 | 1 << 12 | 1 << 15
"""PAGEFAULT_FLAG_WP, WP_HUGETLBFS_SHMEM, WP_ASYNC."""
_PAGEMAP_SCAN: Final = 0xC0606610
_SCAN_ARG: Final = struct.Struct("<12Q")
_WP_MATCHING: Final = 1
_CHECK_WPASYNC: Final = 2
_WRITTEN: Final = 2
_PRESENT: Final = 8
_SWAPPED: Final = 16
_REGIONS: Final = 512
"""Regions of one call; with more the kernel has been seen to return some twice."""
REMEDY: Final = "use the accessor's log, or Linux 6.7 or newer"
"""What the errors here advise."""


def pages_of(runs: NDArray[np.intp]) -> NDArray[np.intp]:
    """The numbers in `runs`, rows of [first, last), one after the other."""
    lengths = runs[:, 1] - runs[:, 0]
    total = int(lengths.sum())
    if not total:
        return np.empty(0, dtype=np.intp)
    before = np.cumsum(lengths) - lengths
    numbers: NDArray[np.intp] = np.arange(total, dtype=np.intp)
    numbers += np.repeat(runs[:, 0] - before, lengths)
    return numbers


class Pagemap:
    """The page tables of one process; `pid` None is this one."""

    def __init__(self, pid: int | None = None) -> None:
        path = pathlib.Path("/proc", "self" if pid is None else str(pid), "pagemap")
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DirtyLogError(f"{path} cannot be opened ({error.strerror}); {REMEDY}") from None
        self._regions = np.zeros((_REGIONS, 3), dtype=np.uint64)

    def _scan(self, start: int, end: int, flags: int, mask: int) -> NDArray[np.intp]:
        """Runs of pages [first, last) relative to `start` that are there and have `mask` set."""
        made = []
        vector = self._regions.ctypes.data
        at = start
        while at < end:
            argument = bytearray(
                _SCAN_ARG.pack(
                    _SCAN_ARG.size, flags, at, end, 0, vector, _REGIONS, 0, 0, mask,
                    _PRESENT | _SWAPPED, mask | _PRESENT | _SWAPPED,
                )
            )  # fmt: skip
            try:
                count = fcntl.ioctl(self._fd, _PAGEMAP_SCAN, argument, True)
            except OSError as error:
                raise DirtyLogError(
                    f"the kernel does not scan page tables ({error.strerror}); {REMEDY}"
                ) from None
            if count:
                made.append((self._regions[:count, :2] - np.uint64(start)) // np.uint64(PAGE_SIZE))
            at = _SCAN_ARG.unpack(argument)[4]
        if not made:
            return np.empty((0, 2), dtype=np.intp)
        return np.concatenate(made).astype(np.intp)

    def present(self, start: int, end: int) -> NDArray[np.intp]:
        """Runs of pages in the bytes [start, end) that were ever touched: rows of [first, last)."""
        return self._scan(start, end, 0, 0)

    def take(self, start: int, end: int) -> NDArray[np.intp]:
        """Runs of pages in [start, end) written since the last call; protected anew, atomically."""
        return self._scan(start, end, _WP_MATCHING | _CHECK_WPASYNC, _WRITTEN)

    def close(self) -> None:
        """Close it; any number of times."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Tracking:
    """A userfaultfd of this process whose write faults the kernel serves by itself."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_CLOEXEC | os.O_NONBLOCK | _UFFD_USER_MODE_ONLY
        self._fd = int(libc.syscall(_SYS_USERFAULTFD, flags))
        if self._fd < 0:
            reason = os.strerror(ctypes.get_errno())
            raise DirtyLogError(f"userfaultfd is not to be had ({reason}); {REMEDY}")
        try:
            fcntl.ioctl(self._fd, _UFFDIO_API, struct.pack("<3Q", _UFFD_API, _FEATURES, 0))
        except OSError as error:
            self.close()
            raise DirtyLogError(
                f"this kernel cannot write-protect without being asked ({error.strerror}); {REMEDY}"
            ) from None

    def register(self, start: int, end: int) -> None:
        """Track the bytes [start, end): what is there counts as written until it is taken."""
        try:
            fcntl.ioctl(
                self._fd, _UFFDIO_REGISTER, struct.pack("<4Q", start, end - start, _REGISTER_WP, 0)
            )
        except OSError as error:
            raise DirtyLogError(
                f"the memory at {start:#x} cannot be tracked ({error.strerror}); give anonymous"
                " memory or a memfd, mapped to its end"
            ) from None

    def unregister(self, start: int, end: int) -> None:
        """Track it no more; what is unmapped already is no error."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, _UFFDIO_UNREGISTER, struct.pack("<2Q", start, end - start))

    def close(self) -> None:
        """Track nothing any more; any number of times."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def why_not() -> str | None:
    """Why this machine cannot track writes this way, in words; None when it can: tried on one page."""
    with mmap.mmap(-1, 2 * PAGE_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        array = np.frombuffer(memory, dtype=np.uint8)
        start, end = int(array.ctypes.data), int(array.ctypes.data) + 2 * PAGE_SIZE
        try:
            with contextlib.ExitStack() as stack:
                stack.callback((tracking := Tracking()).close)
                stack.callback((pagemap := Pagemap()).close)
                array[0] = 1
                tracking.register(start, end)
                before = pagemap.take(start, end).tolist()
                array[PAGE_SIZE] = 1
                after = pagemap.take(start, end).tolist()
        except DirtyLogError as error:
            return str(error)
        finally:
            del array
    if (before, after) != ([[0, 1]], [[1, 2]]):
        return f"the kernel's account of a test page is {before}, {after}; {REMEDY}"
    return None
