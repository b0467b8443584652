"""Certificates of exhausted searches, and a checker that shares nothing with the search but the runtime.

Promises: what `check` calls valid was found whole by running every execution again. Nothing here imports a strategy,
or the order of operations that strategies use.
"""
