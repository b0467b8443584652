"""Settings for the whole suite: Hypothesis draws the same examples in every run, with no clock."""

from __future__ import annotations

from hypothesis import settings

# On a shared machine a deadline is a coin toss; the store of past failures would litter the tree.
settings.register_profile("stage3", deadline=None, derandomize=True, database=None)
settings.load_profile("stage3")
