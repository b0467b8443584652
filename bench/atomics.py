"""Atomic integers for the benchmark programs: one operation is one scheduling point, declared by hand.

It stands outside `bench.programs`, whose code is instrumented, so that what happens behind the
declaration is no scheduling point of its own.
"""

from __future__ import annotations

from verify import access


class Atomic:
    """An integer with the operations of C11's sequentially consistent atomics."""

    def __init__(self, name: str, value: int) -> None:
        self.name = name
        self.value = value

    def load(self) -> int:
        """Return the value."""
        access(self.name, write=False)
        return self.value

    def store(self, value: int) -> None:
        """Set the value."""
        access(self.name, write=True)
        self.value = value

    def exchange(self, value: int) -> int:
        """Set the value and return the one before."""
        access(self.name, write=True)
        before, self.value = self.value, value
        return before

    def add(self, amount: int) -> int:
        """Add to the value and return the new one."""
        access(self.name, write=True)
        self.value += amount
        return self.value

    def swap_if(self, expected: int, value: int) -> bool:
        """Set the value if it is `expected`; return whether it was."""
        access(self.name, write=True)
        if self.value != expected:
            return False
        self.value = value
        return True
