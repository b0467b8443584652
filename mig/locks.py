"""The engine's lock order, declared once.

A thread that holds a lock may only acquire locks that come later in `ORDER`, or a leaf; a thread
that holds a leaf acquires nothing. The names are those of the attributes that hold the locks.

Source: QEMU b2a8658ef5 (the ramlist mutex is taken inside the big lock), migration/ram.c (the
bitmap lock protects bitmap and counter, inside the ramlist mutex).
"""

from __future__ import annotations

from typing import Final

ORDER: Final = ("Machine.big_lock", "RamList.mutex", "Bitmap.lock")
"""Outermost first: the big lock, the ramlist mutex, the bitmap lock."""

LEAVES: Final = (
    "Channel.lock",
    "StateCell.lock",
    "EventHub.lock",
    "Machine.settings_lock",
    "ReturnPath.lock",
)
"""Locks under which no other lock is taken and nothing blocks."""
