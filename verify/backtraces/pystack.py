"""pystack: a second opinion where py-spy has none (`pip install 'stage3[pystack]'`).

Promises: `parse` reads the text of `pystack remote`, version 1; lines it does not know are passed
over. Thread names are the kernel's, which Python sets from 3.14 on.
"""

from __future__ import annotations

import importlib.util
import re
import sys

from verify.backtraces.records import StackFrame, ThreadDump
from verify.backtraces.running import ToolError, run

__all__ = ["TOOL", "dump", "parse"]

TOOL = "pystack"
_HEADER = re.compile(
    r"Traceback for thread (\d{1,19}) (?:\((.{0,100})\) )?((?:\[[^\[\]\n]{0,100}\] ?){0,5})\(most recent call last\):"
)
_FRAME = re.compile(r'    \((Python|C)\) File "([^"\n]{0,1000})", line (\d{1,9}), in (.{1,1000})')
_LIBRARY = re.compile(r" \((?:inlined|[^()]*\.so[^()]*)\)")


def dump(pid: int, limit_s: float) -> tuple[ThreadDump, ...]:
    """Return the threads of process `pid`; raise `ToolError` where pystack is missing or fails."""
    if importlib.util.find_spec(TOOL) is None:
        raise ToolError("pystack is not installed: pip install 'stage3[pystack]'")
    # -P: modules in the working directory are not taken for its own.
    command = [sys.executable, "-P", "-m", TOOL, "remote", "--native", str(pid)]
    return parse(run(command, limit_s, {"NO_COLOR": "1"}))


def parse(text: str) -> tuple[ThreadDump, ...]:
    """Return the threads in pystack's text; raise `ToolError` where there is none."""
    threads: list[ThreadDump] = []
    for block in re.split(r"^(?=Traceback for thread )", text, flags=re.MULTILINE):
        header = _HEADER.match(block)
        if header is not None:
            threads.append(_thread(header, block))
    if not threads:
        raise ToolError("pystack wrote no traceback")
    return tuple(threads)


def _thread(header: re.Match[str], block: str) -> ThreadDump:
    frames = []
    for line in block.splitlines():
        found = _FRAME.fullmatch(line)
        if found is not None:
            kind, file, number, function = found.groups()
            native = kind == "C"
            called = _LIBRARY.sub("", function) if native else function
            frames.append(StackFrame(file, int(number), called, native))
    return ThreadDump(
        native_id=int(header.group(1)),
        ident=None,
        name=header.group(2) or "",
        frames=tuple(frames),
        owns_gil="Has the GIL" in header.group(3),
    )
