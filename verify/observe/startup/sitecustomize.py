"""Found by every Python process whose PYTHONPATH begins with this directory: records it if it is asked to.

Promises: hands on to the `sitecustomize` that would have been found without this one, and takes this directory off
`sys.path` again. Whatever goes wrong here is one line on stderr, and the program runs unrecorded.
Does nothing without the environment variable STAGE3_FLIGHT, nor in a second interpreter of a process, nor for
multiprocessing's own helper process, which waits for ever by design.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - loaded at every start of Python: pathlib costs
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))  # noqa: PTH120 - as above


def _is_secondary() -> bool:
    """Say whether this is not the process's main interpreter, whose flight it would overwrite."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        with suppress(ImportError):
            module = __import__(name)
            return bool(module.get_current() != module.get_main())
    return False


def _record(directory: str) -> None:
    if any("multiprocessing.resource_tracker" in argument for argument in sys.orig_argv):
        return
    if _is_secondary():
        return
    added = ROOT not in sys.path
    if added:
        sys.path.append(ROOT)
    try:
        from verify.observe.launch import start_from_environment  # noqa: PLC0415 - only when asked to

        start_from_environment(directory)
    finally:
        if added:
            with suppress(ValueError):
                sys.path.remove(ROOT)


def _hand_on() -> None:
    """Run the next `sitecustomize`, or leave this one where there is none."""
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]  # noqa: PTH100 - as above
    this = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401, PLC0415 - the next one of the same name
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        if this is not None:
            sys.modules["sitecustomize"] = this


def _main() -> None:
    directory = os.environ.get("STAGE3_FLIGHT")
    if directory:
        try:
            _record(directory)
        except Exception as error:  # noqa: BLE001 - the program must run
            sys.stderr.write(f"stage3: process {os.getpid()} is not recorded: {error}\n")
    _hand_on()


_main()
