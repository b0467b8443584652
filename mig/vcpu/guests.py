"""The counting guest by name: what a machine needs to run it, on either side of a migration.

Promises: `counting_guest` refuses in words what this machine cannot do, before anything is made;
`faults` holds memory and counts against the guest's rule; `close` gives up what the kernel keeps.
Assumes: both sides ask for the same guest; `prepare` is called at the source only, before its vCPUs
run: the destination gets code and page tables with the RAM.
Does not: know the deterministic guests of `mig.vcpu.soft`, which take any log.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from mig import kvm
from mig.dirtylog import ByteLog, pagemap
from mig.dirtylog.kvm import KvmLog
from mig.dirtylog.pagescan import PageScanLog
from mig.vcpu import counting
from mig.vcpu import kvm as kvm_cpu
from mig.vcpu import unicorn as unicorn_cpu
from mig.vcpu.counting import Part, Quota
from mig.vcpu.kvm import KvmCpu
from mig.vcpu.unicorn import UnicornCpu
from mig.vcpu.x86 import GuestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mig.dirtylog import MakeLog
    from mig.machine import Machine, MakeProgram

LOGS: Final[Mapping[str, tuple[str, ...]]] = {
    "soft": ("accessor", "pagescan"),
    "unicorn": ("pagescan", "accessor"),
    "kvm": ("kvm", "pagescan"),
}
"""Kinds of guests, and the dirty logs each can have, the best first."""
DIRTY_LOGS: Final = ("accessor", "pagescan", "kvm")


def log_for(kind: str, asked: str | None) -> str:
    """The dirty log of a guest of `kind`, checked to work here; the best that does when none is asked for.

    Raises `GuestError`.
    """
    if kind not in LOGS:
        raise GuestError(f"no guest {kind!r}; choose one of {', '.join(LOGS)}")
    possible = LOGS[kind]
    if asked is not None and asked not in possible:
        raise GuestError(
            f"guest {kind!r} cannot have the dirty log {asked!r}; choose {' or '.join(possible)}"
        )
    name = asked or possible[0]
    reason = pagemap.why_not() if name == "pagescan" else None
    if reason is None:
        return name
    if asked is None and "accessor" in possible:
        return "accessor"
    raise GuestError(reason)


def why_not(kind: str) -> str | None:
    """Why there is no guest of `kind` here, in words; None when there is."""
    match kind:
        case "kvm":
            return kvm_cpu.why_not()
        case "unicorn":
            return unicorn_cpu.why_not()
        case _:
            return None


def make_log(name: str, vm: kvm.Vm | None = None) -> MakeLog:
    """The maker of a dirty log by its name; `vm` for KVM's."""
    if name == "kvm":
        assert vm is not None, "KVM's log is a VM's"
        return partial(KvmLog, vm)
    return PageScanLog if name == "pagescan" else ByteLog


class CountingGuest:
    """The counting guest of one machine: `programs` and `log` are for `Machine`."""

    def __init__(
        self, kind: str, vcpus: int, rate: int | None, log: str, window: int | None
    ) -> None:
        self.kind = kind
        self.log_name = log
        self._window = window
        self._vm = kvm.Vm() if kind == "kvm" else None
        self.log: MakeLog = make_log(log, self._vm)
        self.programs: Sequence[MakeProgram] = [
            partial(self._program, vcpus=vcpus, rate=_share(rate, vcpus, number))
            for number in range(vcpus)
        ]

    def _part(self, machine: Machine, number: int, vcpus: int) -> Part:
        return Part.of(machine.ram.block_at(0), number, vcpus, self._window)

    def _program(
        self, machine: Machine, number: int, *, vcpus: int, rate: int | None
    ) -> UnicornCpu | KvmCpu:
        registers = self._part(machine, number, vcpus).registers()
        blocks = machine.ram.blocks()
        if self._vm is None:
            log = machine.log if self.log_name == "accessor" else None
            return UnicornCpu(blocks, registers, Quota(rate), log)
        for block in blocks:
            self._vm.map(block)
        return KvmCpu(self._vm, registers, Quota(rate), machine.ram.last_ram_offset())

    def prepare(self, machine: Machine) -> None:
        """Write code, page tables and the first bytes of the vCPUs' pages: before anything runs."""
        block = machine.ram.block_at(0)
        if self._vm is not None:
            kvm.write_tables(block)
        counting.load(block)
        vcpus = len(self.programs)
        for number in range(vcpus):
            values = self._part(machine, number, vcpus).bytes_of(block)
            if values.any():
                values[:] = 0

    def counts(self, machine: Machine) -> list[int]:
        """Stores each vCPU has made; they must not run."""
        programs = [cpu.program for cpu in machine.cpus.all]
        return [each.counter for each in programs if isinstance(each, UnicornCpu | KvmCpu)]

    def faults(self, machine: Machine) -> list[str]:
        """How memory breaks the guest's rule, a line a vCPU; empty where it keeps to it. They must not run."""
        block = machine.ram.block_at(0)
        counts = self.counts(machine)
        found = []
        for number, count in enumerate(counts):
            part = self._part(machine, number, len(counts))
            if (fault := counting.fault(part, block, count)) is not None:
                found.append(f"vcpu {number}: {fault}")
        return found

    def close(self) -> None:
        """Give up the VM; after the machine was closed, any number of times."""
        if self._vm is not None:
            self._vm.close()


def _share(rate: int | None, vcpus: int, number: int) -> int | None:
    return None if rate is None else rate // vcpus + (number < rate % vcpus)


def counting_guest(
    kind: str,
    vcpus: int,
    rate: int | None = None,
    *,
    log: str | None = None,
    window: int | None = None,
) -> CountingGuest:
    """The guest `kind` ("unicorn" or "kvm") with a dirty log by name, or the best there is.

    `rate` is the stores per second of all vCPUs together, None for as many as they can; `window` the
    pages they write to, None for all. Raises `GuestError`.
    """
    chosen = log_for(kind, log)
    if (reason := why_not(kind)) is not None:
        raise GuestError(reason)
    return CountingGuest(kind, vcpus, rate, chosen, window)
