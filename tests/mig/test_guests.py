"""Guests of real machine code: what they compute, how they stop, and that they go on elsewhere."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mig import kvm
from mig.dirtylog.kvm import KvmLog
from mig.incoming import Incoming, State
from mig.machine import Machine
from mig.parameters import Parameters
from mig.ram import PAGE_SIZE, RamBlock
from mig.tracepoints import Tracepoints
from mig.vcpu import counting, x86
from mig.vcpu.counting import Part, Quota
from mig.vcpu.guests import CountingGuest, counting_guest, log_for, why_not
from mig.vcpu.kvm import KvmCpu
from mig.vcpu.unicorn import SLICE, UnicornCpu
from tests.mig.machines import WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = 300
REASONS = {kind: why_not(kind) for kind in ("unicorn", "kvm")}
KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(reason is not None, reason=str(reason)))
    for kind, reason in REASONS.items()
]
LOGS = [
    pytest.param(
        kind, log, marks=pytest.mark.skipif(REASONS[kind] is not None, reason=str(REASONS[kind]))
    )
    for kind, log in (("unicorn", "pagescan"), ("unicorn", "accessor"), ("kvm", "kvm"), ("kvm", "pagescan"))
]  # fmt: skip
on_kvm = pytest.mark.skipif(REASONS["kvm"] is not None, reason=str(REASONS["kvm"]))


@contextlib.contextmanager
def made(guest: CountingGuest, role: str = "source") -> Iterator[Machine]:
    """A machine that runs the guest."""
    machine = Machine(
        "source" if role == "source" else "destination",
        [("ram", PAGES * PAGE_SIZE)],
        guest.programs,
        parameters=Parameters(max_bandwidth=200 << 20, downtime_limit_ms=30),
        log=guest.log,
        born_dirty=False,
    )
    if role == "source":
        guest.prepare(machine)
    try:
        yield machine
    finally:
        machine.close()
        guest.close()


def grown(guest: CountingGuest, machine: Machine, before: list[int]) -> list[int]:
    """Counts of a guest that was let run until every vCPU has made a store more, then stopped."""
    deadline = time.monotonic() + WAIT
    while True:
        machine.stop()
        counts = guest.counts(machine)
        if all(now > then for now, then in zip(counts, before, strict=True)):
            return counts
        assert time.monotonic() < deadline
        machine.start()
        threading.Event().wait(0.002)


@pytest.mark.parametrize("kind", KINDS)
def test_counts(kind: str) -> None:
    """A guest that may run as fast as it can counts, stops at once, keeps to its rule and goes on."""
    guest = counting_guest(kind, 2)
    with made(guest) as machine:
        first = grown(guest, machine, [0, 0])
        assert [] == guest.faults(machine)
        machine.start()
        grown(guest, machine, first)
        assert [] == guest.faults(machine)


@pytest.mark.parametrize(("kind", "log"), LOGS)
def test_migrates(kind: str, log: str) -> None:
    """Moved while it writes it arrives equal, by bytes and by rule, and goes on counting there."""
    guests = [counting_guest(kind, 2, 4000, log=log) for _ in range(2)]
    with made(guests[0]) as source, made(guests[1], "destination") as destination:
        near, far = socket.socketpair()
        seen = []

        def compare() -> None:
            blocks = [machine.ram.block_at(0) for machine in (source, destination)]
            states = [[c.program.save() for c in m.cpus.all] for m in (source, destination)]
            seen.append(bytes(blocks[0].view) == bytes(blocks[1].view) and states[0] == states[1])
            seen.append(guests[1].faults(destination) == [])

        incoming = Incoming(destination, far, before_start=compare)
        source.start()
        incoming.start()
        migration = source.migrate(near)
        assert migration.join(WAIT)
        assert incoming.join(WAIT)
        assert ("completed", State.COMPLETED, [True, True]) == (
            migration.info().status,
            incoming.state,
            seen,
        ), incoming.error
        before = guests[0].counts(source)
        grown(guests[1], destination, before)
        assert [] == guests[1].faults(destination)


def block(pages: int = 40) -> RamBlock:
    """Memory of a guest."""
    return RamBlock("ram", 0, pages * PAGE_SIZE)


STORES = st.lists(st.integers(0, 60), min_size=1, max_size=4)


@on_kvm
@settings(max_examples=25, deadline=None)
@given(STORES, st.integers(1, 24), st.booleans())
def test_kvm_log(bursts: list[int], pages: int, born: bool) -> None:
    """KVM's log finds exactly the pages that machine code stored to, and those stored to from here."""
    memory, part = block(), Part(counting.RESERVED, pages)
    vm = kvm.Vm()
    log = KvmLog(vm, Tracepoints(), born_dirty=born)
    log.add(memory)
    kvm.write_tables(memory)
    counting.load(memory)
    device = vm.vcpu()
    device.write(part.registers())
    log.start()
    read_first = {0}  # the code: a page whose first access is a read may be found, once
    everything = set(range(40)) if born else set()
    done = 0
    for burst in bursts:
        device.write_general({**device.general(), "r9": burst})
        assert kvm.EXIT_IO == device.enter()
        device.finish_io()
        log.store(memory, 39 * PAGE_SIZE, b"x")
        stored = {part.first + at % pages for at in range(done, done + burst)} | {39}
        found = log.harvest(memory)
        pages_found = set(found.pages.tolist()) - (read_first - everything)
        assert (stored | everything) == pages_found
        assert found.marked - len(stored) in {0, len(read_first)}
        everything = read_first = set()
        done += burst
    assert counting.fault(part, memory, done) is None
    log.stop()
    assert [] == log.harvest(memory).pages.tolist()
    vm.close()


