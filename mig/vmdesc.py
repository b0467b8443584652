"""Sizes of device sections, from the VM description that the source sends after its stream.

Promises: `parse` reads untrusted text into plain values or raises `DescriptionError` with the path
of the culprit; sizes, nesting and counts are bounded. `find` locates the description at the end of
a stream whose device sections cannot be parsed for want of a length.
Assumes: the writer described what it wrote (QEMU makes both in one walk), so a field's `size` is
the number of bytes on the wire and a struct's size includes its subsections.
Does not: interpret fields; a body stays opaque.

Source: QEMU migration/vmstate.c (`vmsd_desc_field_start`), scripts/analyze-migration.py.
"""

from __future__ import annotations

import json
import struct
from typing import Final, NamedTuple

MAX_DEPTH: Final = 24
"""Deepest nesting of structs and subsections; QEMU's own stay below ten."""
MAX_FIELDS: Final = 1 << 16
MAX_ELEMENTS: Final = 1 << 20
"""Of one array."""
MAX_DEVICES: Final = 4096
MAX_BODY: Final = 64 << 20
"""Bytes of one device section."""
MAX_TEXT: Final = 4 << 20
"""Bytes of the JSON text; a `pc` with one CPU takes 98 KB, each further CPU 6 KB."""
MAX_VALUES: Final = 1 << 18
"""Lists, objects and commas of the text: they decide how much memory reading it takes."""
NAME_MAX: Final = 255
_SUBSECTION: Final = 0x05
_VMDESCRIPTION: Final = 0x06
_HEAD: Final = 5
"""Bytes in front of the text: the type byte and a 32-bit length."""


class DescriptionError(ValueError):
    """A VM description that cannot be used; the text names the place and the value."""


class Subsection(NamedTuple):
    """A subsection after a device's own fields: its name, version and bytes of its fields."""

    name: str
    version: int
    size: int


class Device(NamedTuple):
    """One device section: its key, and the byte sizes of its own fields and of its subsections."""

    name: str
    instance: int
    version: int
    fields_size: int
    subsections: tuple[Subsection, ...]

    @property
    def body_size(self) -> int:
        """Bytes between the section's head and its footer."""
        heads = sum(1 + 1 + len(sub.name.encode()) + 4 + sub.size for sub in self.subsections)
        return self.fields_size + heads

    def check(self, body: bytes) -> None:
        """Raise `DescriptionError` unless `body` has the size and subsections described."""
        if len(body) != self.body_size:
            message = f"device {self.name!r}: {len(body)} bytes, described as {self.body_size}"
            raise DescriptionError(message)
        at = self.fields_size
        for sub in self.subsections:
            raw = sub.name.encode()
            head = bytes((_SUBSECTION, len(raw))) + raw + struct.pack(">I", sub.version)
            if body[at : at + len(head)] != head:
                message = f"device {self.name!r}: no subsection {sub.name!r} at byte {at}"
                raise DescriptionError(message)
            at += len(head) + sub.size


class Description(NamedTuple):
    """All device sections of a stream in the order of their writing."""

    page_size: int
    devices: tuple[Device, ...]

    def device(self, name: str, instance: int) -> Device | None:
        """The section called `name` with this instance number, None when it is not described."""
        for device in self.devices:
            if device.name == name and device.instance == instance:
                return device
        return None


