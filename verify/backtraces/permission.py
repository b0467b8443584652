"""Lets another process look at this one where the kernel's Yama module forbids it.

With `kernel.yama.ptrace_scope` at 1 (Ubuntu, hosted CI runners) only an ancestor may trace a process;
a tool started beside it needs the process's own consent, prctl(PR_SET_PTRACER), see prctl(2).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["allow"]

SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_PR_SET_PTRACER = 0x59616D61
_ANY = -1  # PR_SET_PTRACER_ANY


def allow(pid: int = _ANY, scope: Path = SCOPE) -> bool:
    """Let process `pid` and its descendants trace this one (default: any process of this user).

    Returns whether consent was needed and given; without Yama, or at a scope that consent does not
    change, nothing is done. Never raises.
    """
    with suppress(OSError, ValueError, ImportError, AttributeError):
        if int(scope.read_text()) == 1:
            import ctypes  # noqa: PLC0415 - rarely needed, and slow to load

            answer: object = ctypes.CDLL(None, use_errno=True).prctl(
                _PR_SET_PTRACER, ctypes.c_ulong(pid & (2**64 - 1)), 0, 0, 0
            )
            return answer == 0
    return False
