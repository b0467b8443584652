"""One search divided into batches: several processes, several machines, interrupted and resumed, with one result.

Read in this order: `search` (which batches there are and what one means), `batches` (what became of one), `worker`
(one batch, inside a process), `conducting` (all of them, supervised), `merging` (one result of many), `exploring`
(the whole), `journals` (shards put together), `on_dask`, `command`.

A batch is an undivided search with a seed that follows from the search's seed and the batch's number; that is what
makes the result the same for any number of workers. The price: what a strategy learns, it learns anew in each batch.
"""

from __future__ import annotations

from verify.parallel.exploring import explore
from verify.parallel.search import Search

__all__ = ["Search", "explore"]
