"""A live-migration engine in the shape of QEMU's migration thread, in ordinary threaded Python.

Imports nothing of the other packages and keeps no mutable state in modules. Read from the bottom
up: `ram`, `bitmap`, `dirtylog` (what is moved and how it gets dirty); `wire`, `channel`,
`transport` (how it travels); `savevm`, `ram_save`, `ram_load` (what is sent when); `cpus`,
`mainloop`, `runstate` (who else runs); `migration`, `incoming` (the two sides); `designs` (who runs
the migration and under which lock); `machine` (a whole VM of these parts).

PYTEST_DONT_REWRITE: where pytest is started inside a worker, this is imported already.
"""
