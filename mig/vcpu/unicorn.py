"""Real x86-64 machine code on the guest's own memory, executed by the Unicorn emulator.

Promises: the code works on the block's bytes themselves; a run looks every `SLICE` instructions (about
a millisecond) whether it has to leave; the state between two runs is exact (`mig.vcpu.x86`).
Assumes: the package `unicorn` (`pip install 'stage3[unicorn]'`); blocks that live as long as the
program; one thread at a time runs it.
Does not: paging, interrupts or devices; a guest that leaves its memory ends its vCPU with a
`GuestError`.

Stopping. `emu_stop` from another thread is not exact: Unicorn 2.1 obeys it after the store of an
instruction and before its end. 1. `inc byte [rbx]` stores; 2. another thread calls `emu_stop`; 3. the
run ends with rip at that same instruction, which stores again when the guest goes on. So the vCPU's
own thread stops, between two instructions: every `SLICE` of them, counted, and where a hook of the
guest's port calls `emu_stop` itself. Nothing can be lost between look and run either.

The accessor's log. Unicorn's hook comes *before* the store, where a mark may not be set:
1. the hook marks page p; 2. the migration thread harvests the mark, reads p; 3. the store is made:
nobody reads p again. So a page is marked by the hook of the *next* store, or when the run ends: its
own store has been made by then. A harvest in between does not find it; the last one, made when
every vCPU has stopped, does.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

from mig.ram import PAGE_SIZE
from mig.vcpu import x86

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unicorn import Uc

    from mig.cpus import Vcpu
    from mig.dirtylog import DirtyLog
    from mig.ram import RamBlock
    from mig.vcpu.counting import Quota

SLICE: Final = 20_000
"""Instructions after which a run ends by itself: counting costs half the speed, not the exactness."""
NOWHERE: Final = (1 << 63) - PAGE_SIZE
"""An address that is never reached: a run has no end of its own."""
_NAMES: Final = {"fcw": "FPCW", "fsw": "FPSW", "ftw": "FPTAG"}


def why_not() -> str | None:
    """Why there is no such guest here, in words; None when there is."""
    if importlib.util.find_spec("unicorn") is None:
        return "guest 'unicorn' needs the package unicorn; say: pip install 'stage3[unicorn]'"
    return None


class UnicornCpu:
    """A vCPU on `blocks`, mapped at their offsets, that begins with `registers`.

    With `log` every store is told to that log; None where it is found out otherwise.
    """

    def __init__(
        self,
        blocks: Sequence[RamBlock],
        registers: Mapping[str, int],
        quota: Quota,
        log: DirtyLog | None = None,
    ) -> None:
        if (reason := why_not()) is not None:
            raise x86.GuestError(reason)
        import unicorn  # noqa: PLC0415 - an extra
        from unicorn import x86_const  # noqa: PLC0415 - an extra

        self._error = unicorn.UcError
        self._ids = {name: _id(vars(x86_const), name) for name in x86.RESET}
        self._blocks = tuple(blocks)
        self._end = max(block.offset + block.used_length for block in blocks)
        self._quota = quota
        self._log = log
        self._pending: list[int] = []
        """Pages whose store is under way, to be marked once it was made."""
        self._uc: Uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        for block in blocks:
            at = int(block.array.ctypes.data)
            self._uc.mem_map_ptr(block.offset, block.used_length, unicorn.UC_PROT_ALL, at)
        out = x86_const.UC_X86_INS_OUT
        self._uc.hook_add(unicorn.UC_HOOK_INSN, self._on_out, None, 1, 0, out)
        if log is not None:
            self._uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._on_write)
        self._write({**x86.RESET, **registers})

    # --- registers -----------------------------------------------------------------------------

    def _write(self, values: Mapping[str, int]) -> None:
        for name, number in self._ids.items():
            value = values[name]
            wide = name.startswith("fp")
            self._uc.reg_write(number, (value & (1 << 64) - 1, value >> 64) if wide else value)

    def registers(self) -> dict[str, int]:
        """Every register by its name; the vCPU must not run."""
        values = {}
        for name, number in self._ids.items():
            value: int | tuple[int, int] = self._uc.reg_read(number)
            values[name] = value if isinstance(value, int) else value[0] | value[1] << 64
        values["rflags"] &= ~x86.IO_PRIVILEGE
        return values

    def save(self) -> bytes:
        """The registers as the body of a device section."""
        return x86.pack("unicorn", self.registers())

    def load(self, state: bytes) -> None:
        """Take over registers; raises `ValueError` for what cannot be a state."""
        self._write(x86.unpack("unicorn", state, self._end))
        self._quota.forget()

    @property
    def counter(self) -> int:
        """Register rcx: the counting guest's stores."""
        return self._reg("rcx")

    def _reg(self, name: str) -> int:
        value: int = self._uc.reg_read(self._ids[name])
        return value

    # --- running -------------------------------------------------------------------------------

    def run(self, cpu: Vcpu) -> float | None:
        """Execute until asked to leave, or until nothing is due; see `mig.cpus.Program`."""
        while not cpu.leave():
            due = self._quota.due(self.counter)
            if due == 0:
                return self._quota.idle()
            self._uc.reg_write(self._ids["r9"], due)
            self._execute(cpu)
        return 0.0

    def _execute(self, cpu: Vcpu) -> None:
        try:
            self._uc.emu_start(self._reg("rip"), NOWHERE, count=SLICE)
        except self._error as error:
            raise x86.GuestError(
                f"vcpu {cpu.number}: the guest's code fails at {self._reg('rip'):#x}: {error}; give"
                " it code and memory that fit"
            ) from None
        finally:
            self._mark_pending()

    def interrupt(self) -> None:
        """Nothing to do: a run looks by itself."""

    def _on_out(self, uc: Uc, _port: int, _size: int, _value: int, _data: object) -> None:
        uc.emu_stop()

    # --- the accessor's log --------------------------------------------------------------------

    def _on_write(
        self, _uc: Uc, _access: int, address: int, size: int, _value: int, _data: object
    ) -> None:
        self._mark_pending()
        self._pending += range(address // PAGE_SIZE, (address + size - 1) // PAGE_SIZE + 1)

    def _mark_pending(self) -> None:
        if self._log is None:
            return
        for page in self._pending:
            for block in self._blocks:
                if 0 <= page - block.first_page < block.pages:
                    self._log.mark(block, page - block.first_page)
        self._pending.clear()


def _id(constants: Mapping[str, object], name: str) -> int:
    number = constants[f"UC_X86_REG_{_NAMES.get(name, name.upper())}"]
    assert isinstance(number, int)
    return number
