"""One record per thread, whichever tool saw it.

Plain immutable values; no I/O, nothing live.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ProcessDump", "StackFrame", "ThreadDump"]


@dataclass(frozen=True, slots=True)
class StackFrame:
    """One level of a stack: `native` marks C code, whose `file` is the library and `line` 0 if unknown."""

    file: str
    line: int
    function: str
    native: bool = False


@dataclass(frozen=True, slots=True)
class ThreadDump:
    """One thread of a process at one moment; what a tool cannot see is None.

    `native_id` is the kernel's thread id, `ident` Python's (`threading.get_ident`), `frames` have the
    innermost last, `active` says that the tool saw it on a processor, `owns_gil` that it held the
    interpreter lock. `state` is a digest of what its innermost Python frame computes with (line and
    local variables), "" where nobody looked: two samples that differ have moved.
    """

    native_id: int | None
    ident: int | None
    name: str
    frames: tuple[StackFrame, ...]
    active: bool | None = None
    owns_gil: bool | None = None
    state: str = ""

    def python_frames(self) -> tuple[StackFrame, ...]:
        """Return the frames of Python code alone, innermost last."""
        return tuple(frame for frame in self.frames if not frame.native)

    def native_tail(self) -> tuple[StackFrame, ...]:
        """Return the native frames inside the innermost Python frame, innermost last."""
        tail: list[StackFrame] = []
        for frame in reversed(self.frames):
            if not frame.native:
                return tuple(reversed(tail))
            tail.append(frame)
        return tuple(reversed(tail))


@dataclass(frozen=True, slots=True)
class ProcessDump:
    """All threads of process `pid`, by the tool named; `problems` are sentences on tools that failed.

    `tool` is "" and `threads` empty where no tool answered.
    """

    pid: int
    tool: str
    threads: tuple[ThreadDump, ...]
    problems: tuple[str, ...] = ()
