"""Damaging a stream at random, knowing its fields.

Promises: the same stream, fields and `random.Random` give the same result; at least one change is tried,
though it may happen to change nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from bench.streams import layout

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from bench.streams.bases import Base
    from bench.streams.layout import Field

EDGES: Final = (0, 1, 2, 4, 5, 7, 8, 0x0F, 0x10, 0x20, 0x22, 0x28, 0x40, 0x7E, 0x7F, 0x80, 0xFF)
"""Bytes that mean something somewhere."""
FLAGS: Final = (0, 1, 2, 4, 8, 0x10, 0x20, 0x22, 0x28, 0x40, 0x60, 0x80, 0x100, 0x120, 0x200, 0xFFF)
MANY: Final = 100
"""Braces of a description that takes long to read."""
LONGEST: Final = 24
"""Bytes of random junk."""


def _by_name(fields: list[Field]) -> list[list[Field]]:
    """The fields in groups of one name."""
    names = sorted({field.name for field in fields})
    return [[field for field in fields if field.name == name] for name in names]


class Damager:
    """Mutants of a set of bases."""

    def __init__(self, bases: Sequence[Base], draw: random.Random) -> None:
        self._draw = draw
        self._bases = list(bases)
        self._fields = [layout.fields(base.stream) for base in bases]
        self._named = [_by_name(fields) for fields in self._fields]
        # Most of the time goes to streams whose descriptions are short.
        self._weights = [4 if base.stream.count(b"{") < MANY else 0.3 for base in bases]
        self._ways: list[Callable[[bytes, list[Field]], bytes]] = [
            self._value,
            self._value,
            self._value,
            self._flip,
            self._drop,
            self._repeat,
            self._swap,
            self._cut,
            self._junk,
            self._splice,
            self._move_section,
            self._describe,
        ]

    def one(self) -> tuple[Base, bytes]:
        """A base and a mutant of it."""
        number = self._draw.choices(range(len(self._bases)), self._weights)[0]
        base, fields = self._bases[number], self._fields[number]
        stream = self._draw.choice(self._ways)(base.stream, fields)
        while self._draw.random() < 0.25:
            # Places no longer fit after the first change: that is damage, too.
            stream = self._draw.choice(self._ways)(stream, fields)
        return base, stream

    def _field(self, fields: list[Field]) -> Field:
        """Any kind of field as likely as another, however often it comes."""
        named = next(n for f, n in zip(self._fields, self._named, strict=True) if f is fields)
        return self._draw.choice(self._draw.choice(named))

    def _replace(self, stream: bytes, field: Field, by: bytes) -> bytes:
        return stream[: field.at] + by + stream[field.end :]

    def _number(self, old: int, size: int) -> int:
        draw = self._draw
        values = [old + 1, old - 1, old << 1, old ^ (1 << draw.randrange(8 * size)), 0, -1]
        values += [draw.choice(EDGES), draw.randrange(1 << 8 * size), draw.choice(FLAGS)]
        values += [(old & ~0xFFF) | draw.choice(FLAGS), 1 << 62, 1 << 63]
        return draw.choice(values) % (1 << 8 * size)

    def _value(self, stream: bytes, fields: list[Field]) -> bytes:
        """Another number in a field, or in one byte of a long one."""
        field = self._field(fields)
        if field.size > 8:
            at = field.at + self._draw.randrange(field.size)
            return stream[:at] + bytes((self._draw.choice(EDGES),)) + stream[at + 1 :]
        old = int.from_bytes(stream[field.at : field.end], "big")
        made = self._number(old, field.size).to_bytes(field.size, "big")
        return self._replace(stream, field, made)

    def _flip(self, stream: bytes, fields: list[Field]) -> bytes:
        field = self._field(fields)
        changed = bytearray(stream)
        for _ in range(self._draw.randrange(1, 4)):
            at = field.at + self._draw.randrange(field.size)
            if at < len(changed):
                changed[at] ^= 1 << self._draw.randrange(8)
        return bytes(changed)

    def _drop(self, stream: bytes, fields: list[Field]) -> bytes:
        return self._replace(stream, self._field(fields), b"")

    def _repeat(self, stream: bytes, fields: list[Field]) -> bytes:
        field = self._field(fields)
        there = stream[field.at : field.end]
        return self._replace(stream, field, there * self._draw.choice((2, 2, 3, 9)))

    def _swap(self, stream: bytes, fields: list[Field]) -> bytes:
        one, two = sorted((self._field(fields), self._field(fields)))
        if one.end > two.at:
            return self._replace(stream, one, b"")
        middle = stream[one.end : two.at]
        first, second = stream[one.at : one.end], stream[two.at : two.end]
        return stream[: one.at] + second + middle + first + stream[two.end :]

    def _cut(self, stream: bytes, fields: list[Field]) -> bytes:
        field = self._field(fields)
        return stream[: field.at + self._draw.randrange(field.size + 1)]

    def _junk(self, stream: bytes, fields: list[Field]) -> bytes:
        field = self._field(fields)
        junk = self._draw.randbytes(self._draw.randrange(1, LONGEST))
        at = len(stream) if self._draw.random() < 0.2 else field.at
        return stream[:at] + junk + stream[at:]

    def _splice(self, stream: bytes, fields: list[Field]) -> bytes:
        """Go on in another base, at a field of the same name when there is one."""
        other = self._draw.randrange(len(self._bases))
        here = self._field(fields)
        same = [field for field in self._fields[other] if field.name == here.name]
        there = self._draw.choice(same or self._fields[other])
        return stream[: here.at] + self._bases[other].stream[there.at :]

    def _move_section(self, stream: bytes, fields: list[Field]) -> bytes:
        """Take a section away, double it, or put it elsewhere."""
        starts = [field.at for field in fields if field.name in {"section type", "end of file"}]
        starts.append(len(stream))
        at = self._draw.randrange(len(starts) - 1)
        section = stream[starts[at] : starts[at + 1]]
        rest = stream[: starts[at]] + stream[starts[at + 1] :]
        to = self._draw.choice(starts)
        return self._draw.choice(
            (rest, rest[:to] + section + rest[to:], stream[:to] + section + stream[to:])
        )

    def _describe(self, stream: bytes, fields: list[Field]) -> bytes:
        """Another value somewhere in the VM description, its length right again."""
        length, text = fields[-2], fields[-1]
        try:
            top = cast("object", json.loads(stream[text.at : text.end]))
        except ValueError:
            return stream[: text.at]
        made = json.dumps(self._other(top, 0)).encode()
        return stream[: length.at] + len(made).to_bytes(4, "big") + made

    def _other(self, value: object, depth: int) -> object:
        """`value` with one change somewhere below."""
        draw = self._draw
        if isinstance(value, dict) and value and draw.random() > 0.1:
            key = draw.choice(sorted(value))
            if draw.random() < 0.15:
                return {name: kept for name, kept in value.items() if name != key}
            return {**value, key: self._other(value[key], depth + 1)}
        if isinstance(value, list) and value and draw.random() > 0.1:
            at = draw.randrange(len(value))
            if draw.random() < 0.15:
                return value + value[at : at + 1]
            return [*value[:at], self._other(value[at], depth + 1), *value[at + 1 :]]
        nested: object = {"name": "f", "size": 1, "fields": []}
        for _ in range(draw.choice((1, 3, 40))):
            nested = {"name": "f", "size": 1, "struct": {"fields": [nested]}}
        numbers = [0, 1, -1, 25, 1 << 26, (1 << 26) + 1, 1 << 40, 1.5, True, None]
        return draw.choice([*numbers, "", "x" * 300, "\ud800", [], {}, nested, [nested] * 3])
