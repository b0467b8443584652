"""A guest for QEMU that dirties so many pages a second: firmware that walks over a window of memory by the clock.

Promises: `firmware` increments the first word of one page after the other, for ever, each when the time-stamp counter
says that it is due. Assumes: the counter of the guest runs as fast as the host's (TCG and KVM).
"""

from __future__ import annotations

import pathlib
import re
import struct
from typing import Final

SIZE: Final = 64 << 10
PAGE: Final = 4096
_AT: Final = 0xF0000
"""Where a PC's firmware lies; its own addresses below count from there."""
_PROGRAM: Final = bytes.fromhex(
    "fa"  # cli
    "2e660f01166800"  # lgdt cs:[0x68]
    "0f20c0 0c01 0f22c0"  # protected mode
    "66ea18000f000800"  # jmp 8:0xf0018
    "66b81000 8ed8 8ed0"  # mov ax, 16; mov ds, ax; mov ss, ax
    "be70000f00"  # mov esi, 0xf0070
    "0f31 89c3 89d1"  # rdtsc; mov ebx, eax; mov ecx, edx: when the next page is due
    "8b3e"  # again: mov edi, [esi]: the first page
    "ff07"  # next: inc dword [edi]
    "81c700100000"  # add edi, a page
    "035e08 83d100"  # add ebx, [esi + 8]: ticks for each page; adc ecx, 0
    "0f31 29d8 19ca 78f8"  # wait: rdtsc; sub eax, ebx; sbb edx, ecx; js wait
    "3b7e04 72e5 ebe1"  # cmp edi, [esi + 4]: the end; jb next; jmp again
).ljust(0x50, b"\x90")
_SEGMENTS: Final = struct.pack(
    "<QQQHI2x", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 23, _AT + 0x50
)
"""At 0x50 flat code and data, at 0x68 where they are."""
_RESET: Final = bytes.fromhex("ea000000f0")
"""jmp 0xf000:0"""
_RESET_AT: Final = 0xFFF0


def ticks_a_second() -> float:
    """Of the host's time-stamp counter, as the kernel tells it; raises `RuntimeError` where it does not."""
    found = re.search(
        r"^cpu MHz\s*: ([\d.]+)", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE
    )
    if found is None:
        raise RuntimeError("/proc/cpuinfo has no 'cpu MHz'; run on x86")
    return float(found[1]) * 1e6


def firmware(first: int, end: int, rate: float) -> bytes:
    """64 KiB that dirty the pages from byte `first` to `end` (multiples of a page), `rate` pages a second."""
    words = struct.pack("<III", first, end, int(ticks_a_second() / rate))
    program = _PROGRAM + _SEGMENTS + words
    return (program.ljust(_RESET_AT, b"\xf4") + _RESET).ljust(SIZE, b"\xf4")
