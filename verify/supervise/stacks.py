"""The stacks of a process that does not answer, from outside, before it is killed.

Promises: `dump` returns text in every case, within the time limits of `verify.backtraces`; what goes wrong is a
sentence in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.backtraces import collect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verify.backtraces import ProcessDump, ThreadDump


def dump(pid: int) -> str:
    """Return every thread of process `pid` with its stack, innermost last, and what could not be had."""
    return "".join(f"{line}\n" for line in _lines(collect(pid)))


def _lines(found: ProcessDump) -> Iterator[str]:
    for problem in found.problems:
        yield f"({problem})"
    for thread in found.threads:
        yield from _thread(thread)
    if not found.threads:
        yield "no stacks"


def _thread(thread: ThreadDump) -> Iterator[str]:
    marks = [
        word
        for word, seen in (("active", thread.active), ("holds the GIL", thread.owns_gil))
        if seen
    ]
    yield f"thread {thread.native_id} {thread.name!r}{': ' * bool(marks)}{', '.join(marks)}"
    for frame in thread.frames:
        yield f"  {frame.file}:{frame.line} {frame.function}"
