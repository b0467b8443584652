"""Real x86-64 machine code on the processor itself, through KVM.

Promises: the code works on the blocks' own bytes; `interrupt` ends a run at once, also one that is just
about to begin; the state between two runs is exact (`mig.vcpu.x86`).
Assumes: a `Vm` that has the blocks, closed after the vCPU's thread has ended; `interrupt` is called
with the big lock held, which a thread that leaves `run` takes before it can end.
Does not: serve devices; a guest that leaves for anything but the counting guest's port ends its vCPU
with a `GuestError`.

Stopping, by a flag and a signal:
1. the vCPU lowers the flag; 2. it looks whether it is asked to leave: no; 3. another thread asks, raises
the flag and sends the signal; 4. the vCPU enters, and leaves at once: the flag is up. Asked before 1, it
sees so at 2; asked after it has entered, the signal brings it back. The signal is blocked in the
vCPU's thread but inside the guest, so it needs no handler, disturbs nobody, and is taken out after.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

import numpy as np

from mig import kvm
from mig.ram import PAGE_SIZE, RamBlock
from mig.vcpu import x86
from mig.vcpu.counting import CODE, PORT, Quota

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mig.cpus import Vcpu

SIGNAL: Final = signal.SIGRTMIN + 5
"""Sent to a vCPU's thread to have it leave the guest."""


class KvmCpu:
    """A vCPU of `vm` that begins with `registers`; rip must lie below `end`."""

    def __init__(self, vm: kvm.Vm, registers: Mapping[str, int], quota: Quota, end: int) -> None:
        self._device = vm.vcpu()
        self._device.write({**x86.RESET, **registers})
        self._quota = quota
        self._end = end
        self._inside: int | None = None
        """The thread that executes `run`."""

    def registers(self) -> dict[str, int]:
        """Every register by its name; the vCPU must not run."""
        return self._device.read()

    def save(self) -> bytes:
        """The registers as the body of a device section."""
        return x86.pack("kvm", self.registers())

    def load(self, state: bytes) -> None:
        """Take over registers; raises `ValueError` for what cannot be a state."""
        try:
            self._device.write(x86.unpack("kvm", state, self._end))
        except OSError as error:
            raise ValueError(f"registers that KVM refuses ({error.strerror})") from None
        self._quota.forget()

    @property
    def counter(self) -> int:
        """Register rcx: the counting guest's stores."""
        return self._device.general()["rcx"]

    def interrupt(self) -> None:
        """End a run that is under way or about to begin; the big lock is held."""
        self._device.want_exit(wanted=True)
        if (thread := self._inside) is not None:
            signal.pthread_kill(thread, SIGNAL)

    def run(self, cpu: Vcpu) -> float | None:
        """Execute until asked to leave, or until nothing is due; see `mig.cpus.Program`."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
        self._device.unblock_in_guest()
        self._inside = threading.get_ident()
        try:
            return self._run(cpu)
        finally:
            self._inside = None

    def _run(self, cpu: Vcpu) -> float | None:
        device = self._device
        while True:
            device.want_exit(wanted=False)
            if cpu.leave():
                return 0.0
            values = device.general()
            due = self._quota.due(values["rcx"])
            if due == 0:
                return self._quota.idle()
            device.write_general({**values, "r9": due})
            self._handle(device.enter(), cpu.number)

    def _handle(self, reason: int, number: int) -> None:
        if reason == kvm.EXIT_INTR:
            while signal.sigtimedwait([SIGNAL], 0) is not None:
                pass
        elif reason == kvm.EXIT_IO and self._device.port() == PORT:
            self._device.finish_io()
        else:
            at = self._device.general()["rip"]
            said = kvm.EXITS.get(reason, "port access" if reason == kvm.EXIT_IO else "other")
            raise x86.GuestError(
                f"vcpu {number}: the guest left at {at:#x} for reason {reason} ({said}); give it code"
                " and memory that fit"
            )


def why_not() -> str | None:
    """Why there is no such guest here, in words; None when there is: tried with two stores."""
    block = RamBlock("self-test", 0, 32 * PAGE_SIZE)
    block.view[: len(CODE)] = CODE
    try:
        vm = kvm.Vm()
    except x86.GuestError as error:
        return str(error)
    try:
        kvm.write_tables(block)
        vm.map(block)
        device = vm.vcpu()
        vm.log(block, on=True)
        start = {"rdi": 20 * PAGE_SIZE, "rsi": 31 * PAGE_SIZE, "rbx": 20 * PAGE_SIZE, "r9": 2}
        device.write({**x86.RESET, **start})
        reason = device.enter()
        stored = [page for page in vm.take(block).tolist() if page]  # page 0, the code, was read
        held = np.flatnonzero(block.array[20 * PAGE_SIZE :: PAGE_SIZE]).tolist()
    except (x86.GuestError, OSError) as error:
        return str(error)
    finally:
        vm.close()
    if (reason, stored, held) != (kvm.EXIT_IO, [20, 21], [0, 1]):
        return (
            f"/dev/kvm runs a test guest wrongly (left for {reason}, stored to {held}, logged"
            f" {stored}); use another guest"
        )
    return None
