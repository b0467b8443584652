"""Jobs and scenarios on real threads and under control, and the `stage3` command.

The top layer: it may use `mig`, `verify` and `traces`. Read in this order: `migration` (scenarios,
workloads and the hunt), `hang` (what hung and why), `watchdog` (a run that makes no progress is reported
and ended), `zoo` (programs that hang), `cli`.

PYTEST_DONT_REWRITE: where pytest is started inside a worker, this is imported already.
"""
