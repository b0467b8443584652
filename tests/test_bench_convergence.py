"""The benchmarks of convergence, each on a guest of a few pages: what they measure and print, and their exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import deltas, downtime, holds, moves, orit
from bench.qemu import paced
from mig.info import Info, RamInfo
from mig.migration import AtStop
from mig.parameters import Parameters
from stress.migration.workloads import Load

RAM = 4 << 20


def moved(down: float, to_write: int = 0, stop_cpu: float = 0.0) -> moves.Moved:
    """A migration that ended with this downtime (ms)."""
    nothing = moves.Meter(stop_cpu=stop_cpu)
    ram = RamInfo(10, 0, 10, 0, 0, 0, 0.0, 0.0, 2, 4096, 0.0, 5, 5)
    info = Info(
        "completed",
        500.0,
        1.0,
        down,
        0.0,
        0,
        None,
        outcome_unknown=False,
        sync_dirty=(),
        ram=ram,
        xbzrle_cache=None,
    )
    return moves.Moved(info, AtStop(1, to_write, 0), 1000.0, nothing, equal=True)


@pytest.mark.slow
@pytest.mark.parametrize("design", ["thread", "timer"])
def test_move(design: str) -> None:
    """A migration is measured, arrives whole, and no window passes its budget by more than a batch."""
    parameters = Parameters(max_bandwidth=8 << 20)
    with moves.destination(Load("iozone", RAM, 1)) as there:
        done = moves.move(there, design, parameters)
    assert done.equal
    assert done.meter.windows
    assert max(done.meter.windows) <= 1
    assert done.meter.holds
    assert all(hold.cpu <= hold.wall + 0.01 for hold in done.meter.holds)
    assert 0 < done.meter.stop_cpu


@pytest.mark.slow
def test_orit(capsys: pytest.CaptureFixture[str]) -> None:
    """By the series every page goes out twice, and a window's budget is passed many times over."""
    words = [f"--ram={RAM}", "--time-limit=20"]
    assert 0 == orit.main(["--one", "idle", "rfc_v1", *words])
    row = orit.Row(*json.loads(capsys.readouterr().out))
    assert ("completed", 1.0) == (row.ended, row.first_sync)
    assert row.transferred > 1.9 * row.content
    assert 0 == orit.main(["--load", "idle", *words])
    head, *rows = capsys.readouterr().out.splitlines()
    assert [("idle", "timer"), ("idle", "rfc_v1"), ("idle", "thread")] == [
        tuple(row.split()[:2]) for row in rows
    ]
    assert orit.HEAD == head
    assert orit.Row("idle", "rfc_v1", "hung").shown().endswith("hung")


def test_downtime() -> None:
    """An overrun is the engine's when too much was left, or when it computed; else it waited for a CPU."""
    runs = [moved(300), moved(301, to_write=299), moved(301, to_write=301), moved(400, 1, 0.31)]
    assert [None, "delay", "engine", "engine"] == [downtime.cause(each, 300) for each in runs]
    line = downtime.summary("idle", "thread", runs)
    assert (4, 301, 400, 2, 1, 0) == (
        line.runs, line.median, line.worst, line.engine, line.delay, line.wrong,
    )  # fmt: skip
    assert ["idle", "thread", "4"] == line.shown().split()[:3]


@pytest.mark.slow
def test_downtime_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Each load by each design is a line."""
    downtime.main(["--runs=1", f"--ram={RAM}", "--load=idle"])
    lines = capsys.readouterr().out.splitlines()
    assert [["idle", "thread", "1"], ["idle", "merged", "1"]] == [
        line.split()[:3] for line in lines[1:]
    ]


def test_histogram() -> None:
    """Holds are counted by how long they were on the wall."""
    found = [moves.Hold(ms / 1000, 0.0) for ms in (0.1, 0.9, 1, 3, 70)]
    assert [2, 1, 1, 0, 0, 0, 0, 1] == holds.histogram(found)


@pytest.mark.slow
def test_holds() -> None:
    """A migration has holds; outside the big lock there are none but the harvests'."""
    assert len(holds.measure("thread", 1, RAM)) > len(holds.measure("sync_only", 1, RAM))


@pytest.mark.slow
def test_deltas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours plain and with deltas, without QEMU."""
    monkeypatch.setattr("bench.qemu.process.present", lambda: False)
    monkeypatch.setattr(deltas, "FIRST", 0)
    assert 0 == deltas.main([f"--ram={RAM}", f"--window={RAM // 2}", "--rate=2000"])
    lines = capsys.readouterr().out.splitlines()
    assert deltas.HEAD == lines[0]
    assert [["stage3", "2000", "plain"], ["stage3", "2000", "xbzrle"]] == [
        line.split()[:3] for line in lines[1:]
    ]


def test_firmware() -> None:
    """Firmware of 64 KiB that begins where a PC begins, with its window and pace in it."""
    made = paced.firmware(0x1000000, 0x2000000, 1000.0)
    words = np.frombuffer(made[0x70:0x7C], dtype=np.uint32)
    assert (64 << 10, b"\xea") == (len(made), made[0xFFF0:0xFFF1])
    assert [0x1000000, 0x2000000] == words[:2].tolist()
    assert abs(words[2] - paced.ticks_a_second() / 1000) <= paced.ticks_a_second() / 1e4


def test_quantile() -> None:
    """The value below which a share of the values lie."""
    assert (2, 3, 0) == (
        moves.quantile([3, 1, 2], 0.5), moves.quantile([3, 1, 2], 0.99), moves.quantile([], 0.5),
    )  # fmt: skip
