"""What QEMU's human monitor prints: answers of the QMP queries as text.

Promises: the words, the order and the units of QEMU 7.2; a line is there where its figure is.
Does not: ask anybody anything: it turns values into text.

Source: QEMU 7.2, monitor/hmp-cmds.c and migration/migration-hmp-cmds.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mig.monitor.messages import Json

_GLOBALS: Final = (
    "globals:",
    "store-global-state: on",
    "only-migratable: off",
    "send-configuration: on",
    "send-section-footer: on",
)
"""What the stream always has."""
_TIMES: Final = (
    ("expected downtime", "expected-downtime"),
    ("downtime", "downtime"),
    ("setup", "setup-time"),
)
_RAM: Final = (
    ("transferred ram: {} kbytes", "transferred", 10),
    ("throughput: {:.2f} mbps", "mbps", 0),
    ("remaining ram: {} kbytes", "remaining", 10),
    ("total ram: {} kbytes", "total", 10),
    ("duplicate: {} pages", "duplicate", 0),
    ("skipped: {} pages", "skipped", 0),
    ("normal: {} pages", "normal", 0),
    ("normal bytes: {} kbytes", "normal-bytes", 10),
    ("dirty sync count: {}", "dirty-sync-count", 0),
    ("page size: {} kbytes", "page-size", 10),
    ("multifd bytes: {} kbytes", "multifd-bytes", 10),
    ("pages-per-second: {}", "pages-per-second", 0),
)
"""Text, member, and by how many bits the value is shifted."""
_RAM_UNLESS_ZERO: Final = (
    ("dirty pages rate: {} pages", "dirty-pages-rate", 0),
    ("precopy ram: {} kbytes", "precopy-bytes", 10),
    ("downtime ram: {} kbytes", "downtime-bytes", 10),
)
_XBZRLE: Final = (
    ("cache size: {} bytes", "cache-size", 0),
    ("xbzrle transferred: {} kbytes", "bytes", 10),
    ("xbzrle pages: {} pages", "pages", 0),
    ("xbzrle cache miss: {} pages", "cache-miss", 0),
    ("xbzrle cache miss rate: {:.2f}", "cache-miss-rate", 0),
    ("xbzrle encoding rate: {:.2f}", "encoding-rate", 0),
    ("xbzrle overflow: {}", "overflow", 0),
)
_PARAMETERS: Final = (
    ("throttle-trigger-threshold", ""),
    ("cpu-throttle-initial", ""),
    ("cpu-throttle-increment", ""),
    ("max-cpu-throttle", ""),
    ("max-bandwidth", " bytes/second"),
    ("downtime-limit", " ms"),
    ("xbzrle-cache-size", " bytes"),
)


def _members(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _number(value: Json, shift: int = 0) -> int | float:
    if isinstance(value, int):
        return value >> shift
    return value if isinstance(value, float) else 0


def _figures(members: Mapping[str, Json], lines: tuple[tuple[str, str, int], ...]) -> list[str]:
    return [text.format(_number(members.get(name), shift)) for text, name, shift in lines]


def _status(info: Mapping[str, Json]) -> list[str]:
    if "status" not in info:
        return []
    why = f" ({info['error-desc']})" if "error-desc" in info else ""
    times = [f"{text}: {info[name]} ms" for text, name in _TIMES if name in info]
    return [
        f"Migration status: {info['status']}{why}",
        f"total time: {info.get('total-time', 0)} ms",
        *times,
    ]


def _addresses(value: Json) -> list[str]:
    if not isinstance(value, list):
        return []
    return ["socket address: [", *(f"\t{_address(_members(item))}" for item in value), "]"]


def _address(item: Mapping[str, Json]) -> str:
    if item.get("type") == "unix":
        return f"unix:{item.get('path')}"
    host = str(item.get("host"))
    return f"tcp:{f'[{host}]' if ':' in host else host}:{item.get('port')}"


def info_migrate(info: Mapping[str, Json]) -> str:
    """The text of `info migrate` for what `query-migrate` answers, lines ended by a newline."""
    lines = [*_GLOBALS, *_status(info)]
    if "ram" in info:
        ram = _members(info["ram"])
        lines += _figures(ram, _RAM)
        lines += _figures(ram, tuple(line for line in _RAM_UNLESS_ZERO if ram.get(line[1])))
    if "xbzrle-cache" in info:
        lines += _figures(_members(info["xbzrle-cache"]), _XBZRLE)
    if "cpu-throttle-percentage" in info:
        lines.append(f"cpu throttle percentage: {info['cpu-throttle-percentage']}")
    lines += _addresses(info.get("socket-address"))
    return "".join(line + "\n" for line in lines)


def info_status(status: Mapping[str, Json]) -> str:
    """The text of `info status` for what `query-status` answers."""
    if status["running"]:
        return "VM status: running\n"
    why = "" if status["status"] == "paused" else f" ({status['status']})"
    return f"VM status: paused{why}\n"


def info_parameters(parameters: Mapping[str, Json]) -> str:
    """The text of `info migrate_parameters` for what `query-migrate-parameters` answers."""
    return "".join(f"{name}: {parameters[name]}{unit}\n" for name, unit in _PARAMETERS)


def info_capabilities(capabilities: Json) -> str:
    """The text of `info migrate_capabilities` for what `query-migrate-capabilities` answers."""
    listed = [_members(item) for item in capabilities] if isinstance(capabilities, list) else []
    return "".join(f"{item['capability']}: {'on' if item['state'] else 'off'}\n" for item in listed)