class _Reader:
    """Checks types while walking the JSON values; counts fields so that work stays bounded."""

    def __init__(self) -> None:
        self.fields_left = MAX_FIELDS

    @staticmethod
    def mapping(value: object, path: str) -> dict[str, object]:
        if not isinstance(value, dict):
            message = f"{path} is {str(value)[:40]!r}, expected an object"
            raise DescriptionError(message)
        return value

    @staticmethod
    def items(value: object, path: str) -> list[object]:
        if not isinstance(value, list):
            message = f"{path} is {str(value)[:40]!r}, expected a list"
            raise DescriptionError(message)
        return value

    @staticmethod
    def number(entry: dict[str, object], key: str, path: str, limit: int) -> int:
        value = entry.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
            message = f"{path}.{key} is {str(value)[:40]!r}, expected a number from 0 to {limit}"
            raise DescriptionError(message)
        return value

    @staticmethod
    def text(entry: dict[str, object], key: str, path: str) -> str:
        value = entry.get(key)
        if not isinstance(value, str) or not 0 < len(value.encode(errors="replace")) <= NAME_MAX:
            message = (
                f"{path}.{key} is {str(value)[:40]!r}, expected a name of 1 to {NAME_MAX} bytes"
            )
            raise DescriptionError(message)
        return value.encode(errors="replace").decode()

    def fields_size(self, entry: dict[str, object], path: str, depth: int) -> int:
        if depth > MAX_DEPTH:
            message = f"{path} is nested deeper than {MAX_DEPTH}"
            raise DescriptionError(message)
        total = 0
        for at, value in enumerate(self.items(entry.get("fields"), f"{path}.fields")):
            total += self.field_size(value, f"{path}.fields[{at}]", depth)
        if total > MAX_BODY:
            message = f"{path} is {total} bytes long, the limit is {MAX_BODY}"
            raise DescriptionError(message)
        return total

    def field_size(self, value: object, path: str, depth: int) -> int:
        self.fields_left -= 1
        if self.fields_left < 0:
            message = f"more than {MAX_FIELDS} fields"
            raise DescriptionError(message)
        field = self.mapping(value, path)
        size = self.number(field, "size", path, MAX_BODY)
        inner = field.get("struct", field if "fields" in field else None)
        if inner is not None:
            nested = self.struct_size(self.mapping(inner, f"{path}.struct"), path, depth + 1)
            if nested != size:
                message = f"{path}.size is {size}, its fields add up to {nested}"
                raise DescriptionError(message)
        count = self.number(field, "array_len", path, MAX_ELEMENTS) if "array_len" in field else 1
        return size * count

    def struct_size(self, entry: dict[str, object], path: str, depth: int) -> int:
        total = self.fields_size(entry, path, depth)
        for sub in self.subsections(entry, path, depth):
            total += 1 + 1 + len(sub.name.encode()) + 4 + sub.size
        return total

    def subsections(
        self, entry: dict[str, object], path: str, depth: int
    ) -> tuple[Subsection, ...]:
        found: list[Subsection] = []
        for at, value in enumerate(self.items(entry.get("subsections", []), f"{path}.subsections")):
            where = f"{path}.subsections[{at}]"
            sub = self.mapping(value, where)
            found.append(
                Subsection(
                    self.text(sub, "vmsd_name", where),
                    self.number(sub, "version", where, 0xFFFFFFFF),
                    self.struct_size(sub, where, depth + 1),
                )
            )
        return tuple(found)

    def device(self, value: object, path: str) -> Device:
        entry = self.mapping(value, path)
        return Device(
            self.text(entry, "name", path),
            self.number(entry, "instance_id", path, 0xFFFFFFFF),
            self.number(entry, "version", path, 0xFFFFFFFF),
            self.fields_size(entry, path, 0),
            self.subsections(entry, path, 0),
        )


def parse(text: bytes) -> Description:
    """Read the JSON text of a VM description; raises `DescriptionError`."""
    values = text.count(b"{") + text.count(b"[") + text.count(b",")
    if values > MAX_VALUES:
        message = f"VM description of {values} values, the limit is {MAX_VALUES}"
        raise DescriptionError(message)
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"VM description of {len(text)} bytes is no JSON: {error}"
        raise DescriptionError(message) from None
    reader = _Reader()
    top = reader.mapping(value, "description")
    entries = reader.items(top.get("devices"), "devices")
    if len(entries) > MAX_DEVICES:
        message = f"{len(entries)} devices, the limit is {MAX_DEVICES}"
        raise DescriptionError(message)
    devices = [reader.device(entry, f"devices[{at}]") for at, entry in enumerate(entries)]
    keys = {(device.name, device.instance) for device in devices}
    if len(keys) != len(devices):
        message = f"{len(devices)} devices are described under {len(keys)} names"
        raise DescriptionError(message)
    return Description(reader.number(top, "page_size", "description", 1 << 30), tuple(devices))


def find(stream: bytes) -> int | None:
    """Where the VM description that ends `stream` begins (its type byte), None without one.

    It stands after the zero byte of the end of file and its 32-bit length reaches exactly to the
    last byte; scanned from the end, so that bytes of a device which look like one do not win.
    """
    at = len(stream)
    lowest = max(0, at - MAX_TEXT - _HEAD - 1)
    while (at := stream.rfind(bytes((0, _VMDESCRIPTION)), lowest, at)) >= 0:
        start = at + 1
        head = stream[start + 1 : start + _HEAD]
        if len(head) == _HEAD - 1:
            (length,) = struct.unpack(">I", head)
            text = start + _HEAD
            if text + length == len(stream) and stream[text : text + 1] == b"{":
                return start
    return None
