"""CPython's own tests pass under the models; those left out have one of five reasons."""

from __future__ import annotations

import pytest

from . import cpython
from .cpython import MODULES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not cpython.is_here("test.lock_tests"), reason="this Python has no test package"
    ),
    pytest.mark.filterwarnings("ignore"),
]

PARTS = [(module, part) for module, least in MODULES.items() for part in range(1 + least // 40)]


@pytest.mark.parametrize(("module", "part"), PARTS)
def test_cpythons_own_tests(module: str, part: int, capsys: pytest.CaptureFixture[str]) -> None:
    """All of CPython's tests that a check can run pass; the others are left out by name and reason."""
    if not cpython.is_here(module):
        pytest.skip(f"this Python comes without {module}")
    chosen = [case for case in cpython.cases(module) if not case.reason]
    assert len(chosen) >= MODULES[module]

    outcomes = cpython.run(chosen[part :: 1 + MODULES[module] // 40])

    assert {} == {title: text for title, text in outcomes.items() if text}


@pytest.mark.parametrize("module", MODULES)
def test_reasons(module: str) -> None:
    """Nothing is left out but for a reason that a check cannot do anything about."""
    if not cpython.is_here(module):
        pytest.skip(f"this Python comes without {module}")

    assert {case.reason for case in cpython.cases(module)} <= {"", *cpython.REASONS}
