"""How a program is started so that it, its children and theirs are recorded from their first line.

Promises: `environment` says what to add to a child's environment; every Python process that inherits it records itself
into a flight in the directory named there. Processes started with `-I`, `-E` or `-S`, or with an environment of their
own making, are not recorded.
"""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from verify.backtraces import faults, permission
from verify.observe import install
from verify.observe.recorder import recorder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verify.observe.noise import Noise

VARIABLE = "STAGE3_FLIGHT"
NOISE = "STAGE3_NOISE"
ORDER = "STAGE3_LOCK_ORDER"
STARTUP = Path(__file__).parent / "startup"


def environment(
    directory: Path | str,
    *,
    noise: Noise | None = None,
    order: Path | None = None,
    base: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment (of this process, or `base`) for a child that is to be recorded into `directory`.

    `order` is the file into which each of its processes merges the order in which it took locks.

    The directory has to exist; flights of processes that ended well are taken away by themselves. A process that ends
    by `os._exit`, as the forked children of `multiprocessing` do, leaves its flight until there are too many.
    """
    out = dict(os.environ if base is None else base)
    paths = _other_paths(out)
    out["PYTHONPATH"] = os.pathsep.join([str(STARTUP), *paths])
    out[VARIABLE] = str(Path(directory).absolute())
    for name in (NOISE, ORDER):
        out.pop(name, None)
    if noise is not None:
        out[NOISE] = noise.text()
    if order is not None:
        out[ORDER] = str(order.absolute())
    return out


def without(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for a child that is not to be recorded: one of the toolkit's own processes."""
    out = dict(os.environ if base is None else base)
    for name in (VARIABLE, NOISE, ORDER):
        out.pop(name, None)
    paths = _other_paths(out)
    out["PYTHONPATH"] = os.pathsep.join(paths)
    if not paths:
        del out["PYTHONPATH"]
    return out


def _other_paths(environment: Mapping[str, str]) -> list[str]:
    """Return what is on PYTHONPATH besides the start-up hook."""
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    return [path for path in paths if path and path != str(STARTUP)]


def start_from_environment(directory: str) -> None:
    """Record this process; called by the start-up hook."""
    noise = None
    text = os.environ.get(NOISE)
    if text:
        from verify.observe.noise import parsed  # noqa: PLC0415 - random takes a while to load

        noise = parsed(text)
    order = os.environ.get(ORDER)
    if order:
        from verify.lock_order import process  # noqa: PLC0415 - only when asked to

        process.start()  # first: locks get their class when they are made, or found
    install.start(directory, noise=noise)
    if order:
        process.save_at_end(Path(order))
    consent(Path(directory))
    atexit.register(_clear_away)


def consent(directory: Path) -> None:
    """Let tools look at this process from outside, and have one signal dump its stacks into `directory`."""
    permission.allow()
    with suppress(OSError, ValueError, RuntimeError):
        faults.register(directory)


def _clear_away() -> None:
    """The process came to its end, a forked one too: nobody needs its own flight."""
    path = recorder.path
    if path is not None and path.name.startswith(f"flight-{os.getpid()}-"):
        path.unlink(missing_ok=True)
