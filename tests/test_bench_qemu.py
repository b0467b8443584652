"""A real QEMU at the other end: memory is identical both ways, through every transport."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from bench.qemu import cells, guest, process
from bench.qemu.process import Qemu, QemuError
from stress import migrate

ANALYZE = os.environ.get("STAGE3_ANALYZE_MIGRATION", "")
needs_qemu = pytest.mark.skipif(
    not process.present(), reason=f"no {process.NAME} on PATH: install qemu-system-x86"
)
needs_script = pytest.mark.skipif(
    not pathlib.Path(ANALYZE).is_file(),
    reason="STAGE3_ANALYZE_MIGRATION does not name QEMU's scripts/analyze-migration.py",
)


@needs_qemu
@pytest.mark.slow
@pytest.mark.parametrize("cell", cells.cells(), ids="-".join)
def test_memory_is_identical(cell: cells.Cell) -> None:
    """All memory of both sides is compared in every cell of the matrix."""
    outcome = cells.run(cell)
    assert (outcome.differing, outcome.identical) == (0, True)


@needs_qemu
@pytest.mark.slow
def test_qemu_says_what_is_wrong(tmp_path: pathlib.Path) -> None:
    """A command that QEMU refuses, and a QEMU that does not start, are errors in its own words."""
    with Qemu(["-machine", "none"], tmp_path) as qemu:
        with pytest.raises(QemuError, match="CommandNotFound"):
            qemu.execute("no-such-command")
        assert qemu.version
    with pytest.raises(QemuError, match="unsupported machine type"), Qemu(["-M", "x"], tmp_path):
        pass


def test_firmware() -> None:
    """The guest's firmware begins with its program and jumps to it where a PC starts."""
    assert (len(guest.FIRMWARE), guest.PAGES) == (64 << 10, 128)
    assert guest.FIRMWARE[0xFFF0] == 0xEA
    assert guest.FIRMWARE[0] == 0xFA


def test_pages_that_differ_are_counted() -> None:
    """Pages, not bytes; different sizes differ everywhere."""
    left = bytearray(3 * 4096)
    right = bytearray(left)
    right[4096] = right[4097] = 1
    assert cells.differing(left, right) == 1
    assert cells.differing(left, bytes(2 * 4096)) == 3


@needs_script
@pytest.mark.slow
def test_qemus_script_reads_our_stream(tmp_path: pathlib.Path) -> None:
    """QEMU's analyze-migration script walks our stream, and extracts the memory that was sent."""
    stream = tmp_path / "guest.mig"
    options = migrate.MigrateOptions(ram=2 << 20, uri=f"file:{stream}", max_bandwidth=1 << 30)
    assert migrate.migrate(options).equal
    script = [sys.executable, ANALYZE, "-f", str(stream)]
    state = json.loads(
        subprocess.run([*script, "-d", "state"], check=True, capture_output=True).stdout
    )
    assert state["ram (2)"] == {"section sizes": {"ram": f"{2 << 20:#018x}"}}
    assert [name for name in state if "(" in name][1:] == [
        "globalstate (3)",
        "vcpu (4)",
        "vcpu (5)",
    ]
    described = subprocess.run([*script, "-d", "desc"], check=True, capture_output=True).stdout
    assert [entry["name"] for entry in json.loads(described)["devices"]] == [
        "globalstate",
        "vcpu",
        "vcpu",
    ]
