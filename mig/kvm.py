"""The kernel's hypervisor through /dev/kvm, by ioctl: one VM, its memory slots, its vCPUs.

Promises: guest-physical memory is the RAM blocks' own bytes, each at its offset; `take` returns the
pages that vCPUs stored to since the last call and has them noticed anew; every descriptor is given
up by `Vm.close`. `why_not` tries a guest of one page and says in words what is missing.
Assumes: Linux on x86-64; whoever calls may open /dev/kvm.
Does not: interrupt controllers, devices, or anything in ring 0: vCPUs run flat 64-bit code in ring 3
on page tables that this module writes (`write_tables`).

Source: Linux Documentation/virt/kvm/api.rst, arch/x86/include/uapi/asm/kvm.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from mig.ram import PAGE_SIZE
from mig.vcpu.x86 import FLAGS_FIXED, GENERAL, IO_PRIVILEGE, RESET, GuestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from mig.ram import RamBlock

_DEVICE: Final = "/dev/kvm"
_API_VERSION: Final = 12
_GET_API_VERSION: Final = 0xAE00
_CREATE_VM: Final = 0xAE01
_GET_VCPU_MMAP_SIZE: Final = 0xAE04
_GET_SUPPORTED_CPUID: Final = 0xC008AE05
_CREATE_VCPU: Final = 0xAE41
_GET_DIRTY_LOG: Final = 0x4010AE42
_SET_USER_MEMORY_REGION: Final = 0x4020AE46
_SET_TSS_ADDR: Final = 0xAE47
_RUN: Final = 0xAE80
_GET_REGS: Final = 0x8090AE81
_SET_REGS: Final = 0x4090AE82
_GET_SREGS: Final = 0x8138AE83
_SET_SREGS: Final = 0x4138AE84
_SET_SIGNAL_MASK: Final = 0x4004AE8B
_SET_CPUID2: Final = 0x4008AE90
_GET_XSAVE: Final = 0x9000AEA4
_SET_XSAVE: Final = 0x5000AEA5

_LOG_DIRTY_PAGES: Final = 1
_TSS: Final = 0xFFFBD000
"""Guest-physical: three pages that Intel's hardware wants for itself, below 4 GiB."""
_CPUIDS: Final = 256
_SEGMENT: Final = struct.Struct("<QIH10B")
_SREGS_BYTES: Final = 312
_CONTROL_AT: Final = 8 * _SEGMENT.size + 2 * 16
_CONTROL: Final = struct.Struct("<7Q")
"""cr0, cr2, cr3, cr4, cr8, efer, apic base."""
_REGS: Final = struct.Struct("<18Q")
_XSAVE_BYTES: Final = 4096
_FX: Final = struct.Struct("<3H2x16xI")
"""Control, status and tag word, mxcsr: at the beginning of the area that XSAVE writes."""
_ST_AT: Final = 32
_XMM_AT: Final = 160
_XSTATE_AT: Final = 512
_X87_AND_SSE: Final = 3
_RESUME: Final = 1 << 16
"""A flag that says that an instruction is tried again; it matters to breakpoints only."""
_IMMEDIATE_EXIT_AT: Final = 1
_EXIT_REASON_AT: Final = 8
_IO_AT: Final = 32

EXIT_IO: Final = 2
EXIT_INTR: Final = 10
EXITS: Final = {0: "unknown", 5: "halt", 6: "access to what is no memory", 8: "triple fault", 9: "entry failed",
                17: "internal error"}  # fmt: skip
"""What other exits mean."""
TABLES_AT: Final = PAGE_SIZE
"""Where the page tables lie in guest memory: the top two, then one for each GiB."""
MAX_GIB: Final = 8
"""Most guest memory that the tables cover."""
TASK_AT: Final = TABLES_AT + (2 + MAX_GIB) * PAGE_SIZE
"""Where the task segment lies: a page of zeros but for where its map of ports begins, so all are free.

Some KVMs look there although the flags give ring 3 its ports.
"""
_PORT_MAP: Final = (0x66, 0x68)
"""Where a task segment says where its map of ports begins, and where that is."""


def _address(array: NDArray[np.uint8] | NDArray[np.uint32] | NDArray[np.uint64]) -> int:
    return int(array.ctypes.data)


def write_tables(block: RamBlock) -> None:
    """Write page tables and a task segment into the block at 0; raises `GuestError`.

    Every address is itself, for ring 3.
    Pages of 2 MiB, with the accessed and dirty bits set, so that nothing writes to the tables later.
    """
    gib = -(-block.used_length >> 30) or 1
    if block.offset != 0 or gib > MAX_GIB or block.used_length < TASK_AT + PAGE_SIZE:
        raise GuestError(
            f"RAM of {block.used_length} bytes at {block.offset:#x}; a KVM guest needs one block at"
            f" 0, from {TASK_AT + PAGE_SIZE} bytes to {MAX_GIB} GiB"
        )
    block.array[TABLES_AT : TASK_AT + PAGE_SIZE] = 0
    struct.pack_into("<H", block.view, TASK_AT + _PORT_MAP[0], _PORT_MAP[1])
    words = block.array.view(np.uint64)
    at = TABLES_AT // 8
    words[at] = TABLES_AT + PAGE_SIZE | 0x27  # present, writable, user, accessed
    for table in range(gib):
        words[at + 512 + table] = TABLES_AT + (2 + table) * PAGE_SIZE | 0x27
        lo = at + 1024 + 512 * table
        entries = np.arange(512, dtype=np.uint64) << np.uint64(21)
        words[lo : lo + 512] = entries + np.uint64(table << 30 | 0xE7)  # dirty, of 2 MiB