def cpu_of(kind: str, memory: RamBlock) -> tuple[UnicornCpu | KvmCpu, kvm.Vm | None]:
    """A vCPU of that kind."""
    if kind == "unicorn":
        return UnicornCpu([memory], {}, Quota(None)), None
    vm = kvm.Vm()
    kvm.write_tables(memory)
    vm.map(memory)
    return KvmCpu(vm, {}, Quota(None), memory.used_length), vm


def registers_of(kind: str, seed: int) -> dict[str, int]:
    """Registers that a guest of that kind may have."""
    draw = random.Random(seed)
    values = {name: draw.getrandbits(64) for name in x86.GENERAL}
    values |= {name: draw.getrandbits(47) for name in x86.BASES}
    values |= {f"xmm{n}": draw.getrandbits(128) for n in range(16)}
    values |= {f"fp{n}": 0x3FFF << 64 | 1 << 63 | draw.getrandbits(64) for n in range(8)}
    values |= {"mxcsr": 0x1F80, "fcw": 0x37F, "fsw": draw.choice([0, 0x3800])}
    values["ftw"] = draw.choice([0, 0xC0] if kind == "kvm" else [0xFFFF, 0])
    values["rflags"] = draw.choice([2, 0x46, 0x287, 0xC97])
    return {**values, "rip": draw.randrange(40 * PAGE_SIZE)}


SEEDS = st.integers(0, 2**32)


@pytest.mark.parametrize("kind", KINDS)
def test_registers(kind: str) -> None:
    """Every register that is loaded is saved again, bit by bit."""
    memory = block()
    cpu, vm = cpu_of(kind, memory)

    @settings(max_examples=30, deadline=None)
    @given(SEEDS)
    def check(seed: int) -> None:
        values = registers_of(kind, seed)
        state = x86.pack(kind, values)
        cpu.load(state)
        assert values == cpu.registers()
        assert state == cpu.save()

    check()
    if vm is not None:
        vm.close()


@given(SEEDS, st.integers(0, x86.BODY_BYTES - 8), st.binary(min_size=8, max_size=8))
def test_hostile_state(seed: int, at: int, change: bytes) -> None:
    """Bytes that are no state are refused, whatever they are; a changed state is refused or bounded."""
    state = bytearray(x86.pack("unicorn", registers_of("unicorn", seed)))
    with pytest.raises(ValueError, match="bytes of registers"):
        x86.unpack("unicorn", bytes(state[:-1]), 40 * PAGE_SIZE)
    with pytest.raises(ValueError, match="this one is 'kvm'"):
        x86.unpack("kvm", bytes(state), 40 * PAGE_SIZE)
    state[at : at + 8] = change
    with contextlib.suppress(ValueError):
        read = x86.unpack("unicorn", bytes(state), 40 * PAGE_SIZE)
        assert read["rip"] < 40 * PAGE_SIZE
        assert max(read["mxcsr"], read["fcw"], read["fsw"], read["ftw"]) < 1 << 16


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rip", 40 * PAGE_SIZE, "rip 0x28000 of a guest of 0x28000 bytes"),
        ("rflags", 0, "rflags 0x0"),
        ("rflags", 0x102, "rflags 0x102"),
        ("fs_base", 1 << 47, "no canonical address"),
        ("mxcsr", 1 << 16, "mxcsr 0x10000 has more than 16 bits"),
        ("fp3", 1 << 80, "more than 80 bits"),
    ],
)
def test_impossible_registers(name: str, value: int, said: str) -> None:
    """A value that no running guest has is named."""
    state = x86.pack("unicorn", {**x86.RESET, name: value})
    with pytest.raises(ValueError, match=said):
        x86.unpack("unicorn", state, 40 * PAGE_SIZE)


def test_word_count() -> None:
    """A state that says it has other registers is refused."""
    state = bytearray(x86.pack("kvm", x86.RESET))
    struct.pack_into(">Q", state, 8, 3)
    with pytest.raises(ValueError, match="a state of 3 words"):
        x86.unpack("kvm", bytes(state), PAGE_SIZE)


