"""Stress jobs: one target, many runs on real threads, with noise, in workers that may crash or hang.

Read in this order: `targets` (what can be run), `noise` (what is done to the schedule), `settings` (a whole
job as one value), `runs` (one run, inside a worker), `stuck` (who hangs), `job` (the job itself), `folder`
(what is kept of a failure), `progress`, `command` (the command line).
"""
