"""The other answer to a cycle: every schedule of the target was run, and all end well.

Promises: excluded is said only where the search was complete at its scheduling points and every execution ended well:
one that a failure ends early could have gone on to the deadlock. A search that its budget stopped says nothing. What
is said comes with a certificate, which `stage3 certificate check` judges without the search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.certificate import to_text
from verify.certificate.writing import Keeping, certificate_of
from verify.explore import explore
from verify.lock_order import store
from verify.strategies.dpor import DPOR
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verify.program import Program

__all__ = ["every_schedule"]


def every_schedule(
    program: Program,
    certificate: Path,
    *,
    executions: int,
    seed: int = 0,
    on_hang: Callable[[str], None] = print_hang,
) -> str:
    """Run every schedule, if `executions` suffice; return what was run where all end well, else "".

    The search's certificate is written to `certificate`; without one nothing is said.
    """
    strategy = DPOR(seed)
    keeping = Keeping(strategy)
    state = explore(program, keeping, executions=executions + 1, on_hang=on_hang)
    made = certificate_of(state, keeping)
    if isinstance(made, str):
        return ""
    store.write(certificate, to_text(made))
    return (
        f"{state.executions:,} executions, {strategy.name}; stage3 certificate check {certificate}"
    )
