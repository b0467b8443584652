"""The state of an x86-64 vCPU as a list of numbers, and as the bytes of its device section.

Promises: a body has always `BODY_BYTES` bytes; `unpack` takes hostile bytes and gives back numbers
in the bounds a processor has, or raises `ValueError`; nothing of a body is executed or unpickled.
Assumes: a flat 64-bit guest whose segments, control registers and page tables are the machine's
own and stay as it set them, so they are not state.
Does not: carry AVX, debug or model-specific registers; a guest that uses them is not moved whole.

Source: Intel SDM volume 1, 3.4 (registers, flags), 8.1 (x87), 10.2 (SSE).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

GENERAL: Final = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
"""The general registers, in the order of KVM's struct kvm_regs."""
BASES: Final = ("fs_base", "gs_base")
X87: Final = ("fcw", "fsw", "ftw")
"""x87 control, status and tag word; the tag word as the guest's kind has it."""
WIDE: Final = tuple(f"fp{n}" for n in range(8)) + tuple(f"xmm{n}" for n in range(16))
"""Registers of up to 128 bits."""
NARROW: Final = (*GENERAL, "rip", "rflags", *BASES, "mxcsr", *X87)
"""Registers of up to 64 bits."""
KINDS: Final = ("unicorn", "kvm")

_HEAD = struct.Struct(">8sQ")
_WORDS = struct.Struct(f">{len(NARROW) + 2 * len(WIDE)}Q")
BODY_BYTES: Final = _HEAD.size + _WORDS.size
"""Bytes of a state: a kind, a number of words, the words."""
_LOW: Final = (1 << 64) - 1
FLAGS_ALLOWED: Final = 0x3F7FD7 & ~(1 << 8 | 1 << 14 | 1 << 16 | 1 << 17)
"""Flags a running guest may have: all but trap, nested task, resume and virtual-8086."""
FLAGS_FIXED: Final = 2
"""Always set."""
IO_PRIVILEGE: Final = 3 << 12
"""The machine's, not the guest's: stripped from what is saved, set where the guest runs."""
RESET: Final[Mapping[str, int]] = {
    **dict.fromkeys((*NARROW, *WIDE), 0),
    "rflags": FLAGS_FIXED,
    "mxcsr": 0x1F80,
    "fcw": 0x37F,
}
"""Every register as a reset leaves it, with all exceptions masked."""


class GuestError(Exception):
    """A guest that cannot be had here, or that did what no guest may; the text says what to do."""


def pack(kind: str, values: Mapping[str, int]) -> bytes:
    """The body of a vCPU's section."""
    wide = [word for name in WIDE for word in (values[name] & _LOW, values[name] >> 64)]
    words = [*(values[name] for name in NARROW), *wide]
    return _HEAD.pack(kind.encode(), len(words)) + _WORDS.pack(*words)


def unpack(kind: str, body: bytes, ram_bytes: int) -> dict[str, int]:
    """The registers in `body`, checked; raises `ValueError` for what cannot be a state of `kind`."""
    if len(body) != BODY_BYTES:
        raise ValueError(f"{len(body)} bytes of registers, expected {BODY_BYTES}")
    name, count = _HEAD.unpack_from(body)
    if name.rstrip(b"\0") != kind.encode():
        raise ValueError(f"the state of a {name[:8]!r} guest, this one is {kind!r}")
    words = _WORDS.unpack_from(body, _HEAD.size)
    if count != len(words):
        raise ValueError(f"a state of {count} words, expected {len(words)}")
    values = dict(zip(NARROW, words, strict=False))
    halves = iter(words[len(NARROW) :])
    values.update({name: low | next(halves) << 64 for name, low in zip(WIDE, halves, strict=True)})
    _check(values, ram_bytes)
    return values


def _check(values: Mapping[str, int], ram_bytes: int) -> None:
    if values["rip"] >= ram_bytes:
        raise ValueError(f"rip {values['rip']:#x} of a guest of {ram_bytes:#x} bytes")
    flags = values["rflags"]
    if flags & ~FLAGS_ALLOWED or not flags & FLAGS_FIXED or flags & IO_PRIVILEGE:
        raise ValueError(f"rflags {flags:#x}, which no running guest has")
    for name in BASES:
        if 1 << 47 <= values[name] < _LOW + 1 - (1 << 47):
            raise ValueError(f"{name} {values[name]:#x} is no canonical address")
    for name in ("mxcsr", *X87):
        if values[name] > 0xFFFF:
            raise ValueError(f"{name} {values[name]:#x} has more than 16 bits")
    for name in WIDE[:8]:
        if values[name] >> 80:
            raise ValueError(f"{name} {values[name]:#x} has more than 80 bits")
