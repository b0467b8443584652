"""What passes through: opening files and starting processes are carried out, and noted as uncontrolled.

Promises: results are the real ones. A note says who did it where, once an execution; only calls made
by the program itself (installed packages included) are noted, not those of the standard library on its behalf.
"""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from verify.primitives.patches import Patch
from verify.runtime import current
from verify.runtime.outside import uncontrolled
from verify.sites import is_framework

if TYPE_CHECKING:
    from types import FrameType

    from verify.primitives.patches import Model

PATHLIB = os.path.join(os.path.dirname(os.__file__), "pathlib")  # noqa: PTH118, PTH120 - as frames name files
STDLIB = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - a prefix of file names, as frames have them
INSTALLED = tuple(f"{STDLIB}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
"""What was installed lies below the standard library's directory, and may be the program under test."""
IMPORTS = os.path.join("_pytest", "assertion", "rewrite.py")  # noqa: PTH118 - as above
"""Pytest's import hook opens files as the interpreter's own does, for a module that the program imports only now."""


def _noted(original: Model, what: str) -> Model:
    def passed_through(*args: object, **kwargs: object) -> object:
        execution = current.controlled()
        if execution is not None and _is_the_programs(sys._getframe(1)):  # noqa: SLF001 - who calls
            uncontrolled(execution, what)
        return original(*args, **kwargs)

    passed_through.__name__ = getattr(original, "__name__", what)
    passed_through.__doc__ = original.__doc__
    return passed_through


def _is_the_programs(frame: FrameType | None) -> bool:
    # `Path.open` and its like are the program's own words; `subprocess` opening its pipes is not.
    while frame is not None and frame.f_code.co_filename.startswith(PATHLIB):
        frame = frame.f_back
    if frame is None:
        return False
    filename = frame.f_code.co_filename
    if filename.startswith(STDLIB) and not filename.startswith(INSTALLED):
        return False
    return not is_framework(filename) and not filename.endswith(IMPORTS)


def rows() -> list[Patch]:
    """Return the patches that note what they pass through."""
    return [
        Patch(builtins, "open", _noted(builtins.open, "open()")),
        Patch(subprocess.Popen, "__init__", _noted(subprocess.Popen.__init__, "subprocess.Popen")),
        Patch(subprocess, "run", _noted(subprocess.run, "subprocess.run")),
        Patch(
            subprocess, "check_output", _noted(subprocess.check_output, "subprocess.check_output")
        ),
        Patch(subprocess, "check_call", _noted(subprocess.check_call, "subprocess.check_call")),
        Patch(os, "system", _noted(os.system, "os.system")),
    ]
