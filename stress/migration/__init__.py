"""The engine as a system under test: scenarios, and the oracle that judges them.

Read in this order: `oracle` (what must hold), `closed` (protocol scenarios of a few dozen steps),
`whole` (one migration with its end checks), `scenarios` (the names the command line knows). The
same code runs under real threads, where nothing listens.
"""
