"""Loads: what their guests are made of, and that both ends make the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mig.machine import Machine
from mig.ram import PAGE_SIZE
from mig.vcpu.runs import RUN, Pace, RunIncrement
from mig.vcpu.soft import PageIncrement
from stress.migrate_types import MigrateInputError, MigrateOptions
from stress.migration.workloads import SHAPES, Load

MIB = 1 << 20


def machine(load: Load) -> Machine:
    return Machine("source", [("ram", load.ram)], load.programs())


def program(made: Machine, number: int = 0) -> RunIncrement:
    found = made.cpus.all[number].program
    assert isinstance(found, RunIncrement)
    return found


def test_vcpus_share_the_working_set() -> None:
    """Every page of the working set is one vCPU's, and no other page is written."""
    load = Load("specjbb", 2 * MIB, 3, working_set=100 * PAGE_SIZE)
    made = machine(load)
    made.log.start()
    for cpu in made.cpus.all:
        for _ in range(3):
            assert isinstance(cpu.program, RunIncrement)
            cpu.program.step()

    words = made.ram.blocks()[0].array.view(np.uint64).reshape(-1, PAGE_SIZE // 8)
    assert (words[:100, 0] >= 1).all()
    assert not words[100:].any()
    marked = made.log.harvest(made.ram.blocks()[0]).pages
    assert list(range(100)) == marked[marked < 100].tolist()
    made.close()


def test_fill_gives_content_to_what_is_resident() -> None:
    """Resident pages are not zero, the rest of the guest is untouched."""
    load = Load("idle", 4 * MIB, 1)
    made = machine(load)
    load.fill(made.ram.blocks()[0])

    used = made.ram.blocks()[0].array.reshape(-1, PAGE_SIZE).any(axis=1)
    assert load.resident == int(used.sum()) == int(1024 * 0.48)
    made.close()


def test_a_step_stores_and_marks_a_run() -> None:
    """One step stores to a run of pages, marks each, and ends at the end of the part."""
    made = Machine("source", [("ram", 2 * MIB)], [])
    block = made.ram.blocks()[0]
    made.log.start()
    made.log.harvest(block)
    writer = RunIncrement(made.log, block, 10, RUN + 5, [Pace(1, 1)], slot=3)
    writer.step()
    first = (writer.pc, writer.counter, made.log.harvest(block).pages.tolist())
    writer.step()

    assert (RUN, RUN, list(range(10, 10 + RUN))) == first
    assert (0, RUN + 5, list(range(10 + RUN, 15 + RUN))) == (
        writer.pc,
        writer.counter,
        made.log.harvest(block).pages.tolist(),
    )
    assert 1 == block.array.view(np.uint64)[10 * 512 + 3]
    made.close()


def test_registers_move() -> None:
    """A program goes on where another one stopped; what cannot be its state is refused."""
    made = Machine("source", [("ram", 2 * MIB)], [])
    block = made.ram.blocks()[0]
    one, two = (RunIncrement(made.log, block, 0, 200, [Pace(1, 1)]) for _ in range(2))
    one.step()
    two.load(one.save())

    assert (RUN, RUN) == (two.pc, two.counter)
    with pytest.raises(ValueError, match="15 bytes of registers"):
        two.load(one.save()[:-1])
    with pytest.raises(ValueError, match="pc 200 of a program of 200 pages"):
        two.load((200).to_bytes(8, "big") * 2)
    made.close()


def test_paces_follow_each_other() -> None:
    """What is due is the sum of the paces, over and over."""
    made = Machine("source", [("ram", 2 * MIB)], [])
    writer = RunIncrement(made.log, made.ram.blocks()[0], 0, 9, [Pace(2, 10), Pace(1, 100)])

    due = [writer.due(seconds) for seconds in (0, 1, 2, 2.5, 3, 4, 6)]

    assert [0, 10, 20, 70, 120, 130, 240] == due
    made.close()


@pytest.mark.parametrize(
    ("first", "pages", "paces", "said"),
    [
        (-1, 5, [Pace(1, 1)], "pages -1 to 4"),
        (0, 0, [Pace(1, 1)], "choose pages inside"),
        (0, 5, [], "paces"),
        (0, 5, [Pace(0, 1)], "seconds above 0"),
    ],
)
def test_bad_programs(first: int, pages: int, paces: list[Pace], said: str) -> None:
    """A part outside the block, or no pace, is refused."""
    made = Machine("source", [("ram", 2 * MIB)], [])
    with pytest.raises(ValueError, match=said):
        RunIncrement(made.log, made.ram.blocks()[0], first, pages, paces)
    made.close()


@pytest.mark.parametrize("slot", [-1, 512])
def test_word_outside_the_page(slot: int) -> None:
    """Programs of both kinds refuse a word that no page has."""
    made = Machine("source", [("ram", 2 * MIB)], [])
    block = made.ram.blocks()[0]
    for make in (
        lambda: RunIncrement(made.log, block, 0, 5, [Pace(1, 1)], slot=slot),
        lambda: PageIncrement(made.log, block, slot=slot),
    ):
        with pytest.raises(ValueError, match=f"slot {slot}; give 0 to 511"):
            make()
    made.close()


@pytest.mark.parametrize("shape", SHAPES)
def test_loads_travel_as_text(shape: str) -> None:
    """The destination reads back what the source sent; every shape fits its guest."""
    load = Load(shape, 64 * MIB, 2, rate=7, slow=2.0)

    MigrateOptions(load=load).check()
    assert load == Load.from_text(load.as_text())
    assert (Pace(1, 1.75),) == load.paces()
    assert load.pages <= load.resident <= load.ram // PAGE_SIZE


BAD = [
    (Load("nap", MIB, 1), "unknown shape 'nap'"),
    (Load("idle", 5000, 1), "5000 bytes of RAM"),
    (Load("idle", 1 << 40, 1), "of RAM; give a multiple"),
    (Load("idle", MIB, 0), "vcpus 0"),
    (Load("idle", MIB, 1, working_set=2 * MIB), "working-set 2097152"),
    (Load("idle", MIB, 1, rate=-1), "dirty-rate -1"),
    (Load("idle", MIB, 1, slow=0.5), "slow-by 0.5"),
    (Load("idle", 128 << 30, 1), "give a --working-set"),
]


@pytest.mark.parametrize(("load", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_loads(load: Load, said: str) -> None:
    """What cannot be run is refused by name."""
    with pytest.raises(MigrateInputError, match=said):
        MigrateOptions(load=load).check()


def test_the_table_of_loads() -> None:
    """The page on July 2012 says what the shapes are."""
    page = (Path(__file__).parents[2] / "docs" / "july-2012.md").read_text()
    for shape in SHAPES.values():
        assert (
            f"| `{shape.name}` | {shape.resident:.0%} | {shape.working_set:.0%} |".replace(
                "%", " %"
            )
            in page
        )
        assert all(f"{pace.rate:,.0f}" in page for pace in shape.paces)
