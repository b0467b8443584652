"""Where scheduling points lie: the word in `Settings.granularity` as a value, and back.

Promises: `parse(text).text == text` for every text that a run has printed. The text is part of a
schedule's meaning and travels in tokens, so it stays below 240 characters: a set of pairs too long
for that becomes `Class.*`, then `*`, which only adds scheduling points.

- `sync`: operations of modelled objects and declared accesses alone;
- `gil`: besides, the places where stock CPython can hand over: function entry, backward jump, the end of a call;
- `access`: besides `sync`, the accesses to `(class, field)` pairs that two threads touch, one of them
  writing, and that starting and joining threads does not order; the pairs are learned on the way;
- `auto`: the same, less the pairs that a lock orders.

`access+Account.balance,list.items[]` is `access` with pairs known already, as a replay needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from verify.abc import UsageError

MODES = ("sync", "gil", "access", "auto")
LEARNING = frozenset({"access", "auto"})
MOST_CHARACTERS = 240
EVERYTHING = "*"

_PAIR = re.compile(r"\*|[^\s,.]+\.(\*|[^\s,]+)")


@dataclass(frozen=True, slots=True)
class Granularity:
    """`mode` is one of `MODES`; `pairs` are the `class.field` texts whose accesses are scheduling points."""

    mode: str
    pairs: frozenset[str] = field(default_factory=frozenset)

    @property
    def text(self) -> str:
        """What tokens and traces carry: `auto` without pairs is what it does, `sync`."""
        if not self.pairs:
            return "sync" if self.mode == "auto" else self.mode
        return f"{self.mode}+{','.join(sorted(self.pairs))}"

    @property
    def learns(self) -> bool:
        """Whether pairs are looked for."""
        return self.mode in LEARNING

    def grown(self, found: frozenset[str]) -> Granularity:
        """Return this with more pairs, made coarser where the text would get too long."""
        missing = frozenset(pair for pair in found if not covers(self.pairs, pair))
        if not missing:
            return self
        pairs = self.pairs | missing
        for coarser in (pairs, _by_class(pairs), frozenset({EVERYTHING})):
            grown = Granularity(self.mode, coarser)
            if len(grown.text) <= MOST_CHARACTERS and all(map(_writable, coarser)):
                break
        return grown


def covers(pairs: frozenset[str], pair: str) -> bool:
    """Say whether accesses to `pair` are scheduling points under `pairs`."""
    return pair in pairs or EVERYTHING in pairs or f"{pair.partition('.')[0]}.*" in pairs


def _by_class(pairs: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{pair.partition('.')[0]}.*" for pair in pairs)


def _writable(pair: str) -> bool:
    # A token carries printable ASCII alone; a name in another script makes the set coarser.
    return pair.isascii() and pair.isprintable() and _PAIR.fullmatch(pair) is not None


def parse(text: str) -> Granularity:
    """Return the granularity that `text` names; raise `UsageError` for any other text."""
    mode, plus, rest = text.partition("+")
    pairs = rest.split(",") if plus else []
    if mode not in MODES or (plus and mode not in LEARNING) or not all(map(_writable, pairs)):
        raise UsageError(
            f"granularity {text[:80]!r} is not known; say one of {', '.join(MODES)}, "
            "or access+Class.field,... as a trace names it"
        )
    return Granularity(mode, frozenset(pairs))
