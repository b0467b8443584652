"""Runs a tool that looks at another process: output to a file, a time limit, and an end.

Promises: `run` returns what the tool wrote, or raises `ToolError` with one sentence. A tool that
exceeds its limit is killed and waited for. Output goes to a file, never a pipe: a debugger that fills
a pipe while its target (perhaps the reader) is stopped would stop both for ever.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MOST_OUTPUT", "ToolError", "beside_python", "run"]

MOST_OUTPUT = 64 * 1024 * 1024
"""Bytes of a tool's output that are read; 400 threads take about 3 MB."""
_MOST_COMPLAINT = 300


class ToolError(Exception):
    """A tool gave no usable answer; the text is one sentence for the report."""


def beside_python(name: str) -> str | None:
    """Return the path of tool `name`: beside the interpreter, else on PATH, else None."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else shutil.which(name)


def run(
    command: Sequence[str],
    limit_s: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return the standard output of `command`; raise `ToolError` when it fails or takes over `limit_s`."""
    name = Path(command[0]).name
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaints,
                env=None if environment is None else {**os.environ, **environment},
            )
        except OSError as error:
            raise ToolError(f"{name} could not be started: {error.strerror}") from None
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise ToolError(f"{name} gave no answer within {limit_s:g} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        text = output.read(MOST_OUTPUT).decode(errors="replace")
        if code:
            complaints.seek(0)
            why = complaints.read(_MOST_COMPLAINT).decode(errors="replace").split("\n")
            raise ToolError(f"{name} failed with exit code {code}: {' '.join(why).strip()}")
        return text
