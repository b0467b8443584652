"""Benchmarks, run by hand as `python -m bench.NAME`; not part of the wheel."""
