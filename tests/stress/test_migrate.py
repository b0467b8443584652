"""`stage3 migrate`: two processes, real sockets, compared page by page."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import socket
from typing import TYPE_CHECKING

import pytest

from mig.vcpu.guests import why_not
from stress import guests
from stress import migrate as command
from stress.migrate_types import (
    Figures,
    MigrateInputError,
    MigrateOptions,
    MigrateResult,
    sized,
)
from stress.samples import sample

if TYPE_CHECKING:
    from stress.digests import Digests

FIGURES = Figures(
    status="completed",
    transferred=2048,
    remaining=0,
    total=8192,
    total_time=12.4,
    downtime=1.25,
    expected_downtime=3.0,
    setup_time=0.5,
    dirty_sync_count=2,
    duplicate=1,
    normal=3,
    throughput=1.5,
    sync_dirty=(2, 1),
)


def arguments(*argv: str) -> argparse.Namespace:
    """Parsed arguments of `stage3 migrate`."""
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return parser.parse_args(["migrate", *argv])


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `stage3 migrate`."""
    code = command.run(arguments(*argv))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.slow
@pytest.mark.parametrize(
    "uri", ["tcp:127.0.0.1:0", "tcp:[::1]:0", "unix:{}/s", "fd:", "exec:gzip -1 | gunzip"]
)
def test_small_guest(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, uri: str) -> None:
    """A made-up guest arrives equal, over every transport, and the figures add up."""
    uri = uri.format(tmp_path)
    out = tmp_path / "out"
    code, text, err = run(
        capsys, "--ram", "2M", "--uri", uri, "--output", str(out), "--json", "--max-bandwidth", "1G"
    )
    result = json.loads(text)
    assert (code, err, result["equal"], result["error"]) == (0, "", True, None)
    figures = result["figures"]
    assert (figures["status"], figures["remaining"]) == ("completed", 0)
    assert (result["compared"], result["differing"]) == (512, [])
    assert figures["duplicate"] + figures["normal"] >= 512
    assert figures["total"] == 2 << 20
    assert figures["dirty_sync_count"] == 1 + len(figures["sync_dirty"]) >= 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unicorn", "kvm"])
def test_counting_guest(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, kind: str
) -> None:
    """Machine code arrives equal, keeps to its rule at the destination and counts on there."""
    if (reason := why_not(kind)) is not None:
        pytest.skip(reason)
    argv = ("--ram", "2M", "--guest", kind, "--output", str(tmp_path), "--max-bandwidth", "1G")
    code, text, err = run(capsys, *argv, "--json")
    result = json.loads(text)
    assert (0, "", True, "") == (code, err, result["equal"], result["rule_broken"])
    assert result["guest"].startswith(f"{kind}, dirty log ")
    assert result["stores_there"] >= 2


