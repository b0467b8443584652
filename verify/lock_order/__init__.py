"""Lock order: which locks are taken while which are held, over many runs, and which cycles could become a deadlock.

Read in this order: `trails` (what one thread did: holds, clocks, dependencies), `judge` (the cycles of one run, each
with its verdict), `merge` (runs put together, and the cycles that only appear then), `listener` (the source under
control), `live` (the source on real threads), `confirm` (schedules that drive into a cycle), `collect` (a target's
graph), `baseline`, `text`, `pictures`, `sarif` and `command` (what is said of it). The values and their file are
`traces.lock_order`.
"""
