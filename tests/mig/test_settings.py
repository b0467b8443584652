"""Parameters and capabilities of a machine: replaced as a whole, obeyed by what runs."""

from __future__ import annotations

import socket

import pytest

from mig.capabilities import NAMES, Capabilities, CapabilityError
from mig.machine import MachineError
from mig.parameters import ParameterError, Parameters
from mig.ram import PAGE_SIZE
from tests.mig.machines import WAIT, make, pair


def test_capabilities() -> None:
    """All are off at first; a name or a value that is none is refused and shown."""
    assert not any(getattr(Capabilities(), name) for name in NAMES)
    assert Capabilities(xbzrle=True) == Capabilities().changed(xbzrle=True)
    with pytest.raises(CapabilityError, match=r"no migration capability 'multifd'; there are: xbz"):
        Capabilities().changed(multifd=True)
    with pytest.raises(CapabilityError, match="xbzrle is 1; give True or False"):
        Capabilities(xbzrle=1)  # type: ignore[arg-type]


def test_set_parameters() -> None:
    """What is changed is replaced, the rest stays; a refused change changes nothing."""
    machine = make(parameters=Parameters(downtime_limit_ms=7))
    assert (5, 7) == (
        machine.set_parameters(max_bandwidth=5).max_bandwidth,
        machine.parameters.downtime_limit_ms,
    )
    for changes, message in (
        ({"max_bandwidth": 6, "speed": 1}, "no migration parameter 'speed'; there are: max_band"),
        ({"max_bandwidth": 6, "downtime_limit_ms": -1}, "downtime_limit_ms is -1; give"),
        ({"xbzrle_cache_size": 12288}, "xbzrle_cache_size is 12288; give a power of two"),
        ({"max_cpu_throttle": 19}, "max_cpu_throttle is 19, below cpu_throttle_initial, 20"),
    ):
        with pytest.raises(ParameterError, match=message):
            machine.set_parameters(**changes)
    assert 5 == machine.parameters.max_bandwidth
    machine.close()


def test_obeyed_while_it_runs() -> None:
    """A migration that would last for days ends soon when its bandwidth is raised."""
    with pair(vcpus=0, pages=64, parameters=Parameters(max_bandwidth=10)) as made:
        made.source.start()
        made.source.ram.blocks()[0].array[:] = 1
        migration = made.migrate(
            lambda _: void(made.source.set_parameters(max_bandwidth=1 << 30, downtime_limit_ms=2))
        )
        assert ("completed", 64) == (migration.info().status, migration.info().ram.normal)
        assert 2 == migration.parameters.downtime_limit_ms
        assert 64 * PAGE_SIZE < migration.channel.limit


def void(_: object) -> None:
    """Drop a value."""


def test_kept_by_a_migration() -> None:
    """Capabilities do not change under a migration; afterwards they may."""
    near, far = socket.socketpair()
    machine = make(parameters=Parameters(max_bandwidth=1))
    machine.start()
    machine.set_capabilities(events=True)
    migration = machine.migrate(near)
    with far, pytest.raises(MachineError, match="while a migration is under way"):
        machine.set_capabilities(events=False)
    assert Capabilities(events=True) == migration.capabilities
    migration.cancel()
    assert migration.join(WAIT)
    assert Capabilities() == machine.set_capabilities(events=False)
    machine.close()
