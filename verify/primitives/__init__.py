"""Models of the standard library's synchronisation, one file each.

Promises: same results and errors as CPython's, each operation atomic, a scheduling point before
each. Every model is a thin shell around `verify.runtime.gate.Gate`. Used outside an execution (a
finalizer, a later check) a model acts as an uncontended primitive and never blocks.
"""
