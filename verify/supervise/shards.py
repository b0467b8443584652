"""One part of many: `--shard i/n`.

Promises: over i = 1..n every number belongs to exactly one shard, and which one depends on the number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from verify.abc import UsageError

MOST_SHARDS = 100_000


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `part` of `parts`, counted from 1."""

    part: int = 1
    parts: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `i/n`; raise `UsageError` for anything else."""
        part, _, parts = text.partition("/")
        fits = all(x.isascii() and x.isdecimal() and len(x) < 8 for x in (part, parts))
        if not fits or not 1 <= int(part) <= int(parts) <= MOST_SHARDS:
            raise UsageError(f"shard {text!r} is not i/n with 1 <= i <= n; type e.g. 2/5")
        return cls(int(part), int(parts))

    def __contains__(self, number: int) -> bool:
        return number % self.parts == self.part - 1

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"
