"""Settings for the whole suite: Hypothesis draws the same examples in every run, with no clock; Ctrl-C works."""

from __future__ import annotations

import signal

from hypothesis import settings

# On a shared machine a deadline is a coin toss; the store of past failures would litter the tree.
settings.register_profile("stage3", deadline=None, derandomize=True, database=None)
settings.load_profile("stage3")

# What a shell runs in the background ignores Ctrl-C, and so would everything that the tests of Ctrl-C interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