class Vm:
    """One virtual machine of the kernel's; raises `GuestError` where there is none to be had."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fds: list[int] = []
        self._slots: dict[str, int] = {}
        self._next_slot = 0
        self.vcpus: list[VcpuDevice] = []
        try:
            self._kvm = self._keep(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC))
            version = self.ioctl(self._kvm, _GET_API_VERSION)
            if version != _API_VERSION:
                self.close()
                raise GuestError(f"{_DEVICE} speaks version {version}, not {_API_VERSION}")
            self._vm = self._keep(self.ioctl(self._kvm, _CREATE_VM))
            self.ioctl(self._vm, _SET_TSS_ADDR, _TSS)
        except OSError as error:
            self.close()
            raise GuestError(
                f"{_DEVICE}: {error.strerror}; use another guest, or a machine with KVM and the"
                " right to use it"
            ) from None

    def _keep(self, descriptor: int) -> int:
        self._fds.append(descriptor)
        return descriptor

    def ioctl(self, descriptor: int, request: int, argument: int = 0) -> int:
        """The ioctl of libc with a number or an address; raises `OSError`. The GIL is released."""
        result = int(
            self._libc.ioctl(descriptor, ctypes.c_ulong(request), ctypes.c_ulong(argument))
        )
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    # --- memory --------------------------------------------------------------------------------

    def _set(self, block: RamBlock, *, flags: int = 0, length: int | None = None) -> None:
        size = block.used_length if length is None else length
        slot = self._slots[block.name]
        region = struct.pack("<IIQQQ", slot, flags, block.offset, size, _address(block.array))
        fcntl.ioctl(self._vm, _SET_USER_MEMORY_REGION, region)

    def map(self, block: RamBlock) -> None:
        """Give the guest a block; one it has already is left alone."""
        if block.name not in self._slots:
            self._slots[block.name] = self._next_slot
            self._next_slot += 1
            self._set(block)

    def unmap(self, block: RamBlock) -> None:
        """Take a block away; one it does not have is no error."""
        if block.name in self._slots:
            self._set(block, length=0)
            del self._slots[block.name]

    def log(self, block: RamBlock, *, on: bool) -> None:
        """Have the kernel note the pages that vCPUs store to, or not; none is noted when it begins."""
        self._set(block, flags=_LOG_DIRTY_PAGES if on else 0)

    def take(self, block: RamBlock) -> NDArray[np.intp]:
        """Pages stored to by vCPUs since `log` or the last call; ascending."""
        bits = np.zeros((block.pages + 63) // 64, dtype=np.uint64)
        argument = struct.pack("<IIQ", self._slots[block.name], 0, _address(bits))
        fcntl.ioctl(self._vm, _GET_DIRTY_LOG, argument)
        words = np.flatnonzero(bits)
        rows = np.unpackbits(bits[words].view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
        row, column = np.nonzero(rows)
        return words[row] * 64 + column

    # --- vCPUs ---------------------------------------------------------------------------------

    def vcpu(self) -> VcpuDevice:
        """One vCPU more, set up for flat 64-bit code in ring 3; raises `GuestError`."""
        try:
            descriptor = self._keep(self.ioctl(self._vm, _CREATE_VCPU, len(self.vcpus)))
            made = VcpuDevice(self, descriptor, self.ioctl(self._kvm, _GET_VCPU_MMAP_SIZE))
            identification = np.zeros(2 + 10 * _CPUIDS, dtype=np.uint32)
            identification[0] = _CPUIDS
            self.ioctl(self._kvm, _GET_SUPPORTED_CPUID, _address(identification))
            self.ioctl(descriptor, _SET_CPUID2, _address(identification))
            made.set_up()
        except OSError as error:
            raise GuestError(
                f"{_DEVICE} makes no vCPU ({error.strerror}); use another guest"
            ) from None
        self.vcpus.append(made)
        return made

    def close(self) -> None:
        """Give up everything; any number of times, when no vCPU runs."""
        for vcpu in self.vcpus:
            vcpu.page.close()
        self.vcpus.clear()
        while self._fds:
            os.close(self._fds.pop())


class VcpuDevice:
    """One vCPU of a `Vm`: enter it, read and write its registers."""

    def __init__(self, vm: Vm, descriptor: int, size: int) -> None:
        self._vm = vm
        self._fd = descriptor
        self.page = mmap.mmap(descriptor, size)

    def set_up(self) -> None:
        """Long mode, paging by `write_tables`, flat segments of ring 3, and the registers of a reset."""
        sregs = bytearray(_SREGS_BYTES)
        fcntl.ioctl(self._fd, _GET_SREGS, sregs, True)
        code = _SEGMENT.pack(0, 0xFFFFFFFF, 0x33, 11, 1, 3, 0, 1, 1, 1, 0, 0, 0)
        data = _SEGMENT.pack(0, 0xFFFFFFFF, 0x2B, 3, 1, 3, 1, 1, 0, 1, 0, 0, 0)
        task = _SEGMENT.pack(TASK_AT, PAGE_SIZE - 1, 0x40, 11, 1, 0, 0, 0, 0, 0, 0, 0, 0)
        sregs[: 7 * _SEGMENT.size] = code + 5 * data + task
        apic = _CONTROL.unpack_from(sregs, _CONTROL_AT)[6]
        # Protection and paging; physical address extension and SSE; long mode, no-execute, syscalls.
        _CONTROL.pack_into(sregs, _CONTROL_AT, 0x80050033, 0, TABLES_AT, 0x620, 0, 0xD01, apic)
        fcntl.ioctl(self._fd, _SET_SREGS, bytes(sregs))
        self.write(RESET)

    def unblock_in_guest(self) -> None:
        """No signal is blocked inside the guest: one that its thread blocks makes `enter` return."""
        fcntl.ioctl(self._fd, _SET_SIGNAL_MASK, struct.pack("<IQ", 8, 0))

    def want_exit(self, *, wanted: bool) -> None:
        """Whether the next `enter` returns at once."""
        self.page[_IMMEDIATE_EXIT_AT] = int(wanted)

    def enter(self) -> int:
        """Run the guest; why it left, `EXIT_INTR` for a signal or a wanted exit."""
        try:
            self._vm.ioctl(self._fd, _RUN)
        except InterruptedError:
            return EXIT_INTR
        reason: int = struct.unpack_from("<I", self.page, _EXIT_REASON_AT)[0]
        return reason

    def finish_io(self) -> None:
        """Have the instruction completed for which the guest left: its state is exact only then."""
        self.want_exit(wanted=True)
        self.enter()
        self.want_exit(wanted=False)

    def port(self) -> int:
        """The port that the guest wrote to."""
        number: int = struct.unpack_from("<BBH", self.page, _IO_AT)[2]
        return number

    def general(self) -> dict[str, int]:
        """General registers, rip and rflags."""
        raw = bytearray(_REGS.size)
        fcntl.ioctl(self._fd, _GET_REGS, raw, True)
        return dict(zip((*GENERAL, "rip", "rflags"), _REGS.unpack(raw), strict=True))

    def write_general(self, values: Mapping[str, int]) -> None:
        """Set general registers, rip and rflags."""
        words = [values[name] for name in (*GENERAL, "rip")]
        flags = values["rflags"] | FLAGS_FIXED | IO_PRIVILEGE
        fcntl.ioctl(self._fd, _SET_REGS, _REGS.pack(*words, flags))

    def read(self) -> dict[str, int]:
        """Every register by its name (`mig.vcpu.x86`)."""
        values = self.general()
        values["rflags"] &= ~(IO_PRIVILEGE | _RESUME)
        sregs = bytearray(_SREGS_BYTES)
        fcntl.ioctl(self._fd, _GET_SREGS, sregs, True)
        for name, at in (("fs_base", 3), ("gs_base", 4)):
            values[name] = _SEGMENT.unpack_from(sregs, at * _SEGMENT.size)[0]
        area = self._xsave()
        values["fcw"], values["fsw"], values["ftw"], values["mxcsr"] = _FX.unpack_from(area)
        for name, at, size in _wide():
            values[name] = int.from_bytes(area[at : at + size], "little")
        return values

    def _xsave(self) -> bytearray:
        area = bytearray(_XSAVE_BYTES)
        fcntl.ioctl(self._fd, _GET_XSAVE, area, True)
        return area

    def write(self, values: Mapping[str, int]) -> None:
        """Set every register; raises `OSError` for values that the processor cannot have."""
        self.write_general(values)
        sregs = bytearray(_SREGS_BYTES)
        fcntl.ioctl(self._fd, _GET_SREGS, sregs, True)
        for name, at in (("fs_base", 3), ("gs_base", 4)):
            struct.pack_into("<Q", sregs, at * _SEGMENT.size, values[name])
        fcntl.ioctl(self._fd, _SET_SREGS, bytes(sregs))
        area = self._xsave()
        _FX.pack_into(area, 0, *(values[name] for name in ("fcw", "fsw", "ftw", "mxcsr")))
        for name, at, size in _wide():
            area[at : at + size] = values[name].to_bytes(size, "little")
        area[_XSTATE_AT] |= _X87_AND_SSE
        fcntl.ioctl(self._fd, _SET_XSAVE, area, True)


def _wide() -> Iterator[tuple[str, int, int]]:
    """Name, place in the XSAVE area and bytes of each wide register."""
    for number in range(8):
        yield f"fp{number}", _ST_AT + 16 * number, 10
    for number in range(16):
        yield f"xmm{number}", _XMM_AT + 16 * number, 16