@pytest.mark.slow
def test_guest_through_a_file(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    """The source writes the file to its end, then the destination reads it."""
    path = tmp_path / "guest.mig"
    code, text, _ = run(capsys, "--ram", "2M", "--uri", f"file:{path}", "--json")
    result = json.loads(text)
    assert (code, result["equal"], result["compared"]) == (0, True, 512)
    assert path.stat().st_size == result["figures"]["transferred"]


@pytest.mark.slow
def test_failing_command(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    """What the command between the two ends with is the error."""
    code, text, _ = run(
        capsys, "--ram", "1M", "--uri", "exec:false", "--output", str(tmp_path), "--json"
    )
    assert code == 1
    assert "ended with exit status 1" in json.loads(text)["error"]


def test_descriptors_lead_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    """A number means nothing to a destination that is started here."""
    code, _, err = run(capsys, "--uri", "fd:3")
    assert code == 2
    assert "say fd: for a new pair" in err


@pytest.mark.slow
def test_guest_that_qemu_wrote(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    """QEMU's guest arrives with equal memory, its 29 foreign device sections and 2 vCPUs."""
    path = sample().path
    code, text, err = run(
        capsys, "--image", str(path), "--output", str(tmp_path), "--max-bandwidth", "1G"
    )
    assert (code, err) == (0, "")
    lines = text.splitlines()
    assert "Migration status: completed" in lines
    assert "memory: 4180 pages compared, 0 differ" in lines
    assert "devices: 31 sections compared, 0 differ" in lines


@pytest.mark.slow
def test_one_wrong_bit_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit and a device byte that differ are named, with exit code 1."""
    real = guests.Source.digests

    def flipped(self: guests.Source) -> dict[str, Digests]:
        self.machine.ram.find("pc.ram").view[0x5123] ^= 1
        self.opaque["apic/0/3"] = b"other"
        return real(self)

    monkeypatch.setattr(guests.Source, "digests", flipped)
    code, text, _ = run(
        capsys, "--image", str(sample().path), "--output", str(tmp_path), "--max-bandwidth", "1G"
    )
    assert code == 1
    assert text.splitlines()[-4:] == [
        "memory: 4180 pages compared, 1 differ",
        "  differs: pc.ram at 0x5000",
        "devices: 31 sections compared, 1 differ",
        "  differs: apic/0/3",
    ]


BAD = [
    (["--design", "fast"], "unknown design 'fast'; choose one of"),
    (["--uri", "rdma:x"], "rdma:x: this is no migration URI"),
    (["--uri", "tcp:127.0.0.1:x"], "'x' is no port number"),
    (["--ram", "5000"], "5000 bytes of RAM; give a multiple of 4096"),
    (["--vcpus", "-1"], "vcpus -1; give a number from 0"),
    (["--vcpus", "257"], "vcpus 257"),
    (["--max-bandwidth", "0"], "max-bandwidth 0"),
    (["--downtime-limit", "nan"], "downtime-limit nan"),
    (["--dirty-rate", "-1"], "dirty-rate -1"),
    (["--stall-timeout", "inf"], "stall-timeout inf"),
    (["--time-limit", "0"], "time-limit 0"),
    (["--series", "/dev/null/x"], "--series /dev/null/x cannot be written"),
    (["--output", "pyproject.toml"], "--output pyproject.toml: pyproject.toml is no directory"),
    (["--shape", "idle", "--image", "x"], "leave out --shape or --image"),
    (["--guest", "kvm", "--dirty-log", "accessor"], "cannot have the dirty log 'accessor'"),
    (["--guest", "unicorn", "--image", "x"], "leave out --image and --shape"),
    (["--guest", "unicorn", "--ram", "64K"], "65536 bytes of RAM for 2 vCPUs that count"),
    (["--slow-by", "2"], "are a load's; give --shape"),
    (["--working-set", "1M"], "are a load's; give --shape"),
    (["--image", "/nowhere/guest.mig"], "/nowhere/guest.mig: cannot be read (No such file"),
]


@pytest.mark.parametrize(("argv", "what"), BAD, ids=["".join(argv) for argv, _ in BAD])
def test_bad_input(capsys: pytest.CaptureFixture[str], argv: list[str], what: str) -> None:
    """Bad input gives exit code 2 and one line that names the value; nothing is printed."""
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert err.startswith("stage3 migrate: ")
    assert what in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("content", [b"QEVX" + bytes(4096), b"QEVM\0\0\0\3", b"\x1f\x8bxx", b"abc"])
def test_bad_image(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, content: bytes
) -> None:
    """A wrong magic, a cut stream, a broken archive and half a page are refused alike."""
    path = tmp_path / "guest.mig"
    path.write_bytes(content)
    code, out, err = run(capsys, "--image", str(path), "--output", str(tmp_path / "out"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"image {path}: " in err
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_refused_port(capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is refused by the destination and named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        uri = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = run(capsys, "--ram", "64K", "--uri", uri)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{uri}: cannot listen" in err


@pytest.mark.parametrize(
    ("text", "expected"), [("512", 512), ("64K", 65536), ("16m", 16 << 20), ("1G", 1 << 30)]
)
def test_sizes(text: str, expected: int) -> None:
    """Numbers with and without a unit are bytes."""
    assert sized(text) == expected


@pytest.mark.parametrize("text", ["", "M", "1T", "-1", "1.5G", "0x10", "\u0661", "9" * 20])
def test_sizes_that_are_none(text: str) -> None:
    """Anything else is refused, showing it."""
    with pytest.raises(argparse.ArgumentTypeError, match="is no size"):
        sized(text)


def test_result_of_equal_guests() -> None:
    """Equal memory and devices are exit code 0, and every figure has its line."""
    result = MigrateResult(figures=FIGURES, compared=4, devices_compared=1)
    assert (result.equal, result.exit_code) == (True, 0)
    assert result.lines() == [
        "Migration status: completed",
        "total time: 12 ms",
        "downtime: 1.2 ms",
        "expected downtime: 3.0 ms",
        "setup: 0.5 ms",
        "transferred ram: 2 kbytes",
        "throughput: 1.50 mbps",
        "remaining ram: 0 kbytes",
        "total ram: 8 kbytes",
        "duplicate: 1 pages",
        "normal: 3 pages",
        "dirty sync count: 2",
        "pages dirtied in each sync: 2 1",
        "memory: 4 pages compared, 0 differ",
        "devices: 1 sections compared, 0 differ",
    ]


def test_results_that_are_not_equal() -> None:
    """A page, a device, an error, nothing compared or a hang are told apart by code and text."""
    page = MigrateResult(figures=FIGURES, compared=4, differing=(("ram", 4096),))
    assert (page.exit_code, page.lines()[-1]) == (1, "  differs: ram at 0x1000")
    device = MigrateResult(
        figures=FIGURES, compared=4, devices_compared=1, devices_differing=("apic/0/3",)
    )
    assert (device.exit_code, device.lines()[-1]) == (1, "  differs: apic/0/3")
    assert MigrateResult(figures=FIGURES).exit_code == 1
    failed = MigrateResult(figures=FIGURES, error="no route")
    assert (failed.exit_code, failed.lines()[-1]) == (1, "failed: no route")
    hung = MigrateResult(
        figures=FIGURES, error="still", hung=True, hang_report=pathlib.Path("out/hang-1.txt")
    )
    assert (hung.exit_code, hung.lines()[-1]) == (
        5,
        "every thread's backtrace: out/hang-1.txt",
    )


def test_guest_that_breaks_its_rule() -> None:
    """A guest that does not count on, or whose memory breaks its rule, is not equal, and it is said how."""
    whole = MigrateResult(FIGURES, compared=2, guest="kvm, dirty log kvm", stores_there=3)
    assert (True, 0) == (whole.equal, whole.exit_code)
    assert (
        "guest: kvm, dirty log kvm; it keeps to its rule, and made 3 stores at the destination"
        in whole.lines()
    )
    still = dataclasses.replace(whole, stores_there=0)
    broken = dataclasses.replace(whole, rule_broken="page 7 holds 3")
    assert (False, False, 1) == (still.equal, broken.equal, broken.exit_code)
    assert any("breaks its rule: page 7 holds 3" in line for line in broken.lines())


def test_options_are_checked_before_anything_runs() -> None:
    """The Python call raises for bad input instead of returning a result."""
    with pytest.raises(MigrateInputError, match="unknown design"):
        command.migrate(MigrateOptions(design="fast"))
