"""Pages about recorded runs: each one file that needs no network.

Read in this order: `shell` (the frame, its policy, escaping), `answers` (the four questions), `content` (a trace as
compact JSON), `page` (the timeline), `beside` (two traces side by side), `listing` (the index of a directory). What
the pages look like and do is in `assets`.
"""
