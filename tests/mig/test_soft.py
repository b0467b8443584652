"""Guest programs: the pattern, the registers, the rate, refusals."""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig.cpus import Cpus
from mig.dirtylog import ByteLog
from mig.ram import PAGE_SIZE, RamBlock
from mig.runstate import RunState
from mig.tracepoints import Tracepoints
from mig.vcpu.soft import REGISTER_BYTES, TICK, PageIncrement

if TYPE_CHECKING:
    from mig.cpus import Vcpu

PAGES = 6


def parts() -> tuple[ByteLog, RamBlock]:
    """A log that logs, and a block."""
    log = ByteLog(Tracepoints(), born_dirty=False)
    block = RamBlock("ram", 0, PAGES * PAGE_SIZE)
    log.add(block)
    log.start()
    return log, block


def vcpu(program: PageIncrement) -> Vcpu:
    """A vCPU that is not asked to leave."""
    cpus = Cpus(threading.Lock(), Tracepoints(), [program], RunState.PRELAUNCH)
    return cpus.all[0]


def words(block: RamBlock, slot: int) -> list[int]:
    """The counter word in each page."""
    return [
        struct.unpack_from("<Q", block.view, page * PAGE_SIZE + 8 * slot)[0]
        for page in range(block.pages)
    ]


def test_pattern() -> None:
    """Pages are incremented in turn, marked, and the program idles after its stores."""
    log, block = parts()
    program = PageIncrement(log, block, first=1, pages=4, writes=6, slot=3)
    assert program.run(vcpu(program)) is None
    assert [0, 2, 2, 1, 1, 0] == words(block, 3)
    assert [1, 2, 3, 4] == log.marks(block)
    assert (2, 6) == (program.pc, program.counter)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 7))
def test_continues(before: int, after: int, stride: int) -> None:
    """Registers and memory moved at any step: the pattern goes on as if it never moved."""
    log, here = parts()
    program = PageIncrement(log, here, stride=stride, slot=1)
    for _ in range(before):
        program.step()
    other_log, there = parts()
    there.view[:] = here.view
    moved = PageIncrement(other_log, there, stride=stride, slot=1)
    moved.load(program.save())
    for _ in range(after):
        program.step()
        moved.step()
    assert bytes(here.view) == bytes(there.view)
    assert program.save() == moved.save()
    assert REGISTER_BYTES == len(moved.save())


def test_leaves_at_once() -> None:
    """A vCPU that was kicked makes no further store."""
    program = PageIncrement(*parts())
    cpu = vcpu(program)
    cpu.kicked = True
    assert 0.0 == program.run(cpu)
    assert 0 == program.counter


def test_rate() -> None:
    """With a rate the program idles for a tick when the stores due are made."""
    program = PageIncrement(*parts(), rate=1)
    assert TICK == program.run(vcpu(program))
    assert 1 == program.counter


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"first": -1}, "pages -1 to"),
        ({"first": 3, "pages": 4}, "pages 3 to 7 of a block of 6"),
        ({"pages": 0}, "pages 0 to 0"),
        ({"slot": 512}, "slot 512"),
        ({"rate": 0}, "rate 0"),
    ],
)
def test_refused(options: dict[str, int], wrong: str) -> None:
    """A program outside its block or without a sensible rate is refused."""
    with pytest.raises(ValueError, match=wrong):
        PageIncrement(*parts(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [b"", bytes(15), bytes(17), struct.pack(">QQ", PAGES, 0)])
def test_registers_refused(state: bytes) -> None:
    """Bytes that are no registers of this program are refused and change nothing."""
    program = PageIncrement(*parts())
    program.step()
    with pytest.raises(ValueError, match=r"registers|pc 6"):
        program.load(state)
    assert (1, 1) == (program.pc, program.counter)
