"""py-spy: names, stacks and the holder of the interpreter lock, read from outside.

Promises: `parse` takes what any version of `py-spy dump --json` writes and returns threads, or raises
`ToolError`; unknown fields are passed over. The process is stopped for some 10 ms, also while its
interpreter lock is held for ever.
"""

from __future__ import annotations

import json
from hashlib import blake2b

from verify.backtraces.records import StackFrame, ThreadDump
from verify.backtraces.running import ToolError, beside_python, run

__all__ = ["TOOL", "dump", "parse"]

TOOL = "py-spy"
MOST_THREADS = 10_000
MOST_FRAMES = 2_000
_MOST_TEXT = 1_000


def dump(
    pid: int, limit_s: float, *, native: bool = False, values: bool = False
) -> tuple[ThreadDump, ...]:
    """Return the threads of process `pid`; `native` adds C frames, `values` fills in `ThreadDump.state`.

    Raises `ToolError` where py-spy is missing, may not look, or gives no answer in time.
    """
    command = beside_python(TOOL)
    if command is None:
        raise ToolError("py-spy is not installed: pip install py-spy")
    words = [command, "dump", "--json", "--pid", str(pid)]
    words += ["--native"] if native else []
    words += ["--locals"] if values else []
    return parse(run(words, limit_s))


def parse(text: str) -> tuple[ThreadDump, ...]:
    """Return the threads in py-spy's JSON."""
    try:
        rows: object = json.loads(text)
    except (ValueError, RecursionError):
        raise ToolError("py-spy wrote no JSON") from None
    if not isinstance(rows, list):
        raise ToolError("py-spy wrote JSON, but no list of threads")
    return tuple(_thread(row) for row in rows[:MOST_THREADS] if isinstance(row, dict))


def _thread(row: dict[str, object]) -> ThreadDump:
    listed = row.get("frames")
    frames = listed[:MOST_FRAMES] if isinstance(listed, list) else []
    innermost_last = [_frame(frame) for frame in reversed(frames) if isinstance(frame, dict)]
    name = row.get("thread_name")
    return ThreadDump(
        native_id=_whole(row.get("os_thread_id")),
        ident=_whole(row.get("thread_id")),
        name=name[:_MOST_TEXT] if isinstance(name, str) else "",
        frames=tuple(innermost_last),
        active=_flag(row.get("active")),
        owns_gil=_flag(row.get("owns_gil")),
        state=_state(frames),
    )


def _frame(row: dict[str, object]) -> StackFrame:
    file, function = row.get("filename"), row.get("name")
    return StackFrame(
        file=file[:_MOST_TEXT] if isinstance(file, str) else "",
        line=_whole(row.get("line")) or 0,
        function=function[:_MOST_TEXT] if isinstance(function, str) else "",
        native=row.get("module") is not None,
    )


def _state(frames: list[object]) -> str:
    """Return a digest of lines and simple local values of all Python frames, "" where none were read."""
    seen = blake2b(digest_size=8)
    read = False
    for frame in frames:
        if not isinstance(frame, dict) or frame.get("module") is not None:
            continue
        values = frame.get("locals")
        read = read or isinstance(values, list)
        seen.update(
            f"{frame.get('filename')}:{frame.get('line')}:{values}".encode(errors="replace")
        )
    return seen.hexdigest() if read else ""


def _whole(value: object) -> int | None:
    ok = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64
    return value if ok and isinstance(value, int) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
