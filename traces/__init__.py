"""The recorded interleaving as plain values: what ran, in which order, and what went wrong.

A leaf: imports nothing of the other packages. Read in this order: `schema` (schedule, step, task,
failure, trace, and their JSON), `token` (a schedule as one printable line), `store` (trace files in
a directory), `text` (a trace as a column per thread), `cli` (`stage3 trace ...`).

PYTEST_DONT_REWRITE: where pytest is started inside a worker, this is imported already.
"""
