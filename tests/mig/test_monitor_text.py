"""The human monitor's text, compared with what QEMU 7.2.22 printed for the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mig.monitor import text

if TYPE_CHECKING:
    from mig.monitor.messages import Json

GLOBALS = """\
globals:
store-global-state: on
only-migratable: off
send-configuration: on
send-section-footer: on
"""
RAM: dict[str, Json] = {
    "total": 16777216,
    "dirty-sync-count": 2,
    "multifd-bytes": 0,
    "pages-per-second": 450,
    "page-size": 4096,
    "remaining": 15700000,
    "mbps": 43.022857142857148,
    "transferred": 36876,
    "precopy-bytes": 36876,
    "downtime-bytes": 0,
    "dirty-pages-rate": 0,
    "duplicate": 4096,
    "skipped": 0,
    "normal-bytes": 8192,
    "normal": 2,
}
RAM_TEXT = """\
transferred ram: 36 kbytes
throughput: 43.02 mbps
remaining ram: 15332 kbytes
total ram: 16384 kbytes
duplicate: 4096 pages
skipped: 0 pages
normal: 2 pages
normal bytes: 8 kbytes
dirty sync count: 2
page size: 4 kbytes
multifd bytes: 0 kbytes
pages-per-second: 450
"""
CASES: dict[str, tuple[dict[str, Json], str]] = {
    "none": ({}, ""),
    "failed": (
        {"status": "failed", "error-desc": "Connection refused"},
        "Migration status: failed (Connection refused)\ntotal time: 0 ms\n",
    ),
    "cancelled": ({"status": "cancelled"}, "Migration status: cancelled\ntotal time: 0 ms\n"),
    "completed": (
        {"status": "completed", "total-time": 7, "downtime": 0, "setup-time": 0, "ram": RAM},
        "Migration status: completed\ntotal time: 7 ms\ndowntime: 0 ms\nsetup: 0 ms\n"
        + RAM_TEXT
        + "precopy ram: 36 kbytes\n",
    ),
    "active": (
        {
            "status": "active",
            "total-time": 504,
            "expected-downtime": 300,
            "setup-time": 1,
            "ram": {**RAM, "precopy-bytes": 0, "downtime-bytes": 2500, "dirty-pages-rate": 9},
            "cpu-throttle-percentage": 20,
        },
        "Migration status: active\ntotal time: 504 ms\nexpected downtime: 300 ms\nsetup: 1 ms\n"
        + RAM_TEXT
        + "dirty pages rate: 9 pages\ndowntime ram: 2 kbytes\ncpu throttle percentage: 20\n",
    ),
    "xbzrle": (
        {
            "xbzrle-cache": {
                "encoding-rate": 2.5,
                "bytes": 2048,
                "cache-size": 67108864,
                "cache-miss-rate": 0.125,
                "pages": 3,
                "overflow": 1,
                "cache-miss": 4,
            }
        },
        """\
cache size: 67108864 bytes
xbzrle transferred: 2 kbytes
xbzrle pages: 3 pages
xbzrle cache miss: 4 pages
xbzrle cache miss rate: 0.12
xbzrle encoding rate: 2.50
xbzrle overflow: 1
""",
    ),
    "listening": (
        {
            "socket-address": [
                {"port": "38851", "ipv4": True, "host": "127.0.0.1", "type": "inet"},
                {"port": "1", "ipv6": True, "host": "::1", "type": "inet"},
                {"path": "/a b", "type": "unix"},
            ]
        },
        "socket address: [\n\ttcp:127.0.0.1:38851\n\ttcp:[::1]:1\n\tunix:/a b\n]\n",
    ),
}


@pytest.mark.parametrize(("info", "shown"), CASES.values(), ids=CASES)
def test_info_migrate(info: dict[str, Json], shown: str) -> None:
    """Every line is QEMU's, and there when its figure is."""
    assert GLOBALS + shown == text.info_migrate(info)


@pytest.mark.parametrize(
    ("status", "running", "shown"),
    [
        ("running", True, "VM status: running\n"),
        ("paused", False, "VM status: paused\n"),
        ("finish-migrate", False, "VM status: paused (finish-migrate)\n"),
    ],
)
def test_info_status(status: str, running: bool, shown: str) -> None:
    """A guest that does not run is paused; why, unless the user did it."""
    assert shown == text.info_status({"status": status, "running": running})


def test_settings() -> None:
    """Parameters have their units, capabilities are on or off."""
    parameters: dict[str, Json] = {
        "throttle-trigger-threshold": 50,
        "cpu-throttle-initial": 20,
        "cpu-throttle-increment": 10,
        "max-cpu-throttle": 99,
        "max-bandwidth": 134217728,
        "downtime-limit": 300,
        "xbzrle-cache-size": 67108864,
    }
    lines = text.info_parameters(parameters).splitlines()

    assert {"max-bandwidth: 134217728 bytes/second", "downtime-limit: 300 ms"} < set(lines)
    assert 7 == len(lines)
    assert "xbzrle: on\nevents: off\n" == text.info_capabilities(
        [{"capability": "xbzrle", "state": True}, {"capability": "events", "state": False}]
    )
