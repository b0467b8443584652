"""The batches of one search, run by supervised worker processes on this machine.

Promises: every batch of the shard ends in the journal or is run; whatever a batch does to its worker costs that
batch alone. Results come in the order in which they end; `merging` puts them in theirs.
Does not: confirm finds.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from verify.parallel import worker
from verify.parallel.batches import of_ended
from verify.parallel.losses import Obituaries
from verify.supervise import Ended, Fate, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verify.parallel.merging import Batches
    from verify.supervise import Journal
    from verify.supervise.supervisor import Event

HEARTBEAT_S: Final = 10.0
"""A worker that says nothing for so long holds the interpreter lock for good."""


def conduct(
    batches: Batches,
    *,
    workers: int = 2,
    seconds: float | None = None,
    journal: Journal | None = None,
    on_batch: Callable[[Ended], None] | None = None,
    enough: Callable[[], bool] | None = None,
    heartbeat_s: float = HEARTBEAT_S,
) -> None:
    """Run what is not there yet of the search of `batches`, and add it to them.

    `journal`, if given, is opened for this search. After `seconds` no further batch is begun. `on_batch` hears of
    each one that ends, those of the journal included; `enough` may end the search early. Raises `UsageError` where
    the program cannot be loaded, `WorkerError` where no worker can be started, `RuntimeError` where a worker's own
    code failed.
    """
    search = batches.search

    def see(event: Event) -> None:
        if isinstance(event, Ended):
            if event.fate in {Fate.RAISED, Fate.FAILED}:
                raise RuntimeError(
                    f"batch {event.task.number} failed in its worker:\n{event.message}"
                )
            batches.add(event.task.number, of_ended(event))
            if on_batch is not None:
                on_batch(event)

    def environment(slot: int) -> Mapping[str, str]:
        own = {worker.SLOT: str(slot)} if workers > 1 else {}
        # One order of sets of strings in all workers, and in those that resume.
        return {**os.environ, "PYTHONHASHSEED": search.hash_seed, **own}

    with tempfile.TemporaryDirectory(prefix="stage3-marks-") as name:
        place = Path(name)
        run(
            batches.left(),
            f"{worker.__name__}:{worker.make.__name__}",
            options=worker.options_of(search, place),
            workers=workers,
            heartbeat_s=heartbeat_s,
            seconds=seconds,
            journal=journal,
            on_event=see,
            environment=environment,
            enough=lambda: batches.settled() or (enough is not None and enough()),
            on_lost=Obituaries(place),
        )
