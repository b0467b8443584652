"""The same divided search on the workers of a Dask cluster, one shard a task. Needs the extra `stage3[dask]`.

Promises: a task runs its batches in a supervised process of its own beside the Dask worker, so that a program that
crashes or hangs costs a batch there, too, and never the worker; the result is that of a search on one machine. A
shard whose task Dask gives up counts as lost.
Assumes: on every worker the program under test in the same text, this version of Python and of stage3, importable
from the directory that the worker was started in; otherwise the task refuses, and so does the search.
"""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from verify import _real
from verify.abc import UsageError
from verify.parallel import conducting
from verify.parallel.batches import of_ended
from verify.parallel.merging import Batches
from verify.parallel.rows import Row
from verify.parallel.search import Search
from verify.supervise import Ended, Fate, Header, Shard, Task, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client, Future

    from verify.supervise import Journal, Json

TASKS_A_THREAD: Final = 4
"""So many shards for each thread of the cluster: none is idle for long while another has much left."""
CONNECT_S: Final = 10
ASK_S: Final = 1.0
"""How often a task asks whether the search has an end by now."""
MISSING: Final = (
    "--dask needs the package distributed: pip install 'stage3[dask]', here and on the workers"
)


def conduct(
    batches: Batches,
    address: str,
    *,
    seconds: float | None = None,
    journal: Journal | None = None,
    on_batch: Callable[[Ended], None] | None = None,
) -> None:
    """Run what is not there yet of the search of `batches` on the cluster at `address`, and add it to them."""
    try:
        from distributed import Variable, as_completed  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(MISSING) from None
    for ended in journal.ended.values() if journal is not None else ():
        _take(batches, ended, on_batch)
    with ExitStack() as stack:
        client = stack.enter_context(_client(address))
        end = Variable(f"stage3-{uuid.uuid4().hex}", client=client)
        end.set(None)
        stack.callback(end.delete)
        deadline = None if seconds is None else time.time() + seconds
        shards = {
            client.submit(
                run_shard, _order(batches, shard), end.name, deadline, pure=False, retries=0
            ): shard
            for shard in _shards(batches, sum(client.nthreads().values()))
        }
        stack.callback(client.cancel, list(shards))
        stack.callback(end.set, -1)  # on an error: tasks that run already are not cancelled
        for future in as_completed(list(shards)):
            for ended in _result(batches, shards[future], future):
                if journal is not None:
                    journal.write(ended)
                _take(batches, ended, on_batch)
            if batches.end is not None:
                end.set(batches.end)


def _client(address: str) -> Client:
    from distributed import Client  # noqa: PLC0415 - an extra

    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with: dask scheduler"
        ) from None
    if not client.nthreads():
        client.close()
        raise UsageError(
            f"the Dask scheduler at {address} has no workers; start some with: dask worker {address}"
        )
    return client


def _take(batches: Batches, ended: Ended, on_batch: Callable[[Ended], None] | None) -> None:
    batches.add(ended.task.number, of_ended(ended))
    if on_batch is not None:
        on_batch(ended)


def _shards(batches: Batches, threads: int) -> list[Shard]:
    """Divide what is left of the search's own shard among the cluster's threads."""
    search = batches.search
    many = threads
    if search.batches is not None:
        left = sum(1 for number in search.numbers() if number not in batches.there)
        many = min(threads * TASKS_A_THREAD, left)
    part, parts = search.shard.part, search.shard.parts
    return [Shard(part + parts * at, parts * many) for at in range(many)]


def _order(batches: Batches, shard: Shard) -> dict[str, Json]:
    """Return what a task is told: the search of its shard, and what is there already."""
    header = replace(batches.search, shard=shard).header()
    known: list[Json] = [number for number in batches.there if number in shard]
    return {"program": header.program, "settings": dict(header.settings), "known": known}


def run_shard(order: dict[str, Json], end: str, deadline: float | None) -> list[dict[str, Json]]:
    """Run one shard inside a Dask worker; return the batches that ended. `end` names where the search's end is told."""
    from distributed import Variable  # noqa: PLC0415 - an extra

    header = Header(str(order["program"]), cast("dict[str, str]", order["settings"]))
    batches = Batches(Search.of_header(header), frozenset(cast("list[int]", order["known"])))
    told = Variable(end)
    asked = _real.monotonic()
    rows: list[dict[str, Json]] = []

    def enough() -> bool:
        nonlocal asked
        if _real.monotonic() - asked >= ASK_S:
            asked = _real.monotonic()
            with suppress(Exception):  # the scheduler is busy, or gone: then Dask ends this worker
                batches.ends_by(told.get(timeout=ASK_S))
        return False

    conducting.conduct(
        batches,
        workers=1,
        seconds=None if deadline is None else max(0.0, deadline - time.time()),
        on_batch=lambda ended: rows.append(_row(ended)),
        enough=enough,
    )
    return rows


def _row(ended: Ended) -> dict[str, Json]:
    return {
        "number": ended.task.number,
        "seed": ended.task.seed,
        "fate": str(ended.fate),
        "message": ended.message,
        "value": ended.value,
        "seconds": ended.seconds,
    }


def _result(
    batches: Batches, shard: Shard, future: Future[list[dict[str, Json]]]
) -> Iterator[Ended]:
    """Yield what a task sent; where there is nothing, its shard is lost."""
    error = future.exception()
    if isinstance(error, UsageError | RuntimeError | WorkerError):
        raise error
    if isinstance(error, ImportError):
        raise UsageError(f"a worker of the cluster cannot run stage3: {error}; {MISSING}")
    if error is not None:
        batches.lost.append(f"shard {shard}: its task on the cluster failed: {error}")
        return
    for value in future.result():
        row = Row(value)
        number = row.whole("number")
        task = Task(number, row.whole("seed"), {"executions": batches.search.size(number)})
        fate = Fate(row.text("fate"))
        yield Ended(task, fate, row.text("message"), row.value["value"], row.seconds("seconds"))
