"""The controlled runtime: one execution of a threaded program in which one value, the schedule, decides everything.

Read in this order: `task` (who runs), `gate` (what a task waits for), `execution` (the scheduling
step), `carriers`, `greenlets` and `os_threads` (the backends that carry tasks), `clock` (virtual
time), `naming` (names that survive from run to run).
"""
