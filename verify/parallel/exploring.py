"""A divided search from begin to end: batches by workers here or on a cluster, one result, finds confirmed once.

Promises: the result depends on the search alone, not on how many workers there were, which machines they ran on, how
often it was interrupted or in which order batches ended; a budget in seconds is the exception. Each find is run
again here, in this process, as the first one who found it would have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verify import _real
from verify.explore import PROGRESS_EVERY_S, settle
from verify.parallel.batches import Batch
from verify.parallel.conducting import HEARTBEAT_S, conduct
from verify.parallel.merging import Batches, merged
from verify.session import Session
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.explore import Exploration, Progress
    from verify.parallel.search import Search
    from verify.program import Program
    from verify.supervise import Ended, Journal

SPARE: Final = 20
"""What is shown on the way takes at most one in so many seconds: all batches are put together for it each time."""


def explore(
    program: Program,
    search: Search,
    *,
    workers: int = 2,
    seconds: float | None = None,
    journal: Journal | None = None,
    cluster: str = "",
    progress: Progress | None = None,
    on_hang: Callable[[str], None] = print_hang,
    heartbeat_s: float = HEARTBEAT_S,
    shrink: float = 0.0,
) -> Exploration:
    """Run `search`, which is one of `program` as it is loaded here, and return what it came to.

    `workers` processes share it, or the workers of the Dask scheduler at address `cluster`. After `seconds` no
    further batch is begun. With a `journal` opened for this search, batches that it remembers are not run again.
    What was found is shrunk and explained for `shrink` seconds.
    Raises what `conducting.conduct` raises.
    """
    began = _real.perf_counter()
    due = began + PROGRESS_EVERY_S
    batches = Batches(search)

    def on_batch(ended: Ended) -> None:
        nonlocal due
        now = _real.perf_counter()
        if progress is not None and now >= due and not ended.resumed:
            progress(merged(program, batches, now - began))
            done = _real.perf_counter()
            due = done + max(PROGRESS_EVERY_S, SPARE * (done - now))

    if cluster:
        from verify.parallel import on_dask  # noqa: PLC0415 - an extra, imported when asked for

        on_dask.conduct(batches, cluster, seconds=seconds, journal=journal, on_batch=on_batch)
    else:
        conduct(
            batches,
            workers=workers,
            seconds=seconds,
            journal=journal,
            on_batch=on_batch,
            heartbeat_s=heartbeat_s,
        )
    state = merged(program, batches, _real.perf_counter() - began)
    confirm(state, search, on_hang=on_hang, shrink=shrink)
    return state


def confirm(
    state: Exploration,
    search: Search,
    *,
    on_hang: Callable[[str], None] = print_hang,
    shrink: float = 0.0,
) -> None:
    """Run the first schedule of each group again in this process, as an undivided search does at its end.

    All groups together are shrunk and explained for `shrink` seconds.
    """
    if not state.groups:
        return
    with Session(state.program, search.backend, on_hang=on_hang, learn=True) as session:
        settle(session, state, search.strategy_of(search.seed), search.builds, shrink=shrink)


def spent(batches: Batches) -> float:
    """Return the seconds that all batches that count took, one after the other."""
    return sum(row.seconds for _, row in batches.counting() if isinstance(row, Batch))
