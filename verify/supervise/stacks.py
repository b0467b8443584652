"""The stacks of a process that does not answer, from outside, before it is killed.

Promises: `dump` returns text in every case, within a time limit; what goes wrong is a sentence in it.
The tool writes into a file: through a pipe it could block, and the process it has stopped with it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT_S: Final = 10.0
MOST_CHARACTERS: Final = 200_000


def find_py_spy() -> str | None:
    """Return py-spy's path: beside the interpreter, else on PATH, else None."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.is_file() else shutil.which("py-spy")


def dump(pid: int) -> str:
    """Return py-spy's view of process `pid`: with C frames where it can, else without, else why not."""
    command = find_py_spy()
    if command is None:
        return "no stacks: py-spy is not installed; say pip install py-spy\n"
    problems = []
    for extra in (["--native"], []):
        text, problem = _run([command, "dump", *extra, "--pid", str(pid)])
        if text and not problem:
            return text
        problems.append(problem)
    return f"no stacks: {'; then '.join(problems)}\n"


def _run(command: Sequence[str]) -> tuple[str, str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return "", f"py-spy gave no answer: {error}"
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(MOST_CHARACTERS).decode("utf-8", "replace"))
    if done.returncode:
        return "", f"py-spy ended with {done.returncode}: {texts[1].strip()[:300]}"
    return texts[0], ""
