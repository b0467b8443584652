"""The tables of the flight recorder: strings, frames, stacks, and what objects are called.

Promises: each text, frame and stack is written once. A stack is found by a key that names its frames by code and
instruction, which takes no text and makes nothing. The code objects in a key are kept alive, so that no other one
gets an id that stands in it.
Assumes that growing is rare: it takes a lock, which a thread may take again (a signal handler, a finalizer), and gives
up after `PATIENCE_S`, for it must not wait for the program:
1. thread A grows a table; a finalizer runs in it and waits for a lock of the program, which thread B holds;
2. thread B makes an operation at a new place, and needs to grow the same table: without an end to its wait, both hang.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

from verify import _real
from verify.observe import layout
from verify.sites import is_framework, short, store_after

if TYPE_CHECKING:
    from types import CodeType, FrameType


PATIENCE_S = 0.1
"""How long growing waits for another thread that grows; then the text or stack is left out."""


class Tables:
    """The memory written to, and the tables in it that only grow, up to their bound."""

    def __init__(self) -> None:
        self.buffer = mmap.mmap(-1, layout.SIZE)
        self.words = memoryview(self.buffer).cast("Q")
        self.growing = _real.RLock()
        self.strings: dict[str, int] = {}
        self.strings_end = 8
        self.frames: dict[tuple[int, int, int], int] = {}
        self.stacks: dict[tuple[int, ...], int] = {}
        self.contents: dict[tuple[int, ...], int] = {}
        self.labels: dict[tuple[tuple[int, ...], int], int] = {}
        self.alive: dict[int, CodeType] = {}
        self.folds: dict[int, CodeType] = {}

    def write_word(self, offset: int, value: int) -> None:
        """Write four bytes."""
        self.buffer[offset : offset + 4] = value.to_bytes(4, "little")

    def short_of(self, flag: int) -> None:
        """Say in the header that something did not fit."""
        flags = int.from_bytes(self.buffer[layout.FLAGS_AT : layout.FLAGS_AT + 4], "little")
        if not flags & flag:
            self.write_word(layout.FLAGS_AT, flags | flag)

    def string(self, text: str) -> int:
        """Return where `text` is stored."""
        known = self.strings.get(text)
        return known if known is not None else self._new_string(text)

    def _new_string(self, text: str) -> int:
        raw = text.encode("utf-8", "replace")[: layout.LONGEST_STRING]
        if not self.growing.acquire(timeout=PATIENCE_S):
            return 0
        try:
            start = self.strings_end
            if start + 2 + len(raw) > layout.STRINGS_SIZE:
                self.short_of(layout.STRINGS_FULL)
                return 0
            self.strings_end = start + 2 + len(raw)
            at = layout.STRINGS_AT + start
            self.buffer[at : at + 2 + len(raw)] = len(raw).to_bytes(2, "little") + raw
            self.strings[text] = start
        finally:
            self.growing.release()
        return start

    def stack(self, frame: FrameType | None) -> int:
        """Return the number of the stack that ends in `frame`: eight frames, `threading`'s own folded."""
        key = deep_key(frame)
        return self.stacks.get(key) or self.new_stack(key, frame)

    def site(self, frame: FrameType) -> int:
        """Return the number of a stack of the frame alone, or of a deeper one where it is `threading`'s own."""
        code = frame.f_code
        key: tuple[int, ...] = (id(code), frame.f_lasti)
        known = self.stacks.get(key)
        if known:
            return known
        if id(code) in self.folds or is_folded(code.co_filename):
            self.folds[id(code)] = code
            key = near_key(frame)
            return self.stacks.get(key) or self.new_stack(key, frame)
        return self.new_stack(key, frame)

    def new_stack(self, key: tuple[int, ...], frame: FrameType | None) -> int:
        """Enter a stack under `key`, which names its frames by code and instruction.

        The code objects are kept alive, so that no other one gets an id that stands in a key.
        """
        if not key:
            return 0
        if len(self.stacks) >= 4 * layout.MOST_STACKS:
            self.short_of(layout.STACKS_FULL)
            return 0
        if not self.growing.acquire(timeout=PATIENCE_S):
            return 0
        try:
            stack = self.stacks[key] = self._grow_stack(len(key) // 2, frame)
        finally:
            self.growing.release()
        return stack

    def _grow_stack(self, depth: int, frame: FrameType | None) -> int:
        kept: list[int] = []
        every: list[int] = []
        while frame is not None and depth:
            depth -= 1
            code = frame.f_code
            self.alive[id(code)] = code
            number = self._frame(code, frame.f_lasti, frame.f_lineno or 0)
            if not code.co_filename.startswith(_TOOLKIT):
                every.append(number)
            if not is_folded(code.co_filename):
                kept.append(number)
            frame = frame.f_back
        content = tuple(kept or every)
        known = self.contents.get(content)
        return known if known is not None else self._write_stack(content)

    def _write_stack(self, content: tuple[int, ...]) -> int:
        number = len(self.contents) + 1
        if number >= layout.MOST_STACKS:
            self.short_of(layout.STACKS_FULL)
            return 0
        layout.STACK.pack_into(
            self.buffer, layout.STACKS_AT + number * layout.STACK.size, *(*content, *[0] * 8)[:8]
        )
        self.contents[content] = number
        return number

    def _frame(self, code: CodeType, instruction: int, line: int) -> int:
        key = (id(code), instruction, line)
        number = self.frames.get(key)
        if number is None:
            number = len(self.frames) + 1
            if number >= layout.MOST_FRAMES:
                self.short_of(layout.STACKS_FULL)
                return 0
            file, function = self.string(code.co_filename), self.string(code.co_qualname)
            at = layout.FRAMES_AT + number * layout.FRAME.size
            layout.FRAME.pack_into(self.buffer, at, file, line, function, 0)
            self.frames[key] = number
        return number

    def titled(self, kind: int, frame: FrameType | None, label: str) -> tuple[int, int]:
        """Return the stack of the object that `frame` makes, and what it is called (`label`, if there is one)."""
        key = deep_key(frame)
        stack = self.stacks.get(key) or self.new_stack(key, frame)
        title = self.string(label) if label else self.labels.get((key, kind))
        if title is None:
            title = self.string(label_of(kind, frame))
            if stack:  # then what the key names is kept alive
                self.labels[key, kind] = title
        return stack, title


def deep_key(frame: FrameType | None) -> tuple[int, ...]:
    """Return what names the innermost eight frames: the code and the instruction of each."""
    return _key(frame, 8)


def near_key(frame: FrameType) -> tuple[int, ...]:
    """Return what names the innermost three frames."""
    return _key(frame, 3)


def _key(frame: FrameType | None, depth: int) -> tuple[int, ...]:
    key: list[int] = []
    while frame is not None and depth:
        key += (id(frame.f_code), frame.f_lasti)
        frame = frame.f_back
        depth -= 1
    return tuple(key)


def is_folded(filename: str) -> bool:
    """Say whether frames of a file are left out of stacks: the toolkit, `threading` and its like, the thread pools."""
    return is_framework(filename) or filename.startswith(_FUTURES)


_TOOLKIT = str(Path(__file__).parent.parent) + os.sep
_FUTURES = str(Path(os.__file__).parent / "concurrent" / "futures") + os.sep


def label_of(kind: int, frame: FrameType | None) -> str:
    """Return what the program calls the object that `frame` makes: "Account.lock", or where it was made."""
    while frame is not None and is_framework(frame.f_code.co_filename):
        frame = frame.f_back
    name = layout.KINDS[kind]
    while frame is not None:
        code = frame.f_code
        owner, attribute = store_after(code, frame.f_lasti)
        if owner:
            parts = code.co_qualname.split(".")
            is_method = owner == code.co_varnames[0] and len(parts) > 1 and parts[-2] != "<locals>"
            return f"{parts[-2] if is_method else owner}.{attribute}"
        if not is_folded(code.co_filename):
            return attribute or f"{name} made at {short(code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return name