# --- the rule -----------------------------------------------------------------------------------


def counted(part: Part, memory: RamBlock, count: int) -> None:
    """Give memory the content that so many stores leave."""
    sweeps, place = divmod(count, part.pages)
    values = part.bytes_of(memory)
    values[:] = sweeps % 256
    values[:place] = (sweeps + 1) % 256


@given(st.integers(0, 20000), st.integers(0, 23), st.integers(1, 255), st.integers(1, 24))
def test_rule(count: int, page: int, change: int, pages: int) -> None:
    """Memory as the guest leaves it keeps to the rule; any one page changed breaks it, or moves the count."""
    memory, part = block(), Part(counting.RESERVED, pages)
    counted(part, memory, count)
    assert counting.fault(part, memory, count) is None
    if count:
        assert counting.fault(part, memory, count - 1) is None
    values = part.bytes_of(memory)
    place = count % pages
    at = page % pages
    values[at] = (int(values[at]) + change) % 256
    lookalike = at == place and change == 1
    assert lookalike == (counting.fault(part, memory, count) is None)


def test_rule_says_where() -> None:
    """The words name the page."""
    memory, part = block(), Part(counting.RESERVED, 24)
    counted(part, memory, 50)
    part.bytes_of(memory)[10] = 9
    fault = counting.fault(part, memory, 50)
    assert fault is not None
    assert "page 27 holds 2, the one before 9, the first 3: 3 places differ" in fault


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "log", "said"),
    [
        ("qemu", None, "no guest 'qemu'; choose one of soft, unicorn, kvm"),
        ("kvm", "accessor", "guest 'kvm' cannot have the dirty log 'accessor'; choose kvm or pagescan"),
        ("soft", "kvm", "guest 'soft' cannot have the dirty log 'kvm'; choose accessor or pagescan"),
    ],
)  # fmt: skip
def test_refused(kind: str, log: str | None, said: str) -> None:
    """What cannot be is refused, with what can."""
    with pytest.raises(x86.GuestError, match=said):
        log_for(kind, log)


def test_no_page_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel does not scan, the accessor serves; asked for by name, the scan is refused in words."""
    monkeypatch.setattr("mig.dirtylog.pagemap.why_not", lambda: "no such kernel")
    assert "accessor" == log_for("unicorn", None)
    with pytest.raises(x86.GuestError, match="no such kernel"):
        log_for("unicorn", "pagescan")


def test_without_unicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the command that installs it is named."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(x86.GuestError, match=r"pip install 'stage3\[unicorn\]'"):
        counting_guest("unicorn", 1)


def test_without_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the device its name and the reason are said."""
    monkeypatch.setattr("mig.kvm._DEVICE", "/nowhere/kvm")
    with pytest.raises(
        x86.GuestError, match="/nowhere/kvm: No such file or directory; use another guest"
    ):
        counting_guest("kvm", 1)


def test_too_small() -> None:
    """A guest with fewer pages than vCPUs is refused."""
    with pytest.raises(ValueError, match="of 18 pages for 3 vCPUs; give it 19 or more"):
        Part.of(block(18), 0, 3)
    with pytest.raises(x86.GuestError, match="needs one block at 0"):
        kvm.write_tables(RamBlock("ram", PAGE_SIZE, 40 * PAGE_SIZE))
    with pytest.raises(ValueError, match="rate -1"):
        Quota(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_broken_guest(kind: str) -> None:
    """Code that leaves its memory ends the vCPU with an error that says where."""
    memory = block()
    far = bytes.fromhex(
        "48 b9 00 00 00 00 07 00 00 00 88 01"
    )  # rcx is 0x700000000: a store to there
    memory.view[: len(far)] = far
    cpu, vm = cpu_of(kind, memory)

    class Never:
        number = 3

        def leave(self) -> bool:
            return False

    with pytest.raises(x86.GuestError, match=r"vcpu 3: the guest.*0xa"):
        cpu.run(Never())  # type: ignore[arg-type]  # all that a program asks of its vCPU
    if vm is not None:
        vm.close()


def test_slices() -> None:
    """Code that never asks for anything is left after a slice, at an instruction of its own."""
    memory = block()
    memory.view[:5] = bytes.fromhex("48 ff c1 eb fb")  # inc rcx, and again
    cpu = UnicornCpu([memory], {}, Quota(None))

    class Twice:
        number = 0
        asked = 0

        def leave(self) -> bool:
            self.asked += 1
            return self.asked > 2

    assert 0.0 == cpu.run(Twice())  # type: ignore[arg-type]  # as above
    assert (SLICE, True) == (cpu.counter, cpu.registers()["rip"] in {0, 3})


def test_idle_for_good() -> None:
    """A guest with rate 0 idles for good, one with a rate for a tick."""
    assert (None, 0) == (Quota(0).idle(), Quota(0).due(5))
    assert counting.TICK == Quota(10).idle()
