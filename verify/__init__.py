"""A concurrency-verification toolkit: runs threaded code under a schedule it chooses and repeats.

Knows nothing of the engine. Read in this order: `abc` (what a strategy, a detector and a backend
are), `runtime` (one execution), `primitives` and `patching` (what stands in for the standard
library), `strategies` (who goes on), `detectors` (what counts as wrong), `explore` (the search
loop), `report` (what a failure says).
"""
