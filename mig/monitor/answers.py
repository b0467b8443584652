"""Answers of the QMP queries: a machine's values in QEMU's names, units and nesting.

Promises: a member is there exactly where QEMU 7.2 has it; times are whole milliseconds, sizes bytes.
Does not: ask the machine: it turns values into values.

Source: QEMU 7.2, migration/migration.c (`fill_source_migration_info`, `populate_ram_info`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mig.capabilities import Capabilities
    from mig.info import Info, RamInfo
    from mig.monitor.messages import Json
    from mig.parameters import Parameters
    from mig.ram_xbzrle import XbzrleStats
    from mig.runstate import RunState
    from mig.transport import Address

_UNDER_WAY: Final = frozenset({"active", "pre-switchover", "device", "cancelling"})
PARAMETERS: Final[Mapping[str, str]] = {
    "throttle-trigger-threshold": "throttle_trigger_threshold",
    "cpu-throttle-initial": "cpu_throttle_initial",
    "cpu-throttle-increment": "cpu_throttle_increment",
    "max-cpu-throttle": "max_cpu_throttle",
    "max-bandwidth": "max_bandwidth",
    "downtime-limit": "downtime_limit_ms",
    "xbzrle-cache-size": "xbzrle_cache_size",
}
"""QMP's name of a parameter to ours."""


def name_of_capability(field: str) -> str:
    """QMP's name of a capability."""
    return field.replace("_", "-")


def status(state: RunState, *, running: bool) -> dict[str, Json]:
    """What `query-status` answers."""
    return {"status": state.value, "singlestep": False, "running": running}


def capabilities(switched: Capabilities, names: tuple[str, ...]) -> list[Json]:
    """What `query-migrate-capabilities` answers."""
    return [
        {"state": bool(getattr(switched, name)), "capability": name_of_capability(name)}
        for name in names
    ]


def parameters(current: Parameters) -> dict[str, Json]:
    """What `query-migrate-parameters` answers."""
    return {name: int(getattr(current, field)) for name, field in PARAMETERS.items()}


def addresses(address: Address) -> list[Json]:
    """`socket-address`: where a destination listens; empty when that is no socket."""
    if address.scheme == "unix":
        return [{"type": "unix", "path": address.path}]
    if address.scheme == "tcp":
        family = "ipv6" if ":" in address.host else "ipv4"
        return [{"type": "inet", "host": address.host, "port": str(address.port), family: True}]
    return []


def migration(info: Info) -> dict[str, Json]:
    """What `query-migrate` answers at the source, once a migration was begun."""
    answer: dict[str, Json] = {"status": info.status}
    if info.status == "failed" and info.error is not None:
        answer["error-desc"] = info.error
    if info.status in _UNDER_WAY:
        answer["expected-downtime"] = round(info.expected_downtime)
    elif info.status == "completed":
        answer["downtime"] = round(info.downtime)
    else:
        return answer
    answer["total-time"] = round(info.total_time)
    answer["setup-time"] = round(info.setup_time)
    answer["ram"] = _ram(info.ram)
    if info.xbzrle_cache is not None:
        answer["xbzrle-cache"] = _xbzrle(info.xbzrle_cache)
    if info.cpu_throttle_percentage:
        answer["cpu-throttle-percentage"] = info.cpu_throttle_percentage
    return answer


def _ram(ram: RamInfo) -> dict[str, Json]:
    return {
        "transferred": ram.transferred,
        "remaining": ram.remaining,
        "total": ram.total,
        "duplicate": ram.duplicate,
        "skipped": 0,
        "normal": ram.normal,
        "normal-bytes": ram.normal_bytes,
        "dirty-pages-rate": round(ram.dirty_pages_rate),
        "mbps": ram.mbps,
        "dirty-sync-count": ram.dirty_sync_count,
        "postcopy-requests": 0,
        "page-size": ram.page_size,
        "multifd-bytes": 0,
        "pages-per-second": round(ram.pages_per_second),
        "precopy-bytes": ram.precopy_bytes,
        "downtime-bytes": ram.downtime_bytes,
        "postcopy-bytes": 0,
        "dirty-sync-missed-zero-copy": 0,
    }


def _xbzrle(stats: XbzrleStats) -> dict[str, Json]:
    return {
        "cache-size": stats.cache_size,
        "bytes": stats.bytes,
        "pages": stats.pages,
        "cache-miss": stats.cache_miss,
        "cache-miss-rate": stats.cache_miss_rate,
        "encoding-rate": stats.encoding_rate,
        "overflow": stats.overflow,
    }
