"""CPython's own tests pass under the models; those left out have one of five reasons."""

from __future__ import annotations

import importlib
import unittest

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
    """Every test that unittest finds in a module is run, or counted under a reason."""
    if not cpython.is_here(module):
        pytest.skip(f"this Python comes without {module}")
    kinds = [
        kind
        for kind in vars(importlib.import_module(module)).values()
        if isinstance(kind, type) and issubclass(kind, unittest.TestCase)
    ]
    names = {(kind, name) for kind in kinds for name in dir(kind) if name.startswith("test")}

    assert names == {(case.kind, case.name) for case in cpython.cases(module)}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ThreadPoolWaitTests", ""),
        ("ProcessPoolForkWaitTest", cpython.FORK),
        ("ProcessPoolForkserverWaitTest", cpython.SUBPROCESS),
        ("ProcessPoolSpawnWaitTest", cpython.SUBPROCESS),
    ],
)
def test_executors_of_processes(name: str, reason: str) -> None:
    """A class made for an executor of processes is left out for how that starts them."""
    assert reason == cpython.of_processes(name)
