"""Linearizability: whether the results of overlapping calls can be explained by one order of the calls.

Read in this order: `history` (what is recorded), `specs` (what a sequential object does), `search` (the
question itself).
"""
