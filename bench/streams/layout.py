"""Every field of a whole stream: where it begins, how long it is, and what it is called.

Promises: the fields of `fields(stream)` follow each other without gap or overlap from the first byte to the last.
Assumes: a whole stream in which every device section is described at the end, without x-ignore-shared.
An own, simple parser, so that it does not share the decoder's faults.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from mig import vmdesc

PAGE: Final = 4096
_EXTRAS: Final = {"configuration/uuid": 16, "configuration/target-page-bits": 4}
_MEM_SIZE: Final = 4
_EOS: Final = 0x10
_CONTINUE: Final = 0x20


class Field(NamedTuple):
    """One field."""

    at: int
    size: int
    name: str

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.at + self.size


class _Walk:
    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.at = 0
        self.fields: list[Field] = []
        start = vmdesc.find(stream)
        if start is None:
            raise ValueError("the stream does not end with a VM description")
        self.described = vmdesc.parse(stream[start + 5 :])

    def take(self, name: str, size: int) -> bytes:
        if self.at + size > len(self.stream):
            raise ValueError(f"{name} at {self.at} goes beyond the end")
        if size:
            self.fields.append(Field(self.at, size, name))
        self.at += size
        return self.stream[self.at - size : self.at]

    def number(self, name: str, size: int) -> int:
        return int.from_bytes(self.take(name, size), "big")

    def named(self, what: str) -> str:
        return self.take(what, self.number(f"{what} length", 1)).decode()

    def head(self) -> None:
        self.take("magic", 4)
        self.take("stream version", 4)
        while (kind := self.stream[self.at]) in {5, 7}:
            self.take("configuration type", 1)
            if kind == 7:
                self.take("machine name", self.number("machine name length", 4))
                continue
            name = self.named("extra name")
            self.take("extra version", 4)
            if name in _EXTRAS:
                self.take("extra", _EXTRAS[name])
            else:
                for _ in range(self.number("capability count", 4)):
                    self.named("capability")

    def setup(self) -> None:
        left = self.number("ram size", 8) & ~(PAGE - 1)
        while left > 0:
            self.named("block name")
            left -= self.number("block length", 8)

    def records(self) -> None:
        while True:
            word = int.from_bytes(self.stream[self.at : self.at + 8], "big")
            if word == _EOS:
                self.take("end of records", 8)
                return
            self.take("page word", 8)
            if not word & _CONTINUE:
                self.named("page block")
            if word & 2:
                self.take("fill", 1)
            elif word & 8:
                self.take("page", PAGE)
            else:
                self.take("delta encoding", 1)
                self.take("delta", self.number("delta length", 2))

    def footer(self) -> None:
        self.take("footer type", 1)
        self.take("footer id", 4)

    def section(self, kind: int) -> None:
        self.take("section type", 1)
        if kind == 8:
            code = self.number("command", 2)
            data = self.take("command data", self.number("command length", 2))
            if code == 7:
                self.take("package", struct.unpack(">I", data)[0])
            return
        self.take("section id", 4)
        if kind in {1, 4}:
            name = self.named("section name")
            instance = self.number("instance", 4)
            self.take("section version", 4)
        if kind == 4:
            device = self.described.device(name, instance)
            if device is None:
                raise ValueError(f"device {name} is not described")
            self.take("device state", device.body_size)
        elif kind == 1:
            self.setup()
            self.records()
        else:
            self.records()
        self.footer()

    def walk(self) -> list[Field]:
        self.head()
        while kind := self.stream[self.at]:
            self.section(kind)
        self.take("end of file", 1)
        self.take("description type", 1)
        self.take("description", self.number("description length", 4))
        if self.at != len(self.stream):
            raise ValueError(f"{len(self.stream) - self.at} bytes follow the description")
        return self.fields


def fields(stream: bytes) -> list[Field]:
    """Every field of `stream` in order; raises `ValueError` for one that is not whole."""
    return _Walk(stream).walk()


def spans(stream: bytes) -> list[tuple[int, int, int]]:
    """(type byte, begin, end) of every section, the end of file and the description as two more."""
    found = fields(stream)
    starts = [
        field.at
        for field in found
        if field.name in {"section type", "end of file", "description type"}
    ]
    return [
        (stream[at], at, end) for at, end in zip(starts, [*starts[1:], len(stream)], strict=True)
    ]
