"""Parameters: defaults, limits, refusals."""

from __future__ import annotations

import pytest

from mig.parameters import LIMITS, ParameterError, Parameters


def test_defaults() -> None:
    """The defaults are those of QEMU."""
    made = Parameters()
    assert (128 << 20, 300, 2**31 - 1) == (
        made.max_bandwidth,
        made.downtime_limit_ms,
        made.drain_limit,
    )


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_limits(name: str) -> None:
    """Both ends of a range are allowed, and nothing beyond them."""
    low, high = LIMITS[name]
    least = {"cpu_throttle_initial": 1} if name == "max_cpu_throttle" else {}
    for value in (low, high):
        assert value == getattr(Parameters(**least, **{name: value}), name)
    for value in (low - 1, high + 1):
        with pytest.raises(ParameterError, match=rf"{name} is {value}; give .* {low} to {high}"):
            Parameters(**{name: value})


@pytest.mark.parametrize("value", [1.5, "10", None, True])
def test_kinds(value: object) -> None:
    """What is no whole number is refused."""
    with pytest.raises(ParameterError, match="max_bandwidth"):
        Parameters(max_bandwidth=value)  # type: ignore[arg-type]
