"""A guest for QEMU: 64 KiB of firmware that increments a word in each of 128 pages, for ever.

Promises: `FIRMWARE` touches nothing but the first word of every page from 64 KiB to 576 KiB.
"""

from __future__ import annotations

from typing import Final

SIZE: Final = 64 << 10
PAGE: Final = 4096
FIRST: Final = 0x1000
END: Final = 0x9000
"""First segment (16 bytes each) that is dirtied, and the one after the last."""
PAGES: Final = (END - FIRST) * 16 // PAGE

_PROGRAM: Final = bytes.fromhex(
    "fa"  # cli
    "b80010"  # again: mov ax, FIRST
    "8ed8"  # next: mov ds, ax
    "66ff060000"  # inc dword [0]
    "050001"  # add ax, a page
    "3d0090"  # cmp ax, END
    "72f1"  # jb next
    "ebec"  # jmp again
)
_RESET: Final = bytes.fromhex("ea000000f0")
"""jmp 0xf000:0, where a PC's firmware lies."""
_RESET_AT: Final = 0xFFF0
FIRMWARE: Final = (_PROGRAM.ljust(_RESET_AT, b"\xf4") + _RESET).ljust(SIZE, b"\xf4")
